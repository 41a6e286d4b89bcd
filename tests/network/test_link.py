from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from tests.network.fake_channel import FakeChannel
from tests.network.links import RULES, link_over
from wirelessfl.network.build_link import build_link
from wirelessfl.network.channel import build_channel
from wirelessfl.network.fading import Direction
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    Floats,
    Ints,
    MaxMinRule,
    ProportionalFairRule,
    SharingRule,
    WorkConservingRule,
)
from wirelessfl.scenario.network import Engine, NetworkConfig

GOLDEN = (3.0 + math.sqrt(5.0)) / 2.0  # root of 1/T + 1/(T-1) = 1


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        # alone until 1 (1 bit sent), then halves: 1 bit left of the first at 3, of the second at 4
        (EqualShareRule(), [3.0, 4.0]),
        # from 1 on in proportion to what is left, 1 : 2
        (WorkConservingRule(), [4.0, 4.0]),
        # 2/T + 2/(T-1) = 1
        (EqualFinishRule(), [(5 + 17**0.5) / 2] * 2),
        (EqualFinishRule("on_event"), [(5 + 17**0.5) / 2] * 2),
        (EqualFinishRule("every_slot"), [(5 + 17**0.5) / 2] * 2),
        # with equal efficiencies and no fading these two are equal sharing
        (MaxMinRule(), [3.0, 4.0]),
        (ProportionalFairRule(), [3.0, 4.0]),
        # one after the other
        (FifoRule(), [2.0, 4.0]),
    ],
)
def test_two_clients_by_hand(rule: SharingRule, ends: list[float]) -> None:
    link = link_over(FakeChannel(np.ones(2)), rule)
    transfer = link.submit([0, 1], [2.0, 2.0], ready_s=[0.0, 1.0])
    assert transfer.finish_s == pytest.approx(ends, abs=1e-12)
    link.env.run(transfer.done)
    assert link.env.now == pytest.approx(max(ends), abs=1e-12)
    assert transfer.finish_s == pytest.approx(ends, abs=1e-12)
    assert transfer.sent_bits.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("engine", ["slotted", "virtual_time"])
@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        # thirds until 3 (3, 2, 1 bits): the last is done; halves until 5 (6, 4 bits), then alone
        (EqualShareRule(), [17 / 3, 5.0, 3.0]),
        # equal bits per second 1 / (1/3 + 1/2 + 1) = 6/11 until 11/6 for the first bit of each,
        # then 1 / (1/3 + 1/2) = 6/5 for another three, then 3 bit/s for the last 4
        (MaxMinRule(), [11 / 6 + 2.5 + 4 / 3, 11 / 6 + 2.5, 11 / 6]),
        (FifoRule(), [8 / 3, 8 / 3 + 2, 8 / 3 + 3]),
        # in all, 8/3 + 4/2 + 1/1 s of the whole band
        (WorkConservingRule(), [17 / 3] * 3),
        (EqualFinishRule(), [17 / 3] * 3),
    ],
)
def test_three_clients_by_hand(rule: SharingRule, ends: list[float], engine: Engine) -> None:
    link = link_over(FakeChannel([3.0, 2.0, 1.0]), rule, engine=engine)
    transfer = link.submit([0, 1, 2], [8.0, 4.0, 1.0])
    assert transfer.finish_s == pytest.approx(ends, rel=1e-12)


def test_shares_solved_in_every_slot_follow_the_reports() -> None:
    """Reports change at 1: from equal to 1 : 3, which a plan solved on events never sees."""

    class Drifting(FakeChannel):
        def reported_rate_bps(
            self, direction: Direction, clients: Ints, t_s: float, share_hz: Floats
        ) -> Floats:
            return share_hz * np.where((t_s >= 1.0) & (clients == 1), 3.0, 1.0)

    channel = Drifting([[1.0], [1.0]], slot_s=1.0)
    on_event = link_over(channel, EqualFinishRule("on_event")).submit([0, 1], [2.0, 2.0])
    assert on_event.finish_s == pytest.approx([4.0, 4.0])
    every = link_over(channel, EqualFinishRule("every_slot")).submit([0, 1], [2.0, 2.0])
    # 1/2 bit each; then 3/4 and 1/4: 3/4 and 5/4 bits left at 2; 3/4 : 5/12 of 7/6 until 3, where
    # the first has 3/4 - 9/14 = 3/28 left and 5/4 - 5/14 = 25/28 is left of the second
    first, second = 3 / 28, 25 / 28
    share = first / (first + second / 3)
    done = 3.0 + first / share
    assert every.finish_s[0] == pytest.approx(done, rel=1e-12)
    assert every.finish_s[1] == pytest.approx(4.0, rel=1e-12)


