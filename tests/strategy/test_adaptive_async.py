"""`adaptive-async`: what its plans keep to, the weights, the step, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.strategy.conftest import observation
from wirelessfl.errors import InputError
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import RoundFeedback, build_strategy
from wirelessfl.strategy.adaptive_async import AdaptiveAsyncStrategy
from wirelessfl.strategy.flow_plan import DELAYED
from wirelessfl.strategy.in_time import alone_s
from wirelessfl.strategy.observation import AsyncPlan

EVERY = np.arange(40)
ONCE = np.ones(40, np.int64)


def strategy(clients: int = 40, **choices: object) -> AdaptiveAsyncStrategy:
    config = TypeAdapter(StrategyConfig).validate_python({"kind": "adaptive-async", **choices})
    built = build_strategy(config, clients)
    assert isinstance(built, AdaptiveAsyncStrategy)
    return built


def learnt(built: AdaptiveAsyncStrategy, plan: AsyncPlan, common: float) -> None:
    """A model update of ten unit updates whose sum is so much longer than if unrelated."""
    clients = np.arange(10)
    weights = built.weights(plan, observation(), clients, ONCE[:10])
    built.observe(
        RoundFeedback(
            round=0,
            asked=clients,
            clients=clients,
            weights=weights,
            q=plan.q[clients],
            k=np.full(10, 16),
            squared_norms=np.ones(10),
            update_squared_norm=common * float(weights @ weights),
            losses=np.ones(10),
            compute_s=observation().compute_s(clients, np.full(10, 16)),
            upload_s=np.ones(10),
            duration_s=1.0,
        )
    )


def lost(built: AdaptiveAsyncStrategy, plan: AsyncPlan) -> None:
    """Everybody is asked twice, and arrives once."""
    weights = built.weights(plan, observation(), EVERY, ONCE)
    built.observe(
        RoundFeedback(
            round=0,
            asked=np.repeat(EVERY, 2),
            clients=EVERY,
            weights=weights,
            q=plan.q,
            k=np.full(40, 16),
            squared_norms=np.ones(40),
            update_squared_norm=float(weights @ weights),
            losses=np.ones(40),
            compute_s=observation().compute_s(EVERY, np.full(40, 16)),
            upload_s=np.ones(40),
            duration_s=1.0,
        )
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), most=st.sampled_from([None, 1, 3, 12]))
def test_a_plan_keeps_to_its_limits(seed: int, most: int | None):
    rng = np.random.default_rng(seed)
    seen = observation(seed, max_rank=rng.choice([4, 8, 16], 40))
    built = strategy(participation={"concurrency_max": most})
    plan = built.plan(seen)
    assert plan.q.sum() == pytest.approx(plan.buffer)
    assert np.allclose(plan.odds / plan.odds.sum(), plan.q / plan.buffer)
    assert 1 <= plan.at_work <= (most or 40)
    assert np.all((plan.k >= np.minimum(4, seen.max_rank)) & (plan.k <= seen.max_rank))
    assert 0 < plan.server_step <= 0.5
    assert plan.expected_round_s >= seen.server_overhead_s
    weights = built.weights(plan, seen, EVERY, ONCE)
    free = weights < 1.25 / plan.buffer * (1 - 1e-9)
    assert np.allclose((plan.q * weights)[free], seen.weights[free])
    assert np.all((plan.q * weights)[~free] <= seen.weights[~free] * (1 + 1e-9))


def test_the_step_is_that_of_noise_and_delay():
    seen = observation()
    server = {"step_max": 3.0, "smoothness": "given"}
    plan = strategy(server=server, adapter={"sketch": "off"}).plan(seen)
    delay = plan.relative_rounds - 1 - plan.noise_to_signal  # and the drift, none at full rank
    ratio = 1 / (1 + plan.noise_to_signal + delay)
    assert plan.server_step == pytest.approx(3.0 * ratio, rel=1e-12)
    assert delay == pytest.approx(DELAYED * plan.at_work / plan.buffer, rel=0.2)  # whole places
    assert strategy(server={"step": 0.7}).plan(seen).server_step == 0.7


def test_updates_that_agree_make_the_step_longer_and_others_do_not():
    steps = {}
    for common in (1.0, 6.0):
        built = strategy(server={"step_max": 3.0, "smoothness": "given"})
        before = built.plan(observation())
        learnt(built, before, common)
        after = built.plan(observation(round=1))
        assert np.isfinite(after.noise_to_signal_error)
        steps[common] = after.server_step / before.server_step
    assert steps[6.0] > 1.2 * steps[1.0]


def test_who_has_no_channel_or_cannot_hold_the_model_is_not_sent_out():
    seen = observation()
    rates = seen.uplink_rate_bps.copy()
    rates[:5] = 0.0
    most = np.full(40, 16)
    most[5:9] = 0
    weights = np.where(most > 0, seen.weights, 0.0)
    built = strategy()
    plan = built.plan(
        observation(uplink_rate_bps=rates, max_rank=most, weights=weights / weights.sum())
    )
    assert np.all(plan.odds[:9] == 0)
    assert np.all(plan.odds[9:] > 0)
    assert all(built.choose(plan, EVERY, draw) >= 9 for draw in np.linspace(0.001, 0.999, 50))


def test_with_no_channel_at_all_nobody_is_sent_out_and_the_server_looks_again():
    plan = strategy().plan(observation(uplink_rate_bps=np.zeros(40)))
    assert plan.at_work == 0
    assert not plan.odds.any()
    assert plan.renew_s == 1.0


def test_half_of_the_updates_lost_is_twice_as_many_sent_for():
    """Weights are a_n over what arrives of n's in a buffer of K arrivals: so they sum to 1."""
    seen, built = observation(), strategy(participation={"max_weight": 100.0})
    built.plan(seen)
    for _ in range(20):
        plan = built.plan(seen)
        lost(built, plan)
    plan = built.plan(observation(round=1))
    survival = built._knowledge.survival
    assert np.all(survival < 0.6)
    assert (plan.q * survival).sum() == pytest.approx(plan.buffer)
    weights = built.weights(plan, seen, EVERY, ONCE)
    assert weights @ (plan.q * survival) == pytest.approx(1.0)


