"""Pictures are drawn from the right numbers, deterministically, without global state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wirelessfl.trace import Trace, plots
from wirelessfl.trace.plots import plot_convergence, plot_round_breakdown, time_unit

RUNS = [[(0.0, 4.0), (10.0, 2.0), (20.0, 1.0)], [(0.0, 4.0), (15.0, 3.0), (30.0, 0.5)]]


def test_runs_are_step_functions_on_the_times_at_which_any_of_them_changes():
    times_s, values = plots._on_common_grid(RUNS)
    np.testing.assert_array_equal(times_s, [0.0, 10.0, 15.0, 20.0, 30.0])
    np.testing.assert_array_equal(values, [[4.0, 2.0, 2.0, 1.0, 1.0], [4.0, 4.0, 3.0, 3.0, 0.5]])


def test_a_long_run_is_thinned_to_what_a_picture_can_show():
    run = [(float(t), float(t)) for t in range(5000)]
    times_s, values = plots._on_common_grid([run])
    assert len(times_s) == plots.GRID_POINTS
    np.testing.assert_array_equal(values[0], np.floor(times_s))


@pytest.mark.parametrize(
    ("longest_s", "unit"),
    [(0.5, "ms"), (90.0, "s"), (150.0, "min"), (7200.0, "h"), (86_400.0, "h"), (1e6, "d")],
)
def test_the_time_axis_has_a_unit_people_read(longest_s: float, unit: str):
    assert time_unit(longest_s)[1] == unit


def test_equal_curves_give_equal_files(tmp_path: Path):
    for name in ("a", "b"):
        plot_convergence({"full": RUNS}, "loss", 1.5, tmp_path / f"{name}.png")
    for suffix in ("png", "svg"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_what_its_band_is():
    assert plots._spread_note({"a": RUNS[:1]}) == ""
    assert "mean over 2 seeds; band: smallest to largest" in plots._spread_note({"a": RUNS})
    assert "1 to 2 seeds" in plots._spread_note({"a": RUNS, "b": RUNS[:1]})


def test_no_curve_is_an_error(tmp_path: Path):
    for curves in ({}, {"full": []}, {"full": [[]]}):
        with pytest.raises(ValueError, match="at least one"):
            plot_convergence(curves, "loss", None, tmp_path / "a.png")


def test_waiting_ends_with_the_last_delivery_of_the_round(trace: Trace):
    seconds = plots.mean_seconds(trace.clients)
    assert seconds.loc["jetson-nano"].to_dict() == {
        "download_s": 1.0,
        "queue_s": 0.0,
        "compute_s": 2.0,
        "upload_s": 1.0,
        "waiting_s": 5.0,
    }
    assert seconds.loc["phone-sd778g", "waiting_s"] == 0.0


def test_rounds_of_concatenated_runs_are_kept_apart(trace: Trace):
    one = trace.clients[trace.clients["round"] == 1]
    slow = one.assign(upload_end_s=one["upload_end_s"] * 10)
    waiting = plots.mean_seconds(pd.concat([one, slow]))["waiting_s"]
    assert waiting["jetson-nano"] == (5.0 + 50.0) / 2


def test_the_breakdown_is_drawn(trace: Trace, tmp_path: Path):
    plot_round_breakdown({"a": trace.clients, "b": trace.clients}, tmp_path / "b.png")
    assert (tmp_path / "b.png").exists()
    assert (tmp_path / "b.svg").exists()


def test_a_breakdown_of_nothing_is_an_error(trace: Trace, tmp_path: Path):
    with pytest.raises(ValueError, match="no client"):
        plot_round_breakdown({"a": trace.clients[:0]}, tmp_path / "b.png")


def test_pyplot_is_never_imported():
    code = "import sys, wirelessfl.trace; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