def rate(share_hz: float, quality_hz: float) -> float:
    """Bit/s with all power in the share."""
    return share_hz * math.log2(1.0 + quality_hz / share_hz)


def test_two_clients_by_hand_with_total_power_and_equal_shares() -> None:
    link = link_over(FakeChannel([3.0, 7.0], concave=True), EqualShareRule())
    transfer = link.submit([0, 1], [10.0, 10.0], ready_s=[0.0, 1.0])
    left = 10.0 - 2.0  # log2(1 + 3) = 2 bit/s until 1
    first = 1.0 + left / rate(0.5, 3.0)
    second_left = 10.0 - rate(0.5, 7.0) * (first - 1.0)
    if second_left > 0:
        expected = [first, first + second_left / 3.0]  # log2(1 + 7) = 3 bit/s alone
    else:
        second = 1.0 + 10.0 / rate(0.5, 7.0)
        expected = [second + (left - rate(0.5, 3.0) * (second - 1.0)) / 2.0, second]
    assert transfer.finish_s == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rule", RULES[1:5])
def test_two_clients_by_hand_with_total_power_finish_together(rule: SharingRule) -> None:
    link = link_over(FakeChannel([3.0, 7.0], concave=True), rule)
    transfer = link.submit([0, 1], [10.0, 10.0])
    share = brentq(lambda s: rate(s, 3.0) - rate(1 - s, 7.0), 0.01, 0.99, xtol=1e-15)
    assert transfer.finish_s == pytest.approx([10.0 / rate(share, 3.0)] * 2, abs=1e-9)


def test_equal_finish_with_total_power_waits_for_the_expected() -> None:
    link = link_over(FakeChannel([3.0, 7.0], concave=True), EqualFinishRule())
    transfer = link.submit([0, 1], [10.0, 10.0], ready_s=[0.0, 1.0])

    def late(s: float) -> float:
        return 10 / rate(s, 3.0) - 1.0 - 10 / rate(1 - s, 7.0)

    share = brentq(late, 0.01, 0.99, xtol=1e-15)
    assert transfer.finish_s == pytest.approx([10.0 / rate(share, 3.0)] * 2, abs=1e-9)


def test_held_shares_idle_before_the_owner_is_ready_and_after_it_finished() -> None:
    # the first is twice as fast as reported, and its share is not given to the second
    link = link_over(FakeChannel([2.0, 1.0], reported=[1.0, 1.0]), EqualFinishRule())
    transfer = link.submit([0, 1], [1.0, 1.0], ready_s=[0.0, 1.0])
    assert transfer.finish_s == pytest.approx([GOLDEN / 2, GOLDEN], abs=1e-12)
    link.env.run()
    times, used = link.utilisation()
    assert times == pytest.approx([0.0, 1.0, GOLDEN / 2, GOLDEN])
    assert used == pytest.approx([1 / GOLDEN, 1.0, 1 / (GOLDEN - 1), 0.0])


def test_shares_solved_on_events_take_over_what_became_free() -> None:
    link = link_over(FakeChannel([2.0, 1.0], reported=[1.0, 1.0]), EqualFinishRule("on_event"))
    transfer = link.submit([0, 1], [2.0, 2.0])
    assert transfer.finish_s == pytest.approx([2.0, 3.0], abs=1e-12)


def test_the_rule_knows_the_expected_readiness_only() -> None:
    link = link_over(FakeChannel(np.ones(2)), EqualFinishRule())
    transfer = link.submit([0, 1], [1.0, 1.0], ready_s=[0.0, 3.0], expected_ready_s=[0.0, 1.0])
    assert transfer.finish_s == pytest.approx([GOLDEN, GOLDEN + 2.0], abs=1e-12)


def test_asynchronous_flows_share_from_the_moment_they_join() -> None:
    link = link_over(FakeChannel(np.ones(3)), EqualShareRule())
    env, ends = link.env, {}

    def client(number: int, at_s: float, bits: float) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(at_s)
        yield link.submit([number], [bits]).done
        ends[number] = env.now

    for args in ((0, 0.0, 4.0), (1, 1.0, 1.0), (2, 10.0, 1.0)):
        env.process(client(*args))
    env.run()
    assert ends == {1: pytest.approx(3.0), 0: pytest.approx(5.0), 2: pytest.approx(11.0)}
    times, used = link.utilisation()
    assert times == pytest.approx([0.0, 5.0, 10.0, 11.0])
    assert used.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert link.bits_sent == pytest.approx(6.0, rel=1e-15)