def test_who_is_late_even_alone_is_not_sent_out():
    seen = observation()
    alone = alone_s(seen, np.full((40, 1), 4))[:, 0]
    limit_s = float(np.median(alone))
    plan = strategy().plan(observation(deadline_s=limit_s))
    assert ((plan.odds > 0) == (alone <= limit_s)).all()
    sent = plan.odds > 0
    assert np.all(alone_s(seen, plan.k[:, None])[sent, 0] <= limit_s)
    with pytest.raises(InputError, match="even the fastest client is expected to train for"):
        strategy().plan(observation(deadline_s=1e-3))


def test_more_are_at_work_where_the_uplink_has_room():
    rates = observation().uplink_rate_bps, observation().downlink_rate_bps
    few, many = (
        strategy()
        .plan(observation(uplink_rate_bps=times * rates[0], downlink_rate_bps=times * rates[1]))
        .at_work
        for times in (1.0, 1000.0)
    )
    assert few < many <= 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"bandwidth": {"kind": "equal_finish"}},
        {"adapter": {"method": "flora"}},
        {"server": {"variance_reduction": "fitted"}},
        {"participation": {"max_weight": 0.9}},
        {"participation": {"concurrency_max": 0}},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict):
    with pytest.raises(ValidationError):
        strategy(**wrong)


def test_a_rank_beyond_the_adapter_is_refused():
    with pytest.raises(InputError, match="k_min is 32, but the adapter has rank 16"):
        strategy(adapter={"k_min": 32}).plan(observation())
