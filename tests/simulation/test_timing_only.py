"""Timing-only runs: the same clock, no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pandas.testing import assert_frame_equal

from wirelessfl.errors import InputError
from wirelessfl.simulation import simulate

CLOCK = ["start_s", "end_s", "participants", "completed", "uplink_bits", "downlink_bits"]


@pytest.mark.parametrize("strategy", ["uniform, participation: {expected: 3}", "full"])
def test_the_clock_is_that_of_the_run_that_trains(small, strategy: str):
    chip = "{effective_flops: 1 GFLOP/s, memory_bandwidth: 900 TB/s, memory: 8 GiB}"
    scenario = small(
        f"strategy={{kind: {strategy}}}",
        f"devices.profiles={{chip: {chip}}}",
        "devices.mix={chip: 1}",
    )
    real, timed = simulate(scenario), simulate(scenario.timing_only())
    assert_frame_equal(real.rounds[CLOCK], timed.rounds[CLOCK], rtol=1e-9)
    assert timed.summary["gradient_jobs"] == 0
    assert timed.rounds["loss"].isna().all()


@pytest.mark.slow
def test_torch_is_not_even_imported(small_file, tmp_path):
    code = (
        "import sys; from wirelessfl.cli import app; "
        f"app(['run', {str(small_file)!r}, '--timing-only', '--out', {str(tmp_path / 'o')!r}],"
        " standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert summary["totals"]["rounds"] == 3


def test_a_strategy_that_learns_from_updates_is_refused(small):
    with pytest.raises(InputError, match="plans from the updates of real training"):
        small("strategy={kind: adaptive}").timing_only()
    with pytest.raises(InputError, match="plans from the updates of real training"):
        small().timing_only().with_strategy("adaptive-paper")
    with pytest.raises(InputError, match=r"strategy: 'adaptive' plans from the updates"):
        small("strategy={kind: adaptive}", "learning.task={kind: none}")


def test_a_target_is_refused_where_nothing_is_learnt(small):
    with pytest.raises(InputError, match=r"stop.target.*never reached"):
        small("learning.task={kind: none}", "stop.target={metric: loss, below: 1}")
