"""Runs with a memo: the same trace as without, and nothing that was trained is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pandas.testing import assert_frame_equal

from tests.simulation.test_resume import interrupted
from wirelessfl.scenario import Scenario
from wirelessfl.scenario.adapter import Method
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner

UNIFORM = "strategy={{kind: uniform, participation: {{expected: 3}}, {}}}"
STRATEGIES = {
    **{name: UNIFORM.format(f"adapter: {{method: {name}}}") for name in get_args(Method)},
    "pruning": "strategy={kind: full, adapter: {method: hetlora, pruning: 0.5, sketch: off}}",
    "oracle": "strategy={kind: adaptive, participation: {oracle: true, pilot_expected: 3}, "
    "server: {variance_reduction: none}}",
    "fedbuff": "strategy={kind: fedbuff, buffer: 2, participation: {concurrency: 3}}",
}


def forbid_training(scenario: Scenario, patch: pytest.MonkeyPatch) -> None:
    """From now on whoever trains or evaluates fails, as far as this process remembers nothing."""

    def fail(*arguments) -> None:
        raise AssertionError("something was computed")

    learner = shared_learner(scenario)
    learner._evaluated.clear()
    patch.setattr(learner, "_trained", fail)
    patch.setattr(learner, "_measured", fail)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.slow
def test_a_run_with_a_memo_has_the_trace_of_one_without(
    small, tmp_path: Path, monkeypatch, name: str
):
    scenario = small("stop={rounds: 4}", STRATEGIES[name])
    plain = simulate(scenario)
    shared_learner(scenario)._evaluated.clear()
    first = simulate(scenario, memo=tmp_path)
    assert first.summary["host"]["memo"]["misses"] > 4
    forbid_training(scenario, monkeypatch)
    second = simulate(scenario, memo=tmp_path)
    assert second.summary["host"]["memo"]["misses"] == 0
    for run in (first, second):
        assert_frame_equal(run.rounds, plain.rounds, check_exact=True)
        assert_frame_equal(run.clients, plain.clients, check_exact=True)
        assert run.adapter == plain.adapter
        assert run.summary["gradient_jobs"] == plain.summary["gradient_jobs"]


def test_another_channel_learns_the_same_without_training(small, tmp_path: Path, monkeypatch):
    still = small("network.fading={kind: none}")
    moving = small("network.fading={kind: rayleigh_block, speed: 10 m/s}")
    shared_learner(still)._evaluated.clear()
    one = simulate(still, memo=tmp_path)
    forbid_training(moving, monkeypatch)
    other = simulate(moving, memo=tmp_path)
    assert other.rounds["loss"].tolist() == one.rounds["loss"].tolist()
    assert (other.rounds["end_s"] != one.rounds["end_s"]).any()


def test_a_run_without_a_memo_uses_none(small, tmp_path: Path):
    simulate(small(), memo=tmp_path)
    run = simulate(small())
    assert run.summary["host"]["memo"] is None
    assert shared_learner(small()).memo is None


def test_a_stopped_run_goes_on_with_a_memo(small, tmp_path: Path):
    scenario = small("stop={rounds: 5}", "trace.checkpoint_every=2")
    interrupted(scenario, tmp_path / "checkpoint", after=3)
    resumed = simulate(scenario, checkpoint=tmp_path / "checkpoint", memo=tmp_path / "memo")
    assert resumed.adapter == simulate(scenario).adapter
