"""What every strategy promises: valid probabilities, unbiased updates, plans that can resume."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.strategy.conftest import observation
from wirelessfl.errors import InputError
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import Observation, Plan, RoundFeedback, Strategy, build_strategy
from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.step_limit import BOLDEST

INDEPENDENT = ["full", "uniform", "data_proportional", "statistical", "fslora"]
PRESETS = [*INDEPENDENT, "adaptive", "adaptive-paper"]
LEARNING = ["adaptive", "adaptive-paper"]


def strategy(clients: int, kind: str, **settings: object) -> Strategy:
    if kind not in ("full", *LEARNING):
        settings.setdefault("participation", {"expected": min(2.5, clients)})
    config: StrategyConfig = TypeAdapter(StrategyConfig).validate_python({"kind": kind, **settings})
    return build_strategy(config, clients)


def feedback(plan: Plan, seen: Observation, seed: int = 0) -> RoundFeedback:
    """A round of clients with partly common updates."""
    rng = np.random.default_rng((seed, seen.round))
    who = np.flatnonzero(rng.random(seen.clients) < plan.q)
    updates = 0.3 + rng.normal(size=(len(who), 20))
    weights = seen.weights[who] / plan.q[who]
    none = np.zeros(len(who))
    return RoundFeedback(
        round=seen.round,
        asked=who,
        clients=who,
        weights=weights,
        q=plan.q[who],
        k=plan.k[who],
        squared_norms=(updates**2).sum(axis=1),
        update_squared_norm=float(((weights @ updates) ** 2).sum()),
        losses=none,
        compute_s=seen.compute_s(who, plan.k[who]),
        upload_s=none,
        duration_s=1.0,
        update_product=float(rng.normal()),
    )


def run(chosen: Strategy, clients: int, rounds: range) -> list[Plan]:
    plans = []
    for round in rounds:
        seen = observation(1, clients, round=round)
        plans.append(chosen.plan(seen))
        chosen.observe(feedback(plans[-1], seen))
    return plans


@pytest.mark.parametrize("kind", PRESETS)
@pytest.mark.parametrize("rounds", [1, 8], ids=["first", "later"])
def test_expected_update_is_the_data_weighted_one(kind: str, rounds: int) -> None:
    """Enumerates all participant sets of four clients."""
    chosen = strategy(4, kind)
    plan = run(chosen, 4, range(rounds))[-1]
    seen = observation(1, 4)
    expected, total = np.zeros(4), 0.0
    for members in itertools.product([False, True], repeat=4):
        uniforms = np.where(members, 0.5 * plan.q, 0.5 + 0.5 * plan.q - 1e-12)
        selected = chosen.select(plan, uniforms)
        impossible = ~np.array(members) & (plan.q == 1)
        np.testing.assert_array_equal(selected > 0, np.array(members) | impossible)
        who = np.flatnonzero(members)
        probability = np.prod(np.where(members, plan.q, 1 - plan.q))
        expected[who] += probability * chosen.weights(plan, seen, who, selected[who])
        total += probability
    assert total == pytest.approx(1.0)
    np.testing.assert_allclose(expected, seen.weights)


@given(
    st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=30),
    st.floats(0.01, 1.0),
)
def test_proportional_probabilities_sum_to_the_expected_number(
    scores: list[float], fraction: float
) -> None:
    array = np.array(scores)
    expected = fraction * len(scores)
    q = proportional_q(array, expected)
    assert q.sum() == pytest.approx(expected)
    assert np.all((q > 0) & (q <= 1))
    below = q < 1
    if below.any():
        ratio = (q / array)[below]
        np.testing.assert_allclose(ratio, ratio[0])
        assert np.all(array[~below] * ratio[0] >= 1 - 1e-9)


def test_presets_differ_as_their_names_say() -> None:
    seen = observation(1, 12)
    assert np.all(strategy(12, "full").plan(seen).q == 1)
    np.testing.assert_allclose(strategy(12, "uniform").plan(seen).q, 2.5 / 12)
    by_data = strategy(12, "data_proportional").plan(seen).q
    np.testing.assert_allclose(by_data, 2.5 * seen.weights)
    for kind in ("uniform", "data_proportional", "statistical", "fslora"):
        assert strategy(12, kind).plan(seen).q.sum() == pytest.approx(2.5)
    assert strategy(12, "adaptive").bandwidth.kind == "work_conserving"
    paper = TypeAdapter(StrategyConfig).validate_python({"kind": "adaptive-paper"})
    assert paper.bandwidth.kind == "equal_finish"
    assert paper.participation.planner == "mean_field"
    assert paper.participation.estimates == "plain"
    assert not paper.participation.opportunistic
    assert paper.server.variance_reduction == "none"
    assert paper.server.smoothness == "given"


@pytest.mark.parametrize("kind", PRESETS)
def test_fixed_rank_and_step_reach_the_plan_within_memory(kind: str) -> None:
    chosen = strategy(6, kind, adapter={"sketch": "fixed", "rank": 8}, server={"step": 1.5})
    seen = observation(1, 6, max_rank=np.array([16, 16, 4, 16, 16, 1]))
    plan = chosen.plan(seen)
    np.testing.assert_array_equal(plan.k, [8, 8, 4, 8, 8, 1])
    assert plan.server_step == 1.5


@pytest.mark.parametrize("kind", PRESETS)
def test_predicted_round_time_is_positive_and_finite(kind: str) -> None:
    for plan in run(strategy(20, kind), 20, range(5)):
        assert 0.5 < plan.expected_round_s < 1000


@pytest.mark.parametrize("kind", LEARNING)
def test_plans_come_after_the_pilot_and_every_few_rounds(kind: str) -> None:
    steady = {"opportunistic": False, "pilot_rounds": 2, "replan_every": 3, "replan_change": 99}
    chosen = strategy(20, kind, participation=steady)
    plans = run(chosen, 20, range(9))
    assert [plan.phase for plan in plans] == ["pilot"] * 2 + ["planned"] * 7
    changed = [r for r in range(1, 9) if plans[r] is not plans[r - 1]]
    assert changed == [1, 2, 5, 8]


@pytest.mark.parametrize("kind", LEARNING)
@pytest.mark.parametrize(("change", "renewed"), [(0.05, False), (0.3, True)])
def test_a_steady_plan_ends_early_when_it_promises_something_else(
    kind: str, change: float, renewed: bool
) -> None:
    """All links and devices slow down together, so that the promise changes by as much."""
    steady = {"opportunistic": False, "pilot_rounds": 1, "replan_every": 99, "replan_change": 0.15}
    chosen = strategy(20, kind, participation=steady)
    settled = run(chosen, 20, range(5))[-1]
    seen = observation(1, 20, round=5)
    slower = replace(
        seen,
        uplink_rate_of=lambda rows: seen.uplink_rate_of(rows) / (1 + change),
        downlink_rate_of=lambda rows: seen.downlink_rate_of(rows) / (1 + change),
        compute_fixed_s=seen.compute_fixed_s * (1 + change),
        compute_per_rank_s=seen.compute_per_rank_s * (1 + change),
        server_overhead_s=seen.server_overhead_s * (1 + change),
    )
    # `adaptive` forecasts a mean over rounds: told often enough, it believes in the change.
    plans = [chosen.plan(replace(slower, round=round)) for round in range(5, 65)]
    assert any(plan is not settled for plan in plans) == renewed


@pytest.mark.parametrize("opportunistic", [True, False])
def test_an_opportunistic_plan_follows_the_channel_of_the_round_and_a_steady_one_does_not(
    opportunistic: bool,
) -> None:
    """On a channel whose deviations last; the weight is by the probability of that round."""
    options = {"opportunistic": opportunistic, "replan_every": 50, "replan_change": 99}
    chosen = strategy(20, "adaptive", participation=options)
    rng, rates = np.random.default_rng(0), observation(1, 20).uplink_rate_bps
    deviation = np.zeros(20)
    for round in range(30):
        deviation = 0.9 * deviation + 0.4 * rng.normal(size=20)
        seen = observation(1, 20, round=round, uplink_rate_bps=rates * np.exp(deviation))
        before = chosen.plan(seen)
        chosen.observe(feedback(before, seen))
    client = int(np.argmax(np.where(before.q < 0.9, before.q, 0)))
    deviation[client] -= 2.0
    faded = observation(1, 20, round=30, uplink_rate_bps=rates * np.exp(deviation))
    now = chosen.plan(faded)
    if not opportunistic:
        assert now is before
        return
    assert now.q[client] < 0.8 * before.q[client]
    (weight,) = chosen.weights(now, faded, np.array([client]), np.ones(1))
    assert weight == pytest.approx(faded.weights[client] / now.q[client])


def test_a_pilot_is_small_and_seldom_calls_a_straggler() -> None:
    rates = observation(1, 20).uplink_rate_bps
    slow = np.where(np.arange(20) == 3, rates / 100, rates)
    usual, wary = (
        strategy(20, "adaptive", participation={"pilot_expected": 4}).plan(
            observation(1, 20, uplink_rate_bps=uplink)
        )
        for uplink in (rates, slow)
    )
    assert usual.phase == wary.phase == "pilot"
    assert max(usual.q.sum(), wary.q.sum()) <= 4 + 1e-9
    assert wary.q[3] < 0.5 * usual.q[3]
    assert wary.q[3] >= min(1.0, observation(1, 20).weights[3] / 0.5)


@pytest.mark.parametrize("kind", LEARNING)
def test_ranks_stay_between_k_min_and_memory(kind: str) -> None:
    chosen = strategy(20, kind, participation={"pilot_rounds": 1}, adapter={"k_min": 6})
    limits = np.resize([16, 10, 3], 20)
    for round in range(3):
        seen = observation(1, 20, round=round, max_rank=limits, uplink_hz=1e6)
        plan = chosen.plan(seen)
        chosen.observe(feedback(plan, seen))
        assert np.all(plan.k <= limits)
        assert np.all(plan.k >= np.minimum(6, limits))


@pytest.mark.parametrize("kind", LEARNING)
def test_no_update_outweighs_the_cap(kind: str) -> None:
    chosen = strategy(20, kind, participation={"max_weight": 0.1, "pilot_rounds": 1})
    for plan in run(chosen, 20, range(4)):
        weights = observation(1, 20).weights / plan.q
        assert np.all(weights <= np.maximum(0.1, observation(1, 20).weights) + 1e-12)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100))
def test_coupled_step_follows_the_noise_and_stays_positive(seed: int) -> None:
    server = {"step_max": 2.0, "smoothness": "given"}
    chosen = strategy(20, "adaptive", server=server)
    for round in range(6):
        seen = observation(seed, 20, round=round)
        plan = chosen.plan(seen)
        assert plan.server_step == pytest.approx(2.0 / (1 + plan.noise_to_signal))
        assert 2.0 * plan.q.min() / 4 <= plan.server_step <= 2.0
        chosen.observe(feedback(plan, seen, seed))


@pytest.mark.parametrize(("smoothness", "part"), [("given", 1.0), ("measured", BOLDEST)])
def test_full_participation_takes_the_full_step_or_what_is_safe_of_it(
    smoothness: str, part: float
) -> None:
    everybody = {"participation": {"q_min": 1.0}, "adapter": {"sketch": "off"}}
    server = {"step_max": 3.0, "smoothness": smoothness}
    chosen = strategy(5, "adaptive", **everybody, server=server)
    assert chosen.plan(observation(1, 5)).server_step == pytest.approx(part * 3.0)


@pytest.mark.parametrize("kind", LEARNING)
def test_unreachable_clients_stay_out_until_they_are_back(kind: str) -> None:
    chosen = strategy(10, kind, participation={"pilot_rounds": 1, "replan_every": 1})
    rates = observation(1, 10).uplink_rate_bps
    out = np.where(np.arange(10) < 3, 0.0, rates)
    for round, uplink in enumerate([out, out, rates, np.zeros(10)]):
        plan = chosen.plan(observation(1, 10, round=round, uplink_rate_bps=uplink))
        np.testing.assert_array_equal(plan.q > 0, uplink > 0)
        assert np.isfinite(plan.expected_round_s)


def test_too_many_expected_participants_are_refused() -> None:
    with pytest.raises(InputError, match="30, but there are 20 clients"):
        strategy(20, "uniform", participation={"expected": 30})


@pytest.mark.parametrize("kind", PRESETS)
def test_a_rank_beyond_the_adapter_is_refused(kind: str) -> None:
    chosen = strategy(5, kind, adapter={"sketch": "fixed", "rank": 17})
    with pytest.raises(InputError, match="the adapter has rank 16"):
        chosen.plan(observation(1, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "full", "participation": {"expected": 3}},
        {"kind": "uniform", "participation": {"q_min": 0.1}},
        {"kind": "uniform", "adapter": {"sketch": "planned"}},
        {"kind": "uniform", "server": {"step": "coupled"}},
        {"kind": "adaptive", "adapter": {"sketch": "fixed"}},
        {"kind": "adaptive", "adapter": {"sketch": "off", "k_min": 4}},
        {"kind": "adaptive", "server": {"step": -1.0}},
        {"kind": "adaptive", "server": {"step": 1.0, "step_max": 2.0}},
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(StrategyConfig).validate_python(wrong)


def test_part_of_a_preset_can_be_overridden_without_losing_the_rest() -> None:
    config = TypeAdapter(StrategyConfig).validate_python(
        {"kind": "adaptive-paper", "participation": {"q_min": 0.05}}
    )
    assert config.participation.planner == "mean_field"


def test_planning_is_deterministic() -> None:
    ours, theirs = (run(strategy(30, "adaptive"), 30, range(5))[-1] for _ in range(2))
    np.testing.assert_array_equal(ours.q, theirs.q)
