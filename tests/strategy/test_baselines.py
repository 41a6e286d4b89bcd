"""What defines each baseline: whom it draws, by what, with which weight, and its bias."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests.strategy.conftest import observation
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import Observation, Plan, RoundFeedback, Strategy, build_strategy


def strategy(kind: str, clients: int, expected: float, **participation: Any) -> Strategy:
    config: StrategyConfig = TypeAdapter(StrategyConfig).validate_python(
        {"kind": kind, "participation": {"expected": expected, **participation}}
    )
    return build_strategy(config, clients)


def feedback(
    seen: Observation,
    plan: Plan,
    clients: Any,
    norms: Any = 1.0,
    losses: Any = 1.0,
    time_s: Any = 1.0,
) -> RoundFeedback:
    """What the server measured of these clients; scalars are the same for all."""
    who = np.asarray(clients)
    weights = seen.weights[who]

    def each(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, float), who.shape).copy()

    return RoundFeedback(
        round=seen.round,
        asked=who,
        clients=who,
        weights=weights,
        q=plan.q[who],
        k=plan.k[who],
        squared_norms=each(norms) ** 2,
        update_squared_norm=float(np.sum(weights**2 * each(norms) ** 2)),
        losses=each(losses),
        compute_s=each(time_s),
        upload_s=np.zeros(len(who)),
        duration_s=1.0,
    )


def mean_weights(chosen: Strategy, plan: Plan, seen: Observation, trials: int) -> np.ndarray:
    """Weight of each client, averaged over draws, if everybody's update arrives."""
    rng, total = np.random.default_rng(0), np.zeros(seen.clients)
    for _ in range(trials):
        counts = chosen.select(plan, rng.random(seen.clients))
        who = np.flatnonzero(counts)
        total[who] += chosen.weights(plan, seen, who, counts[who])
    return total / trials


# statistical


def test_statistical_sampling_learns_to_draw_by_data_times_norm():
    chosen, norms = strategy("statistical", 6, 2.0), np.array([1.0, 2.0, 4.0, 1.0, 3.0, 0.5])
    for round in range(200):
        seen = observation(1, 6, round=round)
        chosen.observe(feedback(seen, chosen.plan(seen), np.arange(6), norms))
    q = chosen.plan(observation(1, 6)).q
    scores = observation(1, 6).weights * norms
    assert q.sum() == pytest.approx(2.0)
    ratio = (q / scores)[q < 1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.1)


# fixed_k


def after_pilots(chosen: Strategy, clients: int, **changes: Any) -> tuple[Plan, Observation]:
    """The plan after pilots of two rounds each, in which everybody took part."""
    losses = [3.0, 2.0, 3.0, 1.5]
    for round in range(4):
        seen = observation(1, clients, round=round, **changes)
        plan = chosen.plan(seen)
        norms = np.linspace(1, 2, clients)
        chosen.observe(feedback(seen, plan, np.arange(clients), norms, losses[round]))
    seen = observation(1, clients, round=4, **changes)
    return chosen.plan(seen), seen


def test_fixed_k_is_unbiased_over_all_sequences_of_draws():
    chosen = strategy("fixed_k", 4, 3, pilot_rounds=2)
    plan, seen = after_pilots(chosen, 4)
    odds = plan.draws / 3
    ends = np.cumsum(odds)
    expected, total, taking_part = np.zeros(4), 0.0, np.zeros(4)
    for sequence in itertools.product(range(4), repeat=3):
        uniforms = np.append([ends[n] - odds[n] / 2 for n in sequence], 0.5)
        counts = chosen.select(plan, uniforms)
        assert counts.sum() == 3
        who = np.flatnonzero(counts)
        probability = float(np.prod(odds[list(sequence)]))
        expected[who] += probability * chosen.weights(plan, seen, who, counts[who])
        taking_part[who] += probability
        total += probability
    assert total == pytest.approx(1.0)
    np.testing.assert_allclose(expected, seen.weights)
    np.testing.assert_allclose(taking_part, plan.q)


def test_fixed_k_pilots_draw_alike_then_by_data_from_the_first_model():
    chosen = strategy("fixed_k", 5, 2, pilot_rounds=2)
    plans = []
    for round in range(5):
        seen = observation(1, 5, round=round)
        plans.append(chosen.plan(seen))
        chosen.observe(feedback(seen, plans[-1], np.arange(5)))
    assert [plan.phase for plan in plans] == ["pilot"] * 4 + ["planned"]
    assert [plan.restart for plan in plans] == [False, False, True, False, False]
    np.testing.assert_allclose(plans[1].draws, 0.4)
    np.testing.assert_allclose(plans[3].draws, 2 * seen.weights)


