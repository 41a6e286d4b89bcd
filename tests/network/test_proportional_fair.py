"""Proportional fairness in the long run, on the link."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.network.fake_channel import FakeChannel
from tests.network.links import run, start
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.sharing import EqualShareRule, Floats, ProportionalFairRule, SharingRule

SLOTS = 4000
RULE = ProportionalFairRule(1.0)


def fading(scale: list[float], seed: int = 1) -> FakeChannel:
    """Rayleigh power gains in slots of 10 ms, rates proportional to them."""
    gain = np.random.default_rng(seed).exponential(size=(len(scale), SLOTS))
    return FakeChannel(np.array(scale)[:, None] * gain, slot_s=0.01)


def served_bps(rule: SharingRule) -> Floats:
    """Mean rates of two users of equal mean gain who always have something to send."""
    fluid = Fluid(fading([1.0, 1.0]), "uplink", 1.0, rule)
    flows, state = start(fluid, [1e9, 1e9])
    after = fluid.advance(flows, state, SLOTS * 0.01)
    return (flows.bits - after.remaining_bits) / after.time_s


def test_two_users_of_equal_mean_gain_from_scheduling() -> None:
    """Both get half of the slots, and the best of two Rayleigh gains is 3/2 on average.

    Each mean is over 4000 slots: a standard error of 2.3% for the gain of 3/2.
    """
    served = served_bps(RULE)
    assert served == pytest.approx([0.75, 0.75], rel=0.07)
    assert served.sum() / served_bps(EqualShareRule()).sum() > 1.4


def test_a_weak_user_gets_as_much_time_as_a_strong_one() -> None:
    """Rates ten times apart: equal time, so bits in the ratio of the gains."""
    channel = fading([1.0, 10.0])
    fluid = Fluid(channel, "uplink", 1.0, RULE)
    flows, state = start(fluid, [1e9, 1e9])
    time = np.zeros(2)
    while state.time_s < SLOTS * 0.01:
        after = fluid.step(flows, state, SLOTS * 0.01)
        time += state.share_hz * (after.time_s - state.time_s)
        state = after
    assert time / time.sum() == pytest.approx([0.5, 0.5], abs=0.03)
    sent = flows.bits - state.remaining_bits
    assert sent[1] / sent[0] == pytest.approx(10.0, rel=0.1)


def test_a_newcomer_is_neither_starved_nor_favoured() -> None:
    """In its first second it gets its third of the band, give or take that of one who was there."""
    channel = fading([1.0, 1.0, 1.0], seed=5)
    fluid = Fluid(channel, "uplink", 1.0, RULE)
    flows, state = start(fluid, np.full(3, 1e9), [0.0, 0.0, 20.0])
    time = np.zeros(3)
    while state.time_s < 22.0:
        after = fluid.step(flows, state, 22.0)
        if state.time_s >= 20.0:
            time += state.share_hz * (after.time_s - state.time_s)
        state = after
    assert time.sum() == pytest.approx(2.0, rel=1e-9)
    assert 0.5 < 3 * time[2] / time.sum() < 1.5


def test_averages_follow_the_served_rate() -> None:
    """Alone at 1 bit/s after slots at 3: T = 1 + 2 e^{-t/w}, whatever the stops."""
    channel = FakeChannel([[1.0]], slot_s=0.5, reported=[3.0])
    fluid = Fluid(channel, "uplink", 1.0, ProportionalFairRule(2.0))
    flows, state = start(fluid, [100.0])
    assert state.average_bps.tolist() == [3.0]
    for until in (0.3, 0.75, 4.1):
        state = fluid.advance(flows, state, until)
        assert state.average_bps == pytest.approx([1.0 + 2.0 * math.exp(-until / 2.0)], rel=1e-12)


def test_nobody_heard_for_a_while_is_waited_for() -> None:
    quality = np.zeros((2, 1000))
    quality[0, 900], quality[1, 950] = 1.0, 1.0
    channel = FakeChannel(quality, slot_s=0.1)
    fluid = Fluid(channel, "uplink", 1.0, RULE)
    calls = channel.calls
    ended = run(fluid, *start(fluid, [0.05, 0.05]))
    assert ended.finish_s == pytest.approx([90.05, 95.05], rel=1e-12)
    assert channel.calls - calls < 60  # and not slot by slot
