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
    Floats,
    Ints,
    SharingRule,
    WorkConservingRule,
    sharing_rule,
)
from wirelessfl.scenario.sharing import (
    EqualFinish,
    EqualShare,
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


def test_every_scenario_rule_is_built() -> None:
    assert sharing_rule(EqualShare()) == EqualShareRule()
    assert sharing_rule(WorkConserving()) == WorkConservingRule()
    assert sharing_rule(EqualFinish()) == EqualFinishRule("never")
    assert sharing_rule(EqualFinish(resolve="on_event")) == EqualFinishRule("on_event")
    assert [rule.replans for rule in (EqualFinishRule(), EqualFinishRule("on_event"))] == [
        False,
        True,
    ]