def test_fixed_k_prefers_fast_clients_and_those_whose_updates_weigh():
    alike = {"weights": np.full(6, 1 / 6), "compute_per_rank_s": np.zeros(6)}
    alike |= {"uplink_rate_bps": np.full(6, 1e6), "downlink_rate_bps": np.full(6, 1e7)}
    slow = np.array([1.0, 1.0, 1.0, 50.0, 50.0, 50.0])
    plan, _ = after_pilots(
        strategy("fixed_k", 6, 2, pilot_rounds=2), 6, compute_fixed_s=slow, **alike
    )
    assert plan.draws.sum() == pytest.approx(2.0)
    assert (np.diff(plan.draws[:3]) > 0).all()  # norms rise from client to client
    assert (np.diff(plan.draws[3:]) > 0).all()
    assert plan.draws[3:].max() < plan.draws[:3].min()


def test_fixed_k_leaves_out_who_reports_no_rate():
    rates = observation(1, 6).uplink_rate_bps
    chosen = strategy("fixed_k", 6, 2, pilot_rounds=2)
    plan, _ = after_pilots(chosen, 6, uplink_rate_bps=np.where(np.arange(6) == 2, 0.0, rates))
    assert plan.draws[2] == 0.0
    assert plan.draws.sum() == pytest.approx(2.0)
    nobody = chosen.plan(observation(1, 6, round=5, uplink_rate_bps=np.zeros(6)))
    assert chosen.select(nobody, np.full(6, 0.5)).sum() == 0


# deadline


def test_deadline_asks_more_than_it_waits_for_of_those_who_are_there():
    seen = observation(1, 20)
    plan = strategy("deadline", 20, 10).plan(seen)
    assert plan.enough == 10
    np.testing.assert_allclose(plan.q, 13 / 20)
    half = replace(seen, available=np.arange(20) < 8)
    few = strategy("deadline", 20, 10).plan(half)
    np.testing.assert_array_equal(few.q, half.available)
    several = strategy("deadline", 20, 10, over_select=1.1).plan(seen)
    assert several.q.sum() == pytest.approx(11.0)  # not 12, for rounding's sake


def test_deadline_is_biased_against_the_slow():
    """By enumeration: 3 of 4 are asked and the first 2 count; client 3 is never among them."""
    chosen, seen = strategy("deadline", 4, 2, over_select=1.5), observation(1, 4)
    plan, expected = chosen.plan(seen), np.zeros(4)
    for asked in itertools.combinations(range(4), 3):
        first = np.array(asked[:2])  # clients arrive in the order of their numbers
        expected[first] += chosen.weights(plan, seen, first, np.ones(2)) / 4
    assert expected.sum() == pytest.approx(1.0)
    assert expected[3] == 0.0 < seen.weights[3]
    assert np.abs(expected - seen.weights).max() > 0.05


# oort


def test_oort_explores_everyone_and_then_prefers_utility_and_speed():
    losses, time_s = np.linspace(0.5, 3.0, 12), np.ones(12)
    time_s[11] = 100.0  # of the highest loss, but far too slow
    chosen = strategy("oort", 12, 4, exploration=1.0, exploration_decay=0.9)
    alike = {"weights": np.full(12, 1 / 12)}
    rng, taken, known = np.random.default_rng(0), np.zeros(12, int), []
    for round in range(40):
        seen = observation(1, 12, round=round, **alike)
        plan = chosen.plan(seen)
        who = np.flatnonzero(chosen.select(plan, rng.random(12)))
        assert len(who) == 4
        chosen.observe(feedback(seen, plan, who, 1.0, losses[who], time_s[who]))
        taken[who] += round >= 12
        known.append(set(who.tolist()))
    assert set.union(*known[:4]) == set(range(12))
    assert taken[7:11].sum() > 2 * taken[:4].sum()
    assert taken[11] < taken[7:11].min()


def test_oort_tries_the_fast_first():
    slow = np.where(np.arange(10) < 5, 1.0, 1000.0)
    plan = strategy("oort", 10, 4).plan(observation(1, 10, compute_fixed_s=slow, uplink_hz=1e9))
    assert plan.q[:5].min() > 10 * plan.q[5:].max()
    assert plan.q.sum() == pytest.approx(4.0)


def test_oort_is_biased_towards_high_loss():
    chosen, seen = strategy("oort", 8, 3, exploration=0.0, exploration_min=0.0), observation(1, 8)
    seen = replace(seen, weights=np.full(8, 1 / 8))
    chosen.observe(feedback(seen, chosen.plan(seen), np.arange(8), 1.0, np.linspace(1, 4, 8)))
    later = replace(seen, round=1)
    mean = mean_weights(chosen, chosen.plan(later), later, 300)
    assert mean.sum() == pytest.approx(1.0)
    assert mean[-1] > 2 * later.weights[-1]
    assert mean[0] < 0.5 * later.weights[0]


