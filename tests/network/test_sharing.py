from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from wirelessfl.network.finish_together import (
    RateOfShare,
    equal_finish_time,
    work_conserving_time,
)
from wirelessfl.network.sharing import (
    Bools,
    Demand,
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    Floats,
    Ints,
    MaxMinRule,
    ProportionalFairRule,
    SharingRule,
    WorkConservingRule,
    sharing_rule,
)
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.scenario.sharing import (
    EqualFinish,
    EqualShare,
    MaxMin,
    ProportionalFair,
    TdmaFifo,
    WorkConserving,
)

GOLDEN = (3.0 + math.sqrt(5.0)) / 2.0  # root of 1/T + 1/(T-1) = 1


def demand_of(
    bits: Floats,
    ready_s: Floats,
    rate_bps: RateOfShare,
    present: Bools | None = None,
    slot_left_s: float = math.inf,
    average_bps: Floats | None = None,
) -> Demand:
    n = len(bits)
    return Demand(
        np.arange(n),
        bits,
        ready_s,
        ready_s <= 0.0 if present is None else present,
        rate_bps,
        rate_bps,
        slot_left_s,
        np.full(n, np.nan) if average_bps is None else average_bps,
    )


def linear(efficiency: Floats, bits: Floats, ready_s: Floats) -> Demand:
    def rate_bps(rows: Ints, share_hz: Floats) -> Floats:
        return efficiency[rows] * share_hz

    return demand_of(bits, ready_s, rate_bps)


def concave(snr_hz: Floats, cap: float, bits: Floats, ready_s: Floats) -> Demand:
    """Mean over slots of share * min(cap, log2(1 + snr_hz / share)); snr_hz [flows, slots]."""

    def rate_bps(rows: Ints, share_hz: Floats) -> Floats:
        efficiency = np.minimum(cap, np.log2(1.0 + snr_hz[rows] / share_hz[:, None]))
        return share_hz * efficiency.mean(axis=1)

    return demand_of(bits, ready_s, rate_bps)


rounds = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(1e-3, 1e3)),
        st.one_of(st.sampled_from([0.0, 1.0, 5.0]), st.floats(0.0, 100.0)),
    ),
    min_size=1,
    max_size=12,
)


def test_closed_forms_of_two_clients() -> None:
    assert equal_finish_time([1.0, 1.0], [0.0, 1.0], 1.0) == pytest.approx(GOLDEN, rel=1e-14)
    assert work_conserving_time([1.0, 1.0], [0.0, 1.0], 1.0) == 2.0
    assert work_conserving_time([1.0, 1.0], [0.0, 5.0], 2.0) == 5.5


def test_closed_forms_of_degenerate_rounds() -> None:
    for time in (equal_finish_time, work_conserving_time):
        assert time([], [], 1.0) == 0.0
        assert time([0.0, 0.0], [1.0, 3.0], 1.0) == 3.0
        assert time([4.0], [3.0], 2.0) == 5.0
        assert time([1.0, 2.0, 3.0], [7.0, 7.0, 7.0], 2.0) == pytest.approx(10.0, rel=1e-14)
        assert time([1.0, 0.0], [0.0, 9.0], 1.0) == 9.0
        assert time([1e-12, 1.0], [1e6, 0.0], 1.0) == pytest.approx(1e6, rel=1e-12)


@given(rounds, st.floats(0.1, 10.0))
def test_equal_finish_time_solves_its_equation(
    clients: list[tuple[float, float]], bandwidth_hz: float
) -> None:
    need, ready = np.array(clients).T
    end = equal_finish_time(need, ready, bandwidth_hz)
    sending = need > 0
    if not sending.any() or end == ready.max() > ready[sending].max():
        assert end == ready.max()
    else:
        used = (need[sending] / (end - ready[sending])).sum()
        assert used == pytest.approx(bandwidth_hz, rel=1e-9)


