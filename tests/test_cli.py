"""The command line, end to end, as a user calls it: what it writes in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from wirelessfl.cli import main
from wirelessfl.scenario import load
from wirelessfl.trace import Trace

REPOSITORY = Path(__file__).parents[1]


def wirelessfl(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "wirelessfl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "160"} | environment,
        check=False,
    )


def answered(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """As `wirelessfl`, but in this process, which has its libraries loaded already."""
    command = ["wirelessfl", *map(str, arguments)]
    out, err, code = StringIO(), StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", command)
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def tables(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / f"{name}.parquet").read_bytes() for name in ("rounds", "clients", "events")
    }


@pytest.mark.slow
def test_run_writes_a_whole_trace_and_its_scenario_runs_again_to_the_same_bytes(
    small_file: Path, tmp_path: Path
):
    """Two processes, different thread counts in the environment, one started from the result."""
    first = wirelessfl("run", small_file, "--out", "a", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert first.returncode == 0, first.stderr
    assert "3 rounds" in first.stdout
    for name in ("scenario.yaml", "summary.json", "timeline.json", "convergence.png"):
        assert (tmp_path / "a" / name).stat().st_size > 0

    again = wirelessfl("run", "a/scenario.yaml", "--out", "b", cwd=tmp_path, OMP_NUM_THREADS="2")
    assert again.returncode == 0, again.stderr
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    assert load(tmp_path / "b" / "scenario.yaml") == load(small_file)


@pytest.mark.slow
def test_a_private_run_ends_with_what_it_cost(small_file: Path, tmp_path: Path):
    pytest.importorskip("opacus")
    private = ("--set", "learning.privacy={epsilon: 4, delta: 1e-6}")
    done = wirelessfl("run", small_file, "--out", "a", *private, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "privacy: epsilon 3.9" in done.stdout or "privacy: epsilon 4 " in done.stdout
    assert "at delta 1e-06" in done.stdout


@pytest.mark.slow
def test_run_names_the_picture_that_there_is(small_file: Path, tmp_path: Path):
    command = ("run", small_file, "--out", "of-both", "--overwrite")
    learnt = answered(*command, cwd=tmp_path)
    picture = tmp_path / "of-both" / "convergence.png"
    assert "picture: of-both/convergence.png" in learnt.stdout
    assert picture.exists()
    timed = answered(*command, "--timing-only", cwd=tmp_path)
    assert timed.returncode == 0, timed.stderr
    assert "picture" not in timed.stdout
    assert not picture.exists()  # of the run before


def test_draw_makes_a_picture_of_the_network(small_file: Path, tmp_path: Path):
    grid = ("--set", "network.topology={kind: hex_grid, rings: 1}")
    done = wirelessfl("draw", small_file, "--out", "map.png", *grid, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "small: 7 cells, 6 clients: map.png\n"
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "map.svg").stat().st_size > 0

    lost = ("--set", "network.topology={kind: graph, file: none.graphml}")
    failed = wirelessfl("draw", small_file, *lost, cwd=tmp_path)
    assert failed.returncode == 2
    assert "network.topology.file" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.slow
def test_a_finished_run_is_kept_and_another_scenario_does_not_replace_it(
    small_file: Path, tmp_path: Path
):
    assert wirelessfl("run", small_file, "--out", "a", cwd=tmp_path).returncode == 0
    before = tables(tmp_path / "a")
    again = wirelessfl("run", small_file, "--out", "a", cwd=tmp_path)
    assert again.returncode == 0
    assert "already holds this run" in again.stderr
    other = wirelessfl("run", small_file, "--out", "a", "--seed", "1", cwd=tmp_path)
    assert other.returncode == 2
    assert "another scenario" in other.stderr
    assert tables(tmp_path / "a") == before
    replaced = wirelessfl(
        "run", small_file, "--out", "a", "--seed", "1", "--overwrite", cwd=tmp_path
    )
    assert replaced.returncode == 0
    assert tables(tmp_path / "a") != before


@pytest.mark.slow
def test_require_target_exits_with_3_if_it_is_not_reached(small_file: Path, tmp_path: Path):
    target = "stop.target={metric: accuracy, above: 1.0}"
    done = wirelessfl("run", small_file, "--set", target, "--require-target", cwd=tmp_path)
    assert done.returncode == 3
    assert "not reached" in done.stdout


@pytest.mark.slow
def test_compare_prints_the_table_and_leaves_pictures_whatever_the_number_of_jobs(
    small_file: Path, tmp_path: Path
):
    target = "stop.target={metric: loss, below: 3, smooth: 2}"
    options = ["--strategies", "adaptive,uniform", "--seeds", "0-1", "--set", target]
    outputs = {}
    for jobs in (1, 2):
        out = tmp_path / f"jobs-{jobs}"
        done = wirelessfl(
            "compare", small_file, *options, "--out", out, "--jobs", jobs, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        for word in ("adaptive", "uniform", "2/2", "1.00x", "convergence.png"):
            assert word in done.stdout
        for name in ("convergence.png", "convergence.svg", "round_breakdown.png"):
            assert (out / name).stat().st_size > 0
        outputs[jobs] = (out / "table.csv").read_bytes()
        assert Trace.read(out / "uniform" / "seed-1").summary["strategy"] == "uniform"
    assert outputs[1] == outputs[2]
    frame = pd.read_csv(tmp_path / "jobs-1" / "table.csv")
    assert frame["strategy"].tolist() == ["adaptive", "uniform"]
    assert (frame["time_s"] > 0).all()


@pytest.mark.slow
def test_a_failed_member_is_reported_and_the_others_survive(small_file: Path, tmp_path: Path):
    wild = "{kind: uniform, participation: {expected: 3}, server: {step: 1.0e+38}}"
    text = small_file.read_text(encoding="utf-8")
    small_file.write_text(f"{text}strategies:\n  wild: {wild}\n", encoding="utf-8")
    target = "stop.target={metric: loss, below: 0.1, smooth: 2}"
    done = wirelessfl(
        *("compare", small_file, "--strategies", "uniform,wild", "--seeds", "0"),
        *("--set", target, "--out", "out", "--jobs", "1"),
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "error: wild seed 0: training diverged: client" in done.stderr
    assert Trace.read(tmp_path / "out" / "wild" / "seed-0").summary["diverged"]
    assert "1 of 2 runs failed; the others are kept in out" in done.stderr
    assert Trace.read(tmp_path / "out" / "uniform" / "seed-0").rounds["round"].max() >= 1


BAD = {
    "unknown key": ("nmae: x", "name"),
    "wrong unit": ("network: {carrier: 3 kg}", "network.carrier"),
    "negative bandwidth": ("network: {uplink: {bandwidth: -5 MHz}}", "network.uplink.bandwidth"),
    "duplicate key": ("seed: 1\nseed: 2", "seed"),
    "not yaml": ("a: [1", ""),
}


@pytest.mark.parametrize(("text", "field"), BAD.values(), ids=BAD.keys())
def test_bad_scenarios_exit_with_2_and_one_readable_error_and_write_nothing(
    text: str, field: str, tmp_path: Path
):
    (tmp_path / "bad.yaml").write_text(f"name: bad\n{text}\n", encoding="utf-8")
    for command in ("run", "compare", "validate"):
        done = answered(command, "bad.yaml", cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("error: bad.yaml:")
        assert field in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_a_missing_file_exits_with_2(tmp_path: Path):
    done = answered("run", "none.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: none.yaml: no such file\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "x"], "--seeds"),
        (["--strategies", "unifrom"], "uniform"),
        (["--set", "network.uplink=3"], "network.uplink"),
        ([], "stop.target"),
    ],
    ids=["seeds", "strategy", "override", "no target"],
)
def test_bad_options_of_compare_exit_with_2(small_file: Path, options: list[str], message: str):
    done = answered("compare", small_file, *options, "--out", "out", cwd=small_file.parent)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert not (small_file.parent / "out").exists()


@pytest.mark.parametrize("path", sorted((REPOSITORY / "scenarios").glob("*.yaml")), ids=str)
def test_every_shipped_scenario_is_valid(path: Path):
    done = answered("validate", path, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_the_public_interface_is_what_the_readme_says():
    import wirelessfl as wfl

    assert {name for name in wfl.__all__ if not callable(getattr(wfl, name))} == set()
    with pytest.raises(AttributeError):
        wfl.nothing  # noqa: B018 - the access is the test


@pytest.mark.slow
def test_tune_prints_the_best_settings_and_goes_on_where_it_stopped(
    small_file: Path, tmp_path: Path
):
    target = ("--set", "stop.target={metric: loss, below: 2.4}")
    options = ("--strategy", "uniform", "--trials", 3, "--seeds", 100, *target)
    done = wirelessfl("tune", small_file, *options, "--out", "t", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best: --set strategy.kind=uniform --set strategy.server.step=" in done.stdout
    trials = pd.read_csv(tmp_path / "t" / "uniform.csv")
    assert list(trials.columns[1:4]) == ["trial", "server.step", "participation.expected"]
    assert trials["server.step"].iloc[0] == 1.0  # the scenario's own
    again = wirelessfl("tune", small_file, *options, "--out", "t", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["best"]["reached"] == 1
    other = wirelessfl("tune", small_file, *options, "--out", "t", "--set", "seed=5", cwd=tmp_path)
    assert other.returncode == 2
    assert "holds trials of another scenario" in other.stderr
    never = wirelessfl(
        *("tune", small_file, "--strategy", "full", "--trials", 1, "--seeds", 100),
        *("--set", "stop.target={metric: loss, below: 0.01}"),
        cwd=tmp_path,
    )
    assert (never.returncode, "> " in never.stdout) == (3, True), never.stderr
    wrong = wirelessfl("tune", small_file, *options, "--over", "server.step=2", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "write two positive numbers" in wrong.stderr
