from __future__ import annotations

import math

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.network.fake_channel import FakeChannel
from tests.network.links import RULES, link_over, story
from wirelessfl.network.build_link import build_link
from wirelessfl.network.link import Link
from wirelessfl.network.multicast import MulticastLink
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    MaxMinRule,
    ProportionalFairRule,
    SharingRule,
)
from wirelessfl.scenario.network import Downlink, Uplink


def multicast(channel: FakeChannel, rule: SharingRule, bandwidth_hz: float = 1.0) -> Link:
    return link_over(channel, rule, bandwidth_hz, kind=MulticastLink)


@pytest.mark.parametrize("rule", RULES)
def test_a_stream_goes_at_the_rate_of_its_worst_member_in_each_slot(rule: SharingRule) -> None:
    channel = FakeChannel([[1.0, 4.0, 2.0], [3.0, 2.0, 5.0]], slot_s=1.0)
    link = multicast(channel, rule, bandwidth_hz=2.0)
    transfer = link.submit([0, 1], [3.0, 8.0])
    # the larger payload at 2 bit/s, then 4, and 2 of 4 bits in the third second
    assert transfer.finish_s == pytest.approx([2.5, 2.5], rel=1e-15)
    link.env.run()
    assert transfer.sent_bits.tolist() == [8.0, 8.0]
    assert transfer.air_bits == link.bits_sent == 8.0
    times, used = link.utilisation()
    assert times == pytest.approx([0.0, 2.5])
    assert used.tolist() == [2.0, 0.0]


@pytest.mark.parametrize("rule", RULES)
def test_when_the_worst_leaves_the_worst_of_the_rest_counts(rule: SharingRule) -> None:
    link = multicast(FakeChannel([1.0, 2.0, 4.0]), rule)
    transfer = link.submit([0, 1, 2], [9.0, 9.0, 9.0], leave_s=[3.0, math.inf, math.inf])
    assert transfer.finish_s == pytest.approx([math.inf, 6.0, 6.0], rel=1e-15)
    link.env.run(until=4.0)
    assert transfer.sent_bits == pytest.approx([3.0, 5.0, 5.0])
    link.cancel(transfer, np.array([False, True, False]))
    assert transfer.finish_s == pytest.approx([math.inf, math.inf, 5.0])
    link.env.run()
    assert transfer.sent_bits == pytest.approx([3.0, 5.0, 9.0])
    assert link.bits_sent == pytest.approx(9.0)
    assert transfer.air_bits == pytest.approx(9.0)


def test_streams_share_the_link_however_many_members_they_have() -> None:
    link = multicast(FakeChannel(np.ones(5)), EqualShareRule())
    many, one = link.submit([0, 1, 2, 3], np.full(4, 3.0)), link.submit([4], [1.0])
    assert one.finish_s == pytest.approx([2.0])
    assert many.finish_s == pytest.approx([4.0] * 4)
    assert link.utilisation()[1].tolist() == [1.0]


def test_max_min_gives_streams_the_same_rate() -> None:
    link = multicast(FakeChannel([1.0, 3.0, 4.0]), MaxMinRule())
    slow, fast = link.submit([0, 1], [3.0, 3.0]), link.submit([2], [3.0])
    assert slow.finish_s == pytest.approx([3.75, 3.75])  # 3 (1 + 1/4)
    assert fast.finish_s == pytest.approx([3.75])


def test_the_rule_forgets_a_member_that_left() -> None:
    """Max-min over 1 : 4 until the slow member of the first stream leaves, then 4 : 4."""
    link = multicast(FakeChannel([1.0, 4.0, 4.0]), MaxMinRule())
    pair = link.submit([0, 1], [4.0, 4.0], leave_s=[1.25, math.inf])
    single = link.submit([2], [4.0])
    # 4/5 bit/s each until 1.25 (1 bit), then 2 bit/s each for the other 3
    assert pair.finish_s == pytest.approx([math.inf, 2.75])
    assert single.finish_s == pytest.approx([2.75])