@given(rounds, st.floats(0.1, 10.0))
def test_work_conserving_is_never_later_than_equal_finish(
    clients: list[tuple[float, float]], bandwidth_hz: float
) -> None:
    need, ready = np.array(clients).T
    later = equal_finish_time(need, ready, bandwidth_hz)
    assert work_conserving_time(need, ready, bandwidth_hz) <= later * (1 + 1e-12)


def test_equal_share_ignores_those_only_expected() -> None:
    demand = linear(np.ones(3), np.array([1.0, 9.0, 4.0]), np.array([0.0, 0.0, 7.0]))
    assert EqualShareRule().shares(demand, 0.0, 10.0).tolist() == [5.0, 5.0, 0.0]


def test_work_conserving_shares_in_proportion_to_need() -> None:
    demand = linear(
        np.array([1.0, 2.0, 1.0]), np.array([3.0, 2.0, 8.0]), np.array([0.0, -1.0, 7.0])
    )
    shares = WorkConservingRule().shares(demand, 0.0, 8.0)
    assert shares == pytest.approx([6.0, 2.0, 0.0], rel=1e-14)


def test_equal_finish_reserves_for_those_expected() -> None:
    demand = linear(np.ones(3), np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0]))
    shares = EqualFinishRule().shares(demand, 0.0, 1.0)
    assert shares == pytest.approx([1 / GOLDEN, 1 / (GOLDEN - 1), 0.0], rel=1e-14)


def test_one_that_is_late_counts_as_ready_now() -> None:
    ready = np.array([-1.0, -1.0])
    demand = linear(np.ones(2), np.array([1.0, 3.0]), ready)
    late = replace(demand, present=np.array([True, False]))
    assert EqualFinishRule("on_event").shares(late, 0.0, 4.0) == pytest.approx([1.0, 3.0])


def independent_bisection(demand: Demand, bandwidth_hz: float) -> Floats:
    """Shares by bisection on T, with a bisection on every share inside."""
    rows = np.arange(len(demand.remaining_bits))
    wait = np.where(demand.present, 0.0, demand.ready_s)

    def needed(end: float) -> Floats:
        low, high = np.zeros(len(rows)), np.full(len(rows), bandwidth_hz)
        target = demand.remaining_bits / (end - wait)
        for _ in range(200):
            middle = (low + high) / 2
            enough = demand.rate_bps(rows, np.maximum(middle, 1e-9)) >= target
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    alone = wait + demand.remaining_bits / demand.rate_bps(rows, np.full(len(rows), bandwidth_hz))
    first = float(alone.max())
    # At `first` the slowest needs everything; twice n times the longest transmission is enough.
    last = first + 2 * len(rows) * float((alone - wait).max())
    end = brentq(lambda time: needed(time).sum() - bandwidth_hz, first, last, rtol=1e-14)
    return needed(end)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rule", [WorkConservingRule(), EqualFinishRule()])
