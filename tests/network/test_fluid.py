from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.network.fake_channel import FakeChannel
from tests.network.links import RULES, run, start
from wirelessfl.errors import InputError
from wirelessfl.network.finish_together import equal_finish_time, work_conserving_time
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    Floats,
    SharingRule,
    WorkConservingRule,
)


def finish(
    channel: FakeChannel, rule: SharingRule, bits: ArrayLike, ready_s: ArrayLike = 0.0
) -> Floats:
    fluid = Fluid(channel, "uplink", 1.0, rule)
    return run(fluid, *start(fluid, bits, ready_s)).finish_s


def test_processor_sharing_serves_sizes_in_order_at_exact_times() -> None:
    sizes = np.array([5.0, 1.0, 4.0, 2.0, 2.0])
    ends = finish(FakeChannel(np.ones(5)), EqualShareRule(), sizes)
    # sorted sizes b_k: each adds (flows left) * (b_k - b_{k-1}) seconds
    assert ends == pytest.approx([14.0, 5.0, 13.0, 9.0, 9.0], rel=1e-14)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_processor_sharing_schedule_of_any_sizes(sizes: list[float]) -> None:
    ends = finish(FakeChannel(np.ones(len(sizes))), EqualShareRule(), sizes)
    ordered = np.sort(sizes)
    expected = np.cumsum(np.arange(len(sizes), 0, -1) * np.diff(ordered, prepend=0.0))
    assert np.sort(ends) == pytest.approx(expected, rel=1e-9)


rounds = st.lists(
    st.tuples(st.floats(0.01, 100), st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 50))),
    min_size=1,
    max_size=10,
)


@given(rounds)
def test_engine_agrees_with_the_closed_forms(clients: list[tuple[float, float]]) -> None:
    need, ready = np.array(clients).T
    efficiency = 1.0 + np.arange(len(need)) % 3
    channel, bits = FakeChannel(efficiency), need * efficiency
    greedy = finish(channel, WorkConservingRule(), bits, ready)
    assert greedy.max() == pytest.approx(work_conserving_time(need, ready, 1.0), rel=1e-9)
    planned = equal_finish_time(need, ready, 1.0)
    for rule in (EqualFinishRule(), EqualFinishRule("on_event")):
        ends = finish(channel, rule, bits, ready)
        assert ends == pytest.approx(np.full(len(need), planned), rel=1e-9)
    assert greedy.max() <= planned * (1 + 1e-9)


def test_a_completion_is_exact_within_its_slot() -> None:
    # bits per slot of 0.5 s: 0.5, 0, 2, then again; 3 bits need 0.5 + 2 + 0.5 in slot 3
    channel = FakeChannel([[1.0, 0.0, 4.0]], slot_s=0.5)
    assert finish(channel, EqualShareRule(), [3.0], 0.0) == pytest.approx([2.0], rel=1e-15)
    assert finish(channel, EqualShareRule(), [1.0], 0.25) == pytest.approx([1.1875], rel=1e-15)


def test_a_long_transfer_crosses_many_chunks() -> None:
    rng = np.random.default_rng(1)
    rates = rng.exponential(size=(2, 997))
    channel = FakeChannel(rates, slot_s=0.01)
    ends = finish(channel, EqualFinishRule(), [800.0, 200.0])
    # both shares are held, so each flow is one long sum
    mean = rates.mean(axis=1)
    share = np.array([800.0, 200.0]) / mean / (np.array([800.0, 200.0]) / mean).sum()
    for end, size, rate, hz in zip(ends, (800.0, 200.0), rates, share, strict=True):
        sent = np.cumsum(np.tile(rate, 200) * hz * 0.01)
        slot = int(np.searchsorted(sent, size))
        exact = 0.01 * slot + (size - sent[slot - 1]) / (rate[slot % 997] * hz)
        assert end == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("rule", RULES)