def test_oort_penalises_the_slow_by_a_power_of_how_slow_they_are():
    """Six clients of equal utility, two of them four times as slow as is preferred."""
    time_s, found = np.array([1.0, 1.0, 1.0, 1.0, 4.0, 4.0]), {}
    for penalty in (0.0, 0.5, 2.0):
        chosen = strategy("oort", 6, 2, exploration=0.0, exploration_min=0.0, slow_penalty=penalty)
        seen = observation(1, 6, weights=np.full(6, 1 / 6))
        chosen.observe(feedback(seen, chosen.plan(seen), np.arange(6), 1.0, np.ones(6), time_s))
        later, known = replace(seen, round=1), np.ones(6, dtype=bool)
        found[penalty] = chosen._scores(known, time_s, later)
    np.testing.assert_allclose(found[0.0], found[0.0][0])
    for penalty in (0.5, 2.0):
        np.testing.assert_allclose(found[penalty][:4], found[0.0][0])
        np.testing.assert_allclose(found[penalty][4:], found[0.0][0] / 4**penalty)


def test_oort_paces_up_when_utility_declines_and_only_then():
    for change, paces in ((0.5, 0.4), (1.1, 0.3)):
        chosen = strategy("oort", 6, 2, pacer_rounds=2, pacer_step=0.1)
        for round in range(4):
            seen = observation(1, 6, round=round)
            chosen.observe(feedback(seen, chosen.plan(seen), [0, 1], 1.0, change**round))
        assert chosen._pace == pytest.approx(paces)


def test_oort_leaves_out_who_has_done_its_share_unless_nobody_else_is_left():
    chosen = strategy("oort", 6, 2, blacklist_after=3, exploration=0.0, exploration_min=0.0)
    for round in range(3):
        seen = observation(1, 6, round=round)
        chosen.observe(feedback(seen, chosen.plan(seen), np.arange(6 - round)))
    # Clients 0 to 3 came three times; 4 came twice, 5 once.
    plan = chosen.plan(observation(1, 6, round=3))
    np.testing.assert_allclose(plan.q, [0, 0, 0, 0, 1, 1])
    plan = chosen.plan(observation(1, 6, round=3, available=np.arange(6) < 5))
    assert plan.q[:4].sum() > 0
    assert plan.q.sum() == pytest.approx(2.0)


# what holds for all of these


FIXED = {
    "fixed_k": {"expected": 3, "pilot_rounds": 2},
    "deadline": {"expected": 3},
    "oort": {"expected": 3},
}


@pytest.mark.parametrize("kind", FIXED)
def test_as_many_are_drawn_as_the_plan_says(kind: str):
    chosen, rng = strategy(kind, 9, **FIXED[kind]), np.random.default_rng(0)
    for round in range(7):
        seen = observation(1, 9, round=round)
        plan = chosen.plan(seen)
        counts = chosen.select(plan, rng.random(9))
        assert counts.sum() == pytest.approx(plan.q.sum() if plan.draws is None else 3)
        who = np.flatnonzero(counts)
        chosen.observe(feedback(seen, plan, who))


# ranks by tiers


def test_tiers_follow_the_reported_compute_time_and_memory_alone():
    time_s = np.array([9.0, 1.0, 5.0, 2.0, 8.0, 3.0])
    seen = observation(
        1,
        6,
        compute_fixed_s=time_s,
        compute_per_rank_s=np.zeros(6),
        max_rank=np.array([16, 2, 16, 16, 16, 16]),
    )
    ranks = strategy("fslora", 6, 2.0).plan(seen).k
    np.testing.assert_array_equal(ranks, [4, 2, 8, 16, 4, 8])
    moved = observation(5, 6, compute_fixed_s=time_s, compute_per_rank_s=np.zeros(6))
    np.testing.assert_array_equal(strategy("fslora", 6, 2.0).plan(moved).k, [4, 16, 8, 16, 4, 8])


def test_devices_that_are_alike_are_in_one_tier_and_all_alike_train_all():
    alike = {"compute_per_rank_s": np.zeros(4)}
    seen = observation(1, 4, compute_fixed_s=np.full(4, 3.0), **alike)
    np.testing.assert_array_equal(strategy("flora", 4, 2.0).plan(seen).k, 16)
    pairs = observation(1, 4, compute_fixed_s=np.array([5.0, 1.0, 5.0, 1.0]), **alike)
    np.testing.assert_array_equal(strategy("flora", 4, 2.0).plan(pairs).k, [8, 16, 8, 16])


def test_excluded_clients_are_in_no_tier():
    time_s = np.array([1.0, 2.0, 3.0, 100.0])
    seen = observation(
        1,
        4,
        compute_fixed_s=time_s,
        compute_per_rank_s=np.zeros(4),
        max_rank=np.array([16, 16, 16, 0]),
    )
    np.testing.assert_array_equal(strategy("hetlora", 4, 2.0).plan(seen).k, [16, 8, 4, 0])