def test_concave_rates_match_an_independent_bisection(seed: int, rule: SharingRule) -> None:
    rng = np.random.default_rng(seed)
    n, slots, cap = int(rng.integers(2, 8)), int(rng.choice([1, 9])), rng.choice([5.55, math.inf])
    snr_hz = 10.0 ** rng.uniform(3, 9, (n, 1)) * rng.exponential(size=(n, slots))
    ready = np.zeros(n) if isinstance(rule, WorkConservingRule) else rng.uniform(0, 5, n)
    demand = concave(snr_hz, cap, rng.uniform(1e4, 1e7, n), ready)
    shares = rule.shares(demand, 0.0, 1e6)
    assert shares == pytest.approx(independent_bisection(demand, 1e6), rel=1e-8)
    ends = ready + demand.remaining_bits / demand.rate_bps(np.arange(n), shares)
    assert ends == pytest.approx(np.full(n, ends.max()), rel=1e-10)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_concave_shares_settle_within_a_dozen_reports(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    snr_hz = 10.0 ** rng.uniform(2, 11, (n, 1)) * rng.exponential(size=(n, 5))
    demand = concave(snr_hz, 5.5547, rng.uniform(1e3, 1e7, n), np.zeros(n))
    calls = 0

    def counted(rows: Ints, share_hz: Floats) -> Floats:
        nonlocal calls
        calls += 1
        return demand.rate_bps(rows, share_hz)

    watched = replace(demand, rate_bps=counted)
    shares = WorkConservingRule().shares(watched, 0.0, 2e7)
    assert calls <= 12
    assert shares.sum() == pytest.approx(2e7, rel=1e-12)


@pytest.mark.parametrize("rule", [WorkConservingRule(), EqualFinishRule()])
def test_a_client_nothing_is_heard_from_keeps_an_even_share(rule: SharingRule) -> None:
    demand = linear(np.array([0.0, 1.0, 1.0]), np.array([5.0, 1.0, 3.0]), np.zeros(3))
    assert rule.shares(demand, 0.0, 6.0) == pytest.approx([2.0, 1.0, 3.0])
    deaf = linear(np.zeros(3), np.ones(3), np.zeros(3))
    assert rule.shares(deaf, 0.0, 6.0) == pytest.approx([2.0, 2.0, 2.0])


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_stepped_rates_get_feasible_shares(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    snr_hz = 10.0 ** rng.uniform(4, 8, n)

    def rate_bps(rows: Ints, share_hz: Floats) -> Floats:
        return share_hz * np.floor(np.log2(1.0 + snr_hz[rows] / share_hz))

    demand = demand_of(rng.uniform(1e3, 1e6, n), np.zeros(n), rate_bps)
    shares = WorkConservingRule().shares(demand, 0.0, 1e6)
    assert (shares > 0).all()
    assert shares.sum() == pytest.approx(1e6, rel=1e-12)


def test_max_min_shares_are_inverse_to_efficiency() -> None:
    demand = linear(np.array([1.0, 2.0, 4.0, 9.0]), np.array([9.0, 1.0, 2.0, 1.0]), np.zeros(4))
    demand = replace(demand, present=np.array([True, True, True, False]))
    shares = MaxMinRule().shares(demand, 0.0, 7.0)
    assert shares == pytest.approx([4.0, 2.0, 1.0, 0.0], rel=1e-14)


@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([5.55, math.inf]))
def test_max_min_with_narrowing_power_matches_an_independent_root(
    seed: int, n: int, cap: float
) -> None:
    """The common rate r solves sum over n of (share that carries r) = f, by nested brentq."""
    rng = np.random.default_rng(seed)
    snr_hz = 10.0 ** rng.uniform(3, 9, (n, 1))
    demand = concave(snr_hz, cap, np.ones(n), np.zeros(n))
    shares = MaxMinRule().shares(demand, 0.0, 1e6)

    def share_for(row: int, rate: float) -> float:
        def missing(share: float) -> float:
            return float(demand.rate_bps(np.array([row]), np.array([share]))[0]) - rate

        return 1e6 if missing(1e6) < 0 else brentq(missing, 1e-6, 1e6, xtol=1e-9, rtol=1e-14)

    all_hz = np.full(n, 1e6)
    highest = float(demand.rate_bps(np.arange(n), all_hz).min())
    rate = brentq(
        lambda r: sum(share_for(row, r) for row in range(n)) - 1e6, 1e-3, highest, rtol=1e-13
    )
    rates = demand.rate_bps(np.arange(n), shares)
    assert rates == pytest.approx(np.full(n, rate), rel=1e-7)
    assert shares.sum() == pytest.approx(1e6, rel=1e-12)


def test_fifo_serves_the_first_ready_and_then_the_lower_client() -> None:
    demand = linear(np.ones(4), np.ones(4), np.array([-1.0, -3.0, -3.0, 5.0]))
    assert FifoRule().shares(demand, 0.0, 2.0).tolist() == [0.0, 2.0, 0.0, 0.0]
    swapped = replace(demand, client=np.array([0, 7, 2, 1]))
    assert FifoRule().shares(swapped, 0.0, 2.0).tolist() == [0.0, 0.0, 2.0, 0.0]


def proportional_fair(
    gain_bps: Floats, average_bps: Floats, slot_left_s: float, window_s: float = 1.0
) -> Floats:
    """Shares of a band of 1 Hz."""
    demand = linear(gain_bps, np.ones(len(gain_bps)), np.zeros(len(gain_bps)))
    demand = replace(demand, slot_left_s=slot_left_s, average_bps=average_bps)
    return ProportionalFairRule(window_s).shares(demand, 0.0, 1.0)


def test_proportional_fair_shares_by_hand() -> None:
    # e^d - 1 = 1: thresholds 0.5 and 1; water level 1.25
    shares = proportional_fair(np.array([2.0, 1.0]), np.array([1.0, 1.0]), math.log(2.0))
    assert shares == pytest.approx([0.75, 0.25], rel=1e-14)
    # thresholds 0.25, 1, 2: the level is 1.125 over the first two
    gain, average = np.array([4.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0])
    shares = proportional_fair(gain, average, 3.0 * math.log(2.0), window_s=3.0)
    assert shares == pytest.approx([0.875, 0.125, 0.0], rel=1e-14)


@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(1e-4, 10.0))
def test_proportional_fair_shares_are_the_best_for_the_sum_of_logs(
    seed: int, n: int, slot_left_s: float
) -> None:
    """Karush-Kuhn-Tucker: equal marginal gain where there is a share, no more where there is none.

    d/dx_n log(T e^-d + (1 - e^-d) x R) = R / (T + (e^d - 1) x R) up to a common factor.
    """
    rng = np.random.default_rng(seed)
    gain, average = rng.exponential(size=n) + 1e-3, rng.exponential(size=n) + 1e-3
    x = proportional_fair(gain, average, slot_left_s)
    assert x.sum() == pytest.approx(1.0, rel=1e-12)
    marginal = gain / (average + math.expm1(slot_left_s) * x * gain)
    assert marginal[x > 1e-9] == pytest.approx(marginal.max(), rel=1e-6)


