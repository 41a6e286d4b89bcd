"""Asynchronous strategies from end to end, as a user meets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.examples import FOLDER
from tests.test_cli import wirelessfl
from wirelessfl.trace import Trace

EXAMPLE = FOLDER / "early-birds.yaml"


@pytest.mark.slow
def test_the_example_runs_to_its_target_and_compares(tmp_path: Path):
    """Real learning through `compare`: both reach what the synchronous one waits for."""
    names = "fedbuff,fedasync,uniform"
    done = wirelessfl(
        *("compare", EXAMPLE, "--strategies", names, "--seeds", "3", "--jobs", "1", "--out", "c"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("target reached") == 3
    table = pd.read_csv(tmp_path / "c" / "table.csv").set_index("strategy")
    assert table["reached"].tolist() == [1, 1, 1]
    assert table["time_s"]["uniform"] > 2 * table["time_s"]["fedbuff"]
    assert table["time_s"]["uniform"] > 2 * table["time_s"]["fedasync"]


@pytest.mark.slow
def test_run_takes_the_time_without_training_and_writes_a_whole_trace(tmp_path: Path):
    done = wirelessfl(
        *("run", EXAMPLE, "--timing-only", "--out", "t", "--set", "stop.rounds=30"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "early-birds, fedbuff, seed 3: 30 rounds in" in done.stdout
    trace = Trace.read(tmp_path / "t")
    assert trace.summary["strategy"] == "fedbuff"
    assert trace.rounds["server_version"].tolist() == list(range(31))
    assert trace.clients["staleness"].max() > 2
    assert np.isfinite(trace.rounds["mean_staleness"][1:]).all()
    assert (tmp_path / "t" / "timeline.json").stat().st_size > 1000


def test_what_does_not_go_together_ends_with_one_line_and_code_2(tmp_path: Path):
    done = wirelessfl(
        *("run", EXAMPLE, "--set", "strategy.adapter.method=hetlora", "--out", "x"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "strategy.adapter.method: 'hetlora' combines updates" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
