"""Tuning: what is tried, what counts as good, and what a second run does not do again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, loads
from wirelessfl.study import tuning
from wirelessfl.study.executor import Member
from wirelessfl.study.search import Range, Search, Trial, default_ranges, parse_range

SCENARIO = """
name: tuned
stop: {rounds: 50, time: 1000 s, target: {metric: loss, below: 0.5}}
devices: {count: 20}
strategy: {kind: uniform, participation: {expected: 4}, server: {step: 2}}
strategies: {ours: {kind: adaptive, server: {step_max: 3}}}
"""


@pytest.fixture
def scenario() -> Scenario:
    return loads(SCENARIO)


class Result:
    """The part of a trace that tuning reads: loss falls from 1, straight, in `time_s`."""

    def __init__(self, time_s: float | None, end_s: float, way: float = 1.0) -> None:
        self.summary = {"diverged": None}
        self._time_s, self._way = time_s, way
        self.rounds = {"end_s": np.array([0.0, end_s])}
        self.rounds["end_s"] = type("Column", (), {"iloc": [0.0, end_s]})()

    def time_to(self, *_: object) -> float | None:
        return self._time_s

    def curve(self, _: str) -> list[tuple[float, float]]:
        return [(0.0, 1.0), (1.0, 1.0 - 0.5 * self._way)]


def law(scenario: Scenario) -> Result | Exception:
    """Seconds to the target, least at step 4 and 8 participants; a step over 7 fails."""
    step = scenario.strategy.server.step
    expected = scenario.strategy.participation.expected
    if step > 7:
        return ArithmeticError("diverged")
    time_s = 100 * (1 + math.log2(step / 4) ** 2 + math.log2(expected / 8) ** 2)
    limit_s = scenario.stop.time_s
    if time_s > limit_s:
        return Result(None, limit_s, way=limit_s / time_s)
    return Result(time_s, time_s)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """Replaces simulations by `law`, and collects what would have run."""
    asked: list[Member] = []

    def run_members(members: dict, *_: object):
        for member in members:
            asked.append(member)
            yield member, law(member.scenario)

    monkeypatch.setattr(tuning, "run_members", run_members)
    return asked


def test_default_ranges_are_the_step_and_how_many_take_part(scenario: Scenario) -> None:
    assert default_ranges(scenario) == [
        Range("server.step", 0.5, 8.0, whole=False),
        Range("participation.expected", 1.0, 20.0, whole=False),
    ]
    assert default_ranges(scenario.with_strategy("ours")) == [
        Range("server.step_max", 0.75, 12.0, whole=False)
    ]
    assert [one.path for one in default_ranges(scenario.with_strategy("full"))] == ["server.step"]
    assert default_ranges(scenario.with_strategy("fedasync")) == [
        Range("mixing.alpha", 0.15, 1.0, whole=False),
        Range("participation.concurrency", 1.0, 20.0, whole=True),
    ]
    assert [one.path for one in default_ranges(scenario.with_strategy("fedbuff"))] == [
        *("server.step", "participation.concurrency", "buffer")
    ]


def test_tuning_comes_near_the_best_settings(scenario: Scenario, runs: list[Member]) -> None:
    result = tuning.tune(scenario, "uniform", trials=32)
    assert result.best.score_s < 130
    assert result.best.reached == 2
    assert result.scenario.strategy.server.step == result.best.settings["server.step"]
    assert result.scenario.strategies == {}
    assert {member.seed for member in runs} == {100, 101}


def test_the_own_settings_come_first_and_all_strategies_get_the_same_points(
    scenario: Scenario,
) -> None:
    ranges = default_ranges(scenario)
    ours = Search(scenario, ranges, 16).ask(8)
    theirs = Search(scenario.with_strategy("data_proportional"), ranges, 16).ask(8)
    assert ours[0] == {"server.step": 2.0, "participation.expected": 4.0}
    assert [ours[i] for i in range(1, 8)] == [theirs[i] for i in range(1, 8)]
    steps = np.sort([np.log(ours[i]["server.step"]) for i in range(1, 8)])
    assert np.diff(steps).max() < (np.log(8) - np.log(0.5)) / 3  # no third of the range is empty


def test_hopeless_runs_are_cut_at_three_times_the_best(
    scenario: Scenario, runs: list[Member]
) -> None:
    result = tuning.tune(scenario, "uniform", trials=12)
    assert all(member.scenario.stop.time_s == 1000 for member in runs[:8])
    best = min(trial.score_s for trial in result.trials[:4])
    assert all(member.scenario.stop.time_s == pytest.approx(3 * best) for member in runs[8:16])


def test_a_run_that_did_not_arrive_counts_twice_its_extrapolated_time(
    scenario: Scenario, runs: list[Member]
) -> None:
    never = [Range("participation.expected", 0.001, 0.0011, whole=False)]
    trial = tuning.tune(scenario, "uniform", trials=1, ranges=never).best
    would_take = 100 * (2 + math.log2(trial.settings["participation.expected"] / 8) ** 2)
    assert (trial.reached, trial.score_s) == (0, pytest.approx(2 * would_take))


def test_reaching_the_target_counts_before_being_fast() -> None:
    trials = (
        Trial(0, {}, reached=1, score_s=10.0),
        Trial(1, {}, reached=2, score_s=50.0),
        Trial(2, {}, reached=2, score_s=40.0),
        Trial(3, {}, reached=0, score_s=math.inf),
    )
    assert tuning.Tuning("uniform", trials, loads(SCENARIO)).best.number == 2


def test_a_second_run_repeats_nothing_and_says_the_same(
    scenario: Scenario, runs: list[Member], tmp_path: Path
) -> None:
    first = tuning.tune(scenario, "uniform", trials=10, out=tmp_path)
    count = len(runs)
    again = tuning.tune(scenario, "uniform", trials=10, out=tmp_path)
    assert (again, len(runs)) == (first, count)
    table = tmp_path / "uniform.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:5]))  # as if it had been stopped after the first group
    assert tuning.tune(scenario, "uniform", trials=10, out=tmp_path) == first
    assert len(runs) == count + 2 * 6
    with pytest.raises(InputError, match="holds trials of another scenario"):
        tuning.tune(scenario, "uniform", trials=10, seeds=[7], out=tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        "server.step",
        "server.step=1",
        "server.step=2..1",
        "server.step=a..b",
        "server.stp=1..2",
        "bandwidth=1..2",
        "server.step=0..1",
    ],
)
def test_ranges_that_cannot_be_are_refused(scenario: Scenario, wrong: str) -> None:
    with pytest.raises(InputError, match="--over"):
        parse_range(wrong, scenario)
    assert parse_range("server.step=0.5..8", scenario) == Range("server.step", 0.5, 8, whole=False)


def test_values_that_the_strategy_refuses_are_found_before_anything_runs(
    scenario: Scenario, runs: list[Member]
) -> None:
    wide = [Range("participation.expected", 1, 30, whole=False)]
    with pytest.raises(InputError, match="30, but there are 20 clients"):
        tuning.tune(scenario, "uniform", ranges=wide)
    with pytest.raises(InputError, match="tuning needs stop"):
        tuning.tune(loads(SCENARIO, overrides={"stop.target": None}), "uniform")
    assert not runs