def test_proportional_fair_limits() -> None:
    gain, average = np.array([4.0, 9.0, 1.0]), np.array([1.0, 3.0, 0.2])
    assert proportional_fair(gain, average, 1e-9).tolist() == [0.0, 0.0, 1.0]  # argmax R/T
    assert proportional_fair(gain, average, 50.0) == pytest.approx([1 / 3] * 3, rel=1e-12)
    assert proportional_fair(gain, average, math.inf) == pytest.approx([1 / 3] * 3, rel=1e-15)
    deaf = np.array([0.0, 2.0, 1.0])
    assert proportional_fair(deaf, average, 50.0) == pytest.approx([0.0, 0.5, 0.5], rel=1e-12)
    assert proportional_fair(np.zeros(3), average, 0.1) == pytest.approx([1 / 3] * 3)


def test_every_scenario_rule_is_built() -> None:
    built = {
        EqualShare(): EqualShareRule(),
        WorkConserving(): WorkConservingRule(),
        EqualFinish(): EqualFinishRule("never"),
        EqualFinish(resolve="on_event"): EqualFinishRule("on_event"),
        EqualFinish(resolve="every_slot"): EqualFinishRule("every_slot"),
        MaxMin(): MaxMinRule(),
        TdmaFifo(): FifoRule(),
        ProportionalFair(window_s=0.2): ProportionalFairRule(0.2),
    }
    for config, rule in built.items():
        assert sharing_rule(config) == rule
    assert {config.kind for config in built} == {kind.name for kind in list_kinds("bandwidth")}
    assert [rule for rule in built.values() if not rule.replans] == [EqualFinishRule()]
    seeing_slots = [EqualFinishRule("every_slot"), ProportionalFairRule(0.2)]
    assert [rule for rule in built.values() if rule.every_slot] == seeing_slots
