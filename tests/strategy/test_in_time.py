"""Plans under a server's deadline: who is left out, how often rounds are cut, what is learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import wirelessfl as wfl
from tests.examples import FOLDER
from tests.strategy.conftest import observation
from tests.strategy.test_planner import PLANNERS, Planner, problem
from tests.strategy.test_strategies import LEARNING, feedback, strategy
from wirelessfl.errors import InputError
from wirelessfl.strategy import Observation, Plan, RoundFeedback
from wirelessfl.strategy.in_time import (
    LATE,
    MEMORY,
    Pace,
    alone_s,
    late_share,
    lossy_cost,
    plan_in_time,
    ranks_in_time,
)
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import round_model

RANKS = np.array([4, 8, 16])


def searched(planner: Planner, task: Problem, deadline_s: float) -> tuple[Floats, Ints]:
    return plan_in_time(task, deadline_s, lambda problem, _: planner(problem), None)


def free_s(task: Problem, planner: Planner, quantile: float) -> float:
    """A quantile of the round times of the plan without a deadline, less the overhead."""
    times_s, _ = task.model.durations_s(*planner(task))
    return float(np.quantile(times_s, quantile)) - task.model.overhead_s


def test_alone_is_what_a_round_of_one_client_takes() -> None:
    seen = observation(3, 5, compute_spread=0.0, latency_s=np.linspace(0.0, 0.4, 5))
    ranks = np.tile(RANKS, (5, 1))
    model = round_model(seen, strategy(5, "adaptive").bandwidth, ranks)
    for client in range(5):
        for option in range(3):
            q, options = np.eye(5)[client], np.full(5, option)
            expected = model.round_s(q, options) - seen.server_overhead_s
            assert alone_s(seen, ranks)[client, option] == pytest.approx(expected)


def test_who_cannot_be_in_time_alone_is_left_out_and_so_are_ranks() -> None:
    seen = observation(3, 6)
    ranks = np.tile(RANKS, (6, 1))
    alone = alone_s(seen, ranks)
    deadline_s = float(np.median(alone))
    in_time, fitting = ranks_in_time(seen, ranks, deadline_s)
    assert 0 < in_time.sum() < 6
    np.testing.assert_array_equal(in_time, alone[:, 0] <= deadline_s)
    for client in np.flatnonzero(in_time):
        largest = RANKS[alone[client] <= deadline_s].max()
        np.testing.assert_array_equal(fitting[client], np.minimum(RANKS, largest))
    everybody, same = ranks_in_time(seen, ranks, np.inf)
    assert everybody.all()
    np.testing.assert_array_equal(same, ranks)


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_rounds_are_cut_no_more_often_than_the_bound(planner: Planner, seed: int) -> None:
    task = problem(seed, clients=20)
    deadline_s = 0.9 * free_s(task, planner, 0.5)
    assert late_share(task.model, planner(task), deadline_s) > LATE
    plan = searched(planner, task, deadline_s)
    assert late_share(task.model, plan, deadline_s) <= LATE
    assert plan[0].sum() > task.floor.sum(), "it does not give up"


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_deadline_that_is_kept_anyway_changes_nothing(planner: Planner) -> None:
    task = problem(1, clients=20)
    free = planner(task)
    for deadline_s in (np.inf, free_s(task, planner, 1.0)):
        for found, expected in zip(searched(planner, task, deadline_s), free, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_where_jitter_allows_no_plan_in_time_the_least_costly_is_taken() -> None:
    """A third is late even alone: to ask nearly nobody would not change that, and costs more."""
    alike = {"compute_fixed_s": np.full(20, 5.0), "compute_per_rank_s": np.full(20, 0.01)}
    task = problem(1, clients=20, compute_spread=1.0, uplink_hz=1e9, **alike)
    free, plan = PLANNERS[0](task), searched(PLANNERS[0], task, 5.2)
    assert late_share(task.model, plan, 5.2) > LATE
    assert lossy_cost(task, plan, 5.2) < 0.5 * lossy_cost(task, free, 5.2)
    assert lossy_cost(task, plan, 5.2) < lossy_cost(task, (task.floor, plan[1]), 5.2)


@pytest.mark.parametrize(("kind", "late"), [("adaptive", LATE + 0.03), ("adaptive-paper", 0.2)])
def test_a_strategy_keeps_the_deadline_and_predicts_rounds_as_they_are_cut(
    kind: str, late: float
) -> None:
    """Seen in more sets than planned with; mean field finds no plan that avoids slow clients."""
    free = observation(1, round=10)
    chosen = strategy(40, kind)
    alone = alone_s(free, np.full((40, 1), 4))[:, 0]
    seen = replace(free, deadline_s=float(np.quantile(alone, 0.8)))
    plan = chosen.plan(seen)
    np.testing.assert_array_equal(plan.q > 0, alone <= seen.deadline_s)
    some = np.flatnonzero(plan.q)
    option = np.zeros(len(some), dtype=np.int64)
    uncut = round_model(free.only(some), chosen.bandwidth, plan.k[some, None], 40_960)
    assert late_share(uncut, (plan.q[some], option), seen.deadline_s) <= late
    times_s, weight = uncut.durations_s(plan.q[some], option)
    longest_s = seen.deadline_s + seen.server_overhead_s
    assert plan.expected_round_s == pytest.approx(weight @ np.minimum(times_s, longest_s))


def test_a_deadline_that_nobody_can_keep_is_one_clear_error_and_no_channel_is_not() -> None:
    with pytest.raises(InputError, match=r"server\.deadline is 0\.5 s, but even the fastest"):
        strategy(10, "adaptive").plan(observation(1, 10, deadline_s=0.5))
    weak = observation(1, 10, deadline_s=20.0, uplink_rate_bps=np.full(10, 1.0))
    assert not strategy(10, "adaptive").plan(weak).q.any()


def cut_round(plan: Plan, seen: Observation) -> RoundFeedback:
    """A round that took until the deadline, and of which nothing arrived."""
    done = feedback(plan, seen)
    none = np.zeros(0)
    return replace(
        done, clients=done.clients[:0], weights=none, q=none, k=done.k[:0], squared_norms=none,
        update_squared_norm=0.0, losses=none, compute_s=none, upload_s=none,
        duration_s=seen.deadline_s + seen.server_overhead_s,
    )  # fmt: skip


@pytest.mark.slow
def test_rounds_that_are_cut_make_plans_smaller_and_weights_no_larger() -> None:
    """Nothing arrives, against all expectation: fewer are asked, until rounds end in time."""
    chosen = strategy(40, "adaptive")
    expected = []
    for round in range(15):
        seen = observation(1, round=round, deadline_s=25.0)
        plan = chosen.plan(seen)
        expected.append(plan.expected_round_s - seen.server_overhead_s)
        some = np.flatnonzero(plan.q)
        weights = chosen.weights(plan, seen, some, np.ones(len(some)))
        np.testing.assert_allclose(weights, seen.weights[some] / plan.q[some])
        chosen.observe(cut_round(plan, seen))
    assert expected[-1] < 0.6 * expected[3]
    for round in range(15, 60):
        seen = observation(1, round=round, deadline_s=25.0)
        plan = chosen.plan(seen)
        lasted = replace(feedback(plan, seen), duration_s=plan.expected_round_s)
        chosen.observe(lasted)
    assert plan.expected_round_s - seen.server_overhead_s > 0.9 * expected[3], "it recovers"


def test_pace_is_a_running_mean_of_what_rounds_took_and_forgets() -> None:
    pace = Pace()
    pace.observe(3.0, 2.0)
    assert pace.planned_s(10.0) == pytest.approx(10.0 / (MEMORY + (1 - MEMORY) * 1.5))
    for _ in range(200):
        pace.observe(0.0, 0.0)  # rounds of nobody
    assert pace.planned_s(10.0) == pytest.approx(10.0)
    pace.observe(0.1, 2.0)
    assert pace.planned_s(10.0) == 10.0, "never more than the deadline"


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEARNING)
def test_adaptive_learns_under_a_deadline(kind: str) -> None:
    """With the time of a round capped, and no more said, all 40 are asked and none is in time."""
    overrides = {
        "seed": 10,
        "stop.time": "45 s",
        "stop.target": {"metric": "loss", "below": 0.9},
        "server.deadline": "1 s",
        "strategy": {"kind": kind, "server": {"step_max": 4}},
    }
    trace = wfl.simulate(wfl.load(FOLDER / "quickstart.yaml", overrides=overrides))
    assert trace.summary["target_reached"]
    rounds = trace.clients.groupby("round")["outcome"]
    assert rounds.apply(lambda outcome: (outcome == "completed").any()).mean() > 0.7