def test_a_cancelled_transfer_keeps_what_it_sent_and_frees_its_share() -> None:
    link = link_over(FakeChannel(np.ones(3)), EqualShareRule())
    slow = link.submit([0, 1], [9.0, 1.0])
    fast = link.submit([2], [3.0])
    link.env.run(until=6.0)
    assert slow.sent_bits == pytest.approx([2.5, 1.0])
    link.cancel(slow)
    assert slow.finish_s == pytest.approx([math.inf, 3.0])
    assert fast.finish_s == pytest.approx([6.5])
    link.env.run(slow.done)
    assert link.env.now == 6.0
    link.env.run()
    assert slow.sent_bits == pytest.approx([2.5, 1.0])
    assert link.bits_sent == pytest.approx(6.5)
    link.cancel(slow)
    assert slow.finish_s == pytest.approx([math.inf, 3.0])


def test_single_members_can_be_cancelled() -> None:
    link = link_over(FakeChannel(np.ones(2)), EqualShareRule())
    transfer = link.submit([0, 1], [2.0, 2.0])
    link.env.run(until=1.0)
    link.cancel(transfer, np.array([True, False]))
    assert transfer.finish_s.tolist() == [math.inf, 2.5]


def test_a_flow_that_leaves_frees_its_share() -> None:
    link = link_over(FakeChannel(np.ones(3)), WorkConservingRule())
    transfer = link.submit([0, 1, 2], [4.0, 4.0, 1.0], [0.0, 0.0, 9.0], [1.0, math.inf, 5.0])
    link.env.run(transfer.done)
    assert transfer.finish_s == pytest.approx([math.inf, 4.5, math.inf])
    assert transfer.sent_bits == pytest.approx([0.5, 4.0, 0.0])
    assert link.env.now == 5.0  # when the last member gave up before it was ready


def test_nothing_to_send_is_done_when_it_is_ready() -> None:
    link = link_over(FakeChannel(np.ones(2)), EqualFinishRule())
    empty = link.submit([], [])
    transfer = link.submit([0, 1], [0.0, 0.0], ready_s=[0.0, 2.0])
    link.env.run(empty.done)
    assert link.env.now == 0.0
    link.env.run(transfer.done)
    assert (link.env.now, transfer.finish_s.tolist()) == (2.0, [0.0, 2.0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"bits": [-1.0]}, "bits must be finite"),
        ({"bits": [math.nan]}, "bits must be finite"),
        ({"ready_s": [math.inf]}, "ready_s and expected_ready_s must be finite"),
        ({"leave_s": [math.nan]}, "leave_s must be a time"),
    ],
)
def test_impossible_flows_are_refused(columns: dict[str, Any], message: str) -> None:
    link = link_over(FakeChannel(np.ones(1)), EqualShareRule())
    with pytest.raises(ValueError, match=message):
        link.submit([0], **{"bits": [1.0], **columns})


def random_round(seed: int, n: int) -> tuple[FakeChannel, Floats, Floats]:
    rng = np.random.default_rng(seed)
    channel = FakeChannel(rng.exponential(size=(n, 40)), slot_s=0.3)
    return channel, rng.uniform(1, 9, n), rng.uniform(0, 10, n)


