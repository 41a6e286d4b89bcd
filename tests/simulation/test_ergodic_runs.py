"""Whole runs at `fidelity: ergodic`: what they say, what they repeat, what they resemble."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from wirelessfl.console import print_warnings
from wirelessfl.simulation import simulate

ERGODIC = (
    "network.fidelity=ergodic",
    "network.fading={kind: rayleigh_block, coherence_time: 1 us}",
    "learning.task={kind: none}",
)
LONG = "network.fading={kind: rayleigh_block, coherence_time: 10 s}"


def test_a_run_counts_its_transfers_and_is_about_as_long_as_the_exact_one(small):
    trace = simulate(small(*ERGODIC))
    transfers = 2 * len(trace.clients)  # a download and an upload each
    assert trace.summary["ergodic"] == {"transfers": transfers, "short": 0}
    milli = "network.fading={kind: rayleigh_block, coherence_time: 1 ms}"
    exact = simulate(small(*ERGODIC[2:], milli))
    assert "ergodic" not in exact.summary
    ours, theirs = trace.rounds["end_s"].iloc[-1], exact.rounds["end_s"].iloc[-1]
    assert ours == pytest.approx(theirs, rel=0.1)
    assert ours != theirs


def test_the_console_says_once_that_transfers_were_too_short(small, capsys):
    short, long = simulate(small(*ERGODIC[::2], LONG)), simulate(small(*ERGODIC))
    assert short.summary["ergodic"]["short"] == short.summary["ergodic"]["transfers"] > 0
    print_warnings(t.summary for t in (short, short, long))
    said = capsys.readouterr().err
    both = 2 * short.summary["ergodic"]["short"]
    every = both + long.summary["ergodic"]["transfers"]
    assert said.count(f"warning: {both:,} of {every:,} transfers (") == 1
    assert "shorter than the 100 coherence times that fidelity: ergodic is made for" in said
    print_warnings([long.summary])
    assert capsys.readouterr().err == ""


def test_the_same_scenario_gives_the_same_tables(small):
    first, again = simulate(small(*ERGODIC)), simulate(small(*ERGODIC))
    assert_frame_equal(first.rounds, again.rounds)
    assert_frame_equal(first.clients, again.clients)
    other = simulate(small(*ERGODIC, "seed=99"))
    assert (other.rounds["end_s"] != first.rounds["end_s"]).any()


@pytest.mark.parametrize("rule", ["equal_share", "equal_finish", "max_min", "tdma_fifo"])
def test_every_rule_and_both_power_modes_run(small, rule: str):
    for mode in ("total", "per_rb"):
        trace = simulate(
            small(
                *ERGODIC,
                f"network.uplink.power_mode={mode}",
                f"strategy={{kind: full, bandwidth: {{kind: {rule}}}}}",
            )
        )
        assert (trace.clients["outcome"] == "completed").all()
        assert trace.clients["transmit_j"].notna().any() or mode == "total"


@pytest.mark.slow
def test_the_command_line_runs_it_twice_to_the_same_bytes(small_file: Path, tmp_path: Path):
    def run(out: str) -> str:
        options = [part for option in ERGODIC for part in ("--set", option)]
        command = [sys.executable, "-m", "wirelessfl.cli", "run", str(small_file), *options]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / out)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "warning" not in run("a")
    run("b")
    for table in ("rounds", "clients", "events"):
        name = f"{table}.parquet"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