def test_interrupting_a_run_does_not_change_it(rule: SharingRule) -> None:
    rng = np.random.default_rng(7)
    channel = FakeChannel(rng.exponential(size=(12, 50)), slot_s=0.36)
    fluid = Fluid(channel, "uplink", 3.0, rule)
    flows, state = start(fluid, rng.uniform(1, 9, 12), rng.uniform(0, 20, 12), 60.0)
    straight = run(fluid, flows, state)
    halting = state
    for until in np.sort(rng.uniform(0, 60, 300)):
        halting = fluid.advance(flows, halting, float(until))
    halting = run(fluid, flows, halting)
    assert halting.finish_s == pytest.approx(straight.finish_s, rel=1e-9)
    assert halting.remaining_bits == pytest.approx(straight.remaining_bits, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 10), concave=st.booleans())
@pytest.mark.slow
def test_bits_flow_at_the_rates_of_the_shares(
    rule: SharingRule, seed: int, n: int, concave: bool
) -> None:
    rng = np.random.default_rng(seed)
    quality = rng.exponential(size=(n, 7)) * (rng.random((n, 7)) < 0.8) + 0.01
    channel = FakeChannel(quality, slot_s=0.5, concave=concave)
    fluid = Fluid(channel, "uplink", 2.0, rule)
    leave = np.where(rng.random(n) < 0.3, rng.uniform(0, 20, n), math.inf)
    flows, state = start(fluid, rng.uniform(0, 9, n), rng.uniform(0, 10, n), leave)
    while np.isnan(state.finish_s).any():
        assert fluid.used_hz(flows, state) <= 2.0 * (1 + 1e-12)
        after = fluid.step(flows, state)
        rows = np.flatnonzero(state.present)
        slots = np.arange(int(state.time_s / 0.5), int(after.time_s / 0.5) + 1)
        edges = np.clip(np.append(slots, slots[-1] + 1) * 0.5, state.time_s, after.time_s)
        sent = channel.rate_bps("uplink", rows, slots, state.share_hz[rows]) @ np.diff(edges)
        expected = state.remaining_bits.copy()
        expected[rows] -= sent
        assert after.remaining_bits == pytest.approx(expected, abs=1e-9)
        assert after.time_s >= state.time_s
        state = after
    finished = np.isfinite(state.finish_s)
    assert (state.remaining_bits[finished] == 0.0).all()
    assert (state.finish_s[finished] <= leave[finished]).all()
    assert (state.remaining_bits[~finished] > 0.0).sum() + (flows.bits[~finished] == 0).sum() == (
        ~finished
    ).sum()


def test_finishing_beats_leaving_at_the_same_instant() -> None:
    fluid = Fluid(FakeChannel(np.ones(2)), "uplink", 1.0, EqualShareRule())
    flows, state = start(fluid, [1.0, 2.0], 0.0, 2.0)
    assert run(fluid, flows, state).finish_s.tolist() == [2.0, math.inf]


@pytest.mark.parametrize("time_s", [0.0, 1e3, 1e7])
def test_thousands_of_flows_terminate_at_any_time_of_day(time_s: float) -> None:
    rng = np.random.default_rng(3)
    sizes = np.concatenate([np.full(1000, 1.0), 1.0 + 1e-14 * rng.random(500), rng.random(500)])
    fluid = Fluid(FakeChannel(np.ones(2000)), "uplink", 1.0, EqualShareRule())
    flows, state = start(fluid, sizes, time_s, time_s=time_s)
    steps = 0
    while np.isnan(state.finish_s).any():
        state, steps = fluid.step(flows, state), steps + 1
        assert steps <= 2000
    assert state.time_s - time_s == pytest.approx(sizes.sum(), rel=1e-9)


@pytest.mark.parametrize("slot_s", [math.inf, 0.01])
def test_a_dead_link_is_an_error_that_names_the_clients(slot_s: float) -> None:
    channel = FakeChannel(np.array([0.0, 1.0, 0.0]), slot_s=slot_s)
    with pytest.raises(InputError, match=r"uplink: client 0, 2 got as good as nothing through"):
        finish(channel, EqualShareRule(), [1.0, 1.0, 1.0])


def test_a_dead_link_may_be_left() -> None:
    fluid = Fluid(FakeChannel(np.zeros(1)), "uplink", 1.0, EqualShareRule())
    flows, state = start(fluid, [1.0], 0.0, 5.0)
    ended = run(fluid, flows, state)
    assert (ended.time_s, ended.finish_s.tolist()) == (5.0, [math.inf])