@pytest.mark.parametrize("rule", RULES)
def test_one_instant_has_no_order(rule: SharingRule) -> None:
    channel, bits, ready = random_round(5, 9)
    together = link_over(channel, rule).submit(np.arange(9), bits, ready)
    link = link_over(channel, rule)
    order = np.random.default_rng(0).permutation(9)
    alone = {client: link.submit([client], bits[[client]], ready[[client]]) for client in order}
    apart = [alone[client].finish_s[0] for client in range(9)]
    assert apart == pytest.approx(together.finish_s, rel=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_looking_does_not_change_what_happens(rule: SharingRule) -> None:
    channel, bits, ready = random_round(6, 9)
    expected = link_over(channel, rule).submit(np.arange(9), bits, ready).finish_s
    link = link_over(channel, rule)
    transfer = link.submit(np.arange(9), bits, ready)
    for until in np.arange(0.05, 25, 0.05):
        link.env.run(until=until)
        transfer.sent_bits.sum()
        link.cancel(transfer, np.zeros(9, bool))
        link.utilisation()
    link.env.run()
    assert transfer.finish_s == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_synchronous_round_costs_three_events_and_is_integrated_once(rule: SharingRule) -> None:
    channel, bits, ready = random_round(7, 30)
    link = link_over(channel, rule)
    transfer = link.submit(np.arange(30), bits, ready)
    transfer.finish_s.sum()
    calls, events = channel.calls, 0
    while link.env.peek() < math.inf:
        link.env.step()
        events += 1
    assert transfer.done.processed
    assert events == 3  # divide, alarm, done
    assert channel.calls == calls


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), rule=st.sampled_from(RULES), concave=st.booleans())
@example(seed=1040, rule=RULES[3], concave=False)  # the last one ends an ulp before now
def test_bits_are_conserved_and_capacity_is_never_exceeded(
    seed: int, rule: SharingRule, concave: bool
) -> None:
    """Random joins, departures, drops and cancellations over a common varying quality."""
    rng = np.random.default_rng(seed)
    quality = rng.exponential(size=6) * (rng.random(6) < 0.8) + 0.05
    channel = FakeChannel(np.tile(quality, (8, 1)), slot_s=0.7, concave=concave)
    link = link_over(channel, rule, bandwidth_hz=2.0)
    env, transfers = link.env, []
    for _ in range(12):
        env.run(until=env.now + rng.exponential())
        if transfers and rng.random() < 0.3:
            victim = transfers[rng.integers(len(transfers))]
            link.cancel(victim, rng.random(len(victim.bits)) < 0.5)
            continue
        n = int(rng.integers(1, 5))
        ready = env.now + rng.exponential(size=n) * (rng.random(n) < 0.7)
        leave = np.where(rng.random(n) < 0.2, ready + rng.normal(size=n), math.inf)
        leave = np.maximum(leave, env.now)
        transfers.append(link.submit(rng.integers(8, size=n), rng.exponential(3, n), ready, leave))
    env.run()
    times, used = link.utilisation()
    assert (np.diff(times) > 0).all()
    assert (used <= 2.0 * (1 + 1e-12)).all()
    assert (used >= 0).all()
    assert used[-1] == 0.0
    for transfer in transfers:
        assert transfer.done.processed
        ended = np.isfinite(transfer.finish_s)
        assert (transfer.sent_bits[ended] == transfer.bits[ended]).all()
        assert (transfer.sent_bits <= transfer.bits).all()
        assert (transfer.finish_s >= transfer.ready_s).all()
    sent = sum(transfer.sent_bits.sum() for transfer in transfers)
    assert link.bits_sent == pytest.approx(sent, rel=1e-12)
    if not concave:  # then bits are quality times bandwidth in use, whoever sends them
        edges = np.unique(np.concatenate([times, np.arange(0.0, times[-1], 0.7)]))
        middle = (edges[:-1] + edges[1:]) / 2
        in_use = used[np.searchsorted(times, middle) - 1]
        area = (in_use * quality[(middle / 0.7).astype(int) % 6] * np.diff(edges)).sum()
        assert sent == pytest.approx(area, rel=1e-9)


@pytest.mark.parametrize("engine", ["auto", "slotted"])
def test_flows_submitted_one_by_one_end_as_if_announced(engine: Engine) -> None:
    rng = np.random.default_rng(42)
    arrivals, sizes = np.cumsum(rng.exponential(1.2, 300)), rng.exponential(1.0, 300)
    announced = link_over(FakeChannel(np.ones(1)), EqualShareRule())
    expected = announced.submit(np.zeros(300, int), sizes, arrivals).finish_s
    link = link_over(FakeChannel(np.ones(1)), EqualShareRule(), engine=engine)
    env = link.env
    transfers = []
    for at_s, bits in zip(arrivals, sizes, strict=True):
        env.run(until=at_s)
        transfers.append(link.submit([0], [bits]))
    env.run()
    ends = [transfer.finish_s[0] for transfer in transfers]
    assert ends == pytest.approx(expected, rel=1e-9)
    assert link.bits_sent == pytest.approx(sizes.sum(), rel=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_round_over_the_real_channel(rule: SharingRule) -> None:
    network = NetworkConfig()
    channel = build_channel(network, clients=20, seed=1)
    env = simpy.Environment()
    link = build_link(env, channel, "uplink", network.uplink, rule)
    transfer = link.submit(np.arange(20), np.full(20, 1e5), np.linspace(0, 1, 20), np.full(20, 60))
    env.run(transfer.done)
    ended = np.isfinite(transfer.finish_s)
    assert ended.any()
    assert transfer.sent_bits[ended].tolist() == [1e5] * int(ended.sum())
    assert (link.utilisation()[1] <= network.uplink.bandwidth_hz * (1 + 1e-12)).all()