def test_shares_held_by_a_stream_stay_when_members_leave() -> None:
    link = multicast(FakeChannel(np.ones(3)), EqualFinishRule())
    pair, single = link.submit([0, 1], [1.0, 1.0], leave_s=[0.5, math.inf]), link.submit([2], [3.0])
    assert pair.finish_s == pytest.approx([math.inf, 4.0])
    assert single.finish_s == pytest.approx([4.0])


def test_a_stream_begins_when_its_last_member_is_ready() -> None:
    link = multicast(FakeChannel(np.ones(2)), EqualShareRule())
    assert link.submit([0, 1], [1.0, 1.0], ready_s=[0.0, 2.0]).finish_s.tolist() == [3.0, 3.0]


def test_a_stream_is_as_fast_as_a_unicast_to_its_worst_member_alone() -> None:
    quality = np.random.default_rng(3).exponential(size=(6, 31))
    worst = FakeChannel(quality.min(axis=0, keepdims=True), slot_s=0.2, concave=True)
    alone = link_over(worst, EqualShareRule()).submit([0], [7.0]).finish_s
    channel = FakeChannel(quality, slot_s=0.2, concave=True)
    together = multicast(channel, EqualShareRule()).submit(np.arange(6), np.full(6, 7.0)).finish_s
    assert together == pytest.approx(np.full(6, alone[0]), rel=1e-12)


@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.3]))
def test_one_member_a_stream_is_unicast(rule: SharingRule, seed: int, leaving: float) -> None:
    """Streams of one: multicast and unicast are the same link."""
    quality = np.random.default_rng(seed).exponential(size=(4, 11)) + 0.05
    channel = FakeChannel(quality, slot_s=0.4)
    rng = np.random.default_rng(seed)
    n = 5
    bits, who = rng.exponential(3.0, n), rng.integers(4, size=n)
    ready = rng.exponential(2.0, n)
    leave = np.where(rng.random(n) < leaving, ready + rng.exponential(3.0, n), math.inf)
    finish = []
    for link in (multicast(channel, rule), link_over(channel, rule)):
        columns = zip(who, bits, ready, leave, strict=True)
        transfers = [link.submit([c], [b], [r], [g]) for c, b, r, g in columns]
        finish.append(np.concatenate([transfer.finish_s for transfer in transfers]))
    np.testing.assert_allclose(finish[0], finish[1], rtol=1e-9)


@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6))
@pytest.mark.slow
def test_streams_conserve_bits_and_capacity(rule: SharingRule, seed: int) -> None:
    quality = np.random.default_rng(seed).exponential(size=(6, 5)) + 0.05
    told = story(multicast(FakeChannel(quality, slot_s=0.7), rule, 2.0), 6, seed, leaving=0.3)
    times, used = told.link.utilisation()
    assert (np.diff(times) > 0).all()
    assert (used <= 2.0 * (1 + 1e-12)).all()
    assert used[-1] == 0.0
    total = 0.0
    for transfer in told.transfers:
        finish_s = transfer.finish_s
        ended = np.isfinite(finish_s)
        assert transfer.done.processed
        assert len(np.unique(finish_s[ended])) <= 1
        assert (transfer.sent_bits[ended] == transfer.bits.max()).all()
        total += transfer.air_bits
    assert told.link.bits_sent == pytest.approx(total, rel=1e-12)


def test_the_scenario_decides() -> None:
    channel, env = FakeChannel(np.ones(2)), simpy.Environment()
    rule = ProportionalFairRule()
    streams = build_link(env, channel, "downlink", Downlink(mode="multicast"), rule)
    assert isinstance(streams, MulticastLink)
    for config in (Downlink(), Uplink()):
        assert type(build_link(env, channel, "uplink", config, rule)) is Link
    with pytest.raises(ValidationError, match="virtual_time is for unicast"):
        Downlink(mode="multicast", engine="virtual_time")
