from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.fake_channel import FakeChannel
from tests.network.links import HELD, RULES, assert_same_story, link_over, run, start, story
from wirelessfl.errors import InputError
from wirelessfl.network.channel import build_channel
from wirelessfl.network.engines import fluid_engine
from wirelessfl.network.fifo import Fifo
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.held_shares import HeldShares
from wirelessfl.network.link import Transfer
from wirelessfl.network.processor_sharing import (
    busy_period_ends,
    busy_period_left,
    fifo_ends,
    one_at_a_time,
    working_together,
)
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    Floats,
    MaxMinRule,
    ProportionalFairRule,
    SharingRule,
    WorkConservingRule,
)
from wirelessfl.network.slot_sharing import SlotSharing
from wirelessfl.network.virtual_time import VirtualTime
from wirelessfl.scenario.network import Engine, NetworkConfig


@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.3, 0.9]))
@pytest.mark.slow
def test_both_engines_tell_the_same_story(rule: SharingRule, seed: int, leaving: float) -> None:
    channel = FakeChannel(np.random.default_rng(seed).uniform(0.2, 5.0, 6))
    assert_same_story(
        story(link_over(channel, rule, 2.0, "virtual_time"), 6, seed, leaving),
        story(link_over(channel, rule, 2.0, "slotted"), 6, seed, leaving),
    )


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), concave=st.booleans())
def test_held_shares_need_neither_linear_rates_nor_true_reports(seed: int, concave: bool) -> None:
    rng = np.random.default_rng(seed)
    quality = rng.uniform(0.2, 5.0, 6)
    channel = FakeChannel(quality, concave=concave, reported=quality * rng.uniform(0.5, 2.0, 6))
    assert_same_story(
        story(link_over(channel, HELD, 2.0, "virtual_time"), 6, seed),
        story(link_over(channel, HELD, 2.0, "slotted"), 6, seed),
    )


def project(rule: SharingRule, bits: Floats, ready_s: Floats, engine: Engine = "auto") -> Transfer:
    link = link_over(FakeChannel(np.ones(1)), rule, engine=engine)
    return link.submit(np.zeros(len(bits), int), bits, ready_s)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gap_s", [0.0, 0.8, 3.0])
def test_hundreds_of_flows_end_as_if_stepped(rule: SharingRule, gap_s: float) -> None:
    rng = np.random.default_rng(2)
    bits, ready = rng.exponential(size=300), np.cumsum(rng.exponential(gap_s, 300))
    ends = [project(rule, bits, ready, engine).finish_s for engine in ("virtual_time", "slotted")]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gap_s", [0.0, 0.3, 0.8, 3.0])
@pytest.mark.parametrize("patience_s", [0.1, 1.0, 30.0])
@pytest.mark.slow
def test_hundreds_of_leavers_leave_as_if_stepped(
    rule: SharingRule, gap_s: float, patience_s: float
) -> None:
    rng = np.random.default_rng(7)
    n = 200
    channel = FakeChannel(rng.uniform(0.2, 5.0, n))
    bits, ready = rng.exponential(size=n), np.cumsum(rng.exponential(gap_s, n))
    patient = rng.random(n) < 0.3
    leave = np.where(patient, math.inf, ready + rng.exponential(patience_s, n) - 0.02)
    leaping, walking = (
        VirtualTime(channel, "uplink", 1.0, rule),
        Fluid(channel, "uplink", 1.0, rule),
    )
    for share in (0.3, 1.0, 4.0, math.inf):
        until_s = share * float(ready.max()) if gap_s else share * 20.0
        states = []
        for fluid in (leaping, walking):
            flows, state = start(fluid, bits, ready, leave)
            ended = run(fluid, flows, state) if math.isinf(until_s) else None
            states.append(ended or fluid.advance(flows, state, until_s))
        np.testing.assert_allclose(states[0].finish_s, states[1].finish_s, rtol=1e-9)
        left = [
            np.where(state.remaining_bits < 1e-12, 0.0, state.remaining_bits) for state in states
        ]
        np.testing.assert_allclose(left[0], left[1], rtol=1e-7, atol=1e-9)
        assert (states[0].present == states[1].present).all()


@pytest.mark.parametrize(
    "rule", [r for r in RULES if not (isinstance(r, EqualFinishRule) and r.replans)]
)
def test_whoever_leaves_does_not_stop_a_leap(rule: SharingRule) -> None:
    rng = np.random.default_rng(3)
    n = 10_000
    fluid = VirtualTime(FakeChannel(np.ones(n)), "uplink", 1.0, rule)
    leave = np.where(rng.random(n) < 0.66, rng.uniform(0.0, n, n), math.inf)
    flows, state = start(fluid, rng.exponential(size=n), 0.0, leave)
    began = time.process_time()
    after = fluid.step(flows, state)
    assert time.process_time() - began < 1.0  # a tenth is typical
    assert not np.isnan(after.finish_s).any()
    assert np.isinf(after.finish_s).sum() > n / 4


def test_by_hand_a_leaver_frees_what_it_held() -> None:
    """Three flows of 2, 4 and 6 s alone; the last leaves at 6 s (the first is ready at 0)."""
    ends = {
        # 1/12 of 2, 4, 6 s a second; at 6 s half is left, 1 + 2 + 3; without the 3 it takes 3 s
        WorkConservingRule: ([9.0, 9.0, math.inf], 3.0),
        # 6 s are 2 s each: the first ends at 6 s, when the others have 2 and 4 s left
        EqualShareRule: ([6.0, 8.0, math.inf], 4.0),
        # equal rates are equal shares here
        MaxMinRule: ([6.0, 8.0, math.inf], 4.0),
        # the first until 2 s, the second until 6 s, and the third never
        FifoRule: ([2.0, 6.0, math.inf], 6.0),
    }
    for rule, (finish_s, left) in ends.items():
        fluid = VirtualTime(FakeChannel(np.ones(3)), "uplink", 1.0, rule())
        ended = fluid.step(*start(fluid, [2.0, 4.0, 6.0], leave_s=[math.inf, math.inf, 6.0]))
        assert ended.finish_s == pytest.approx(finish_s, rel=1e-15), rule
        assert ended.remaining_bits.tolist() == pytest.approx([0.0, 0.0, left], rel=1e-15), rule


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), gap_s=st.sampled_from([0.0, 0.5, 1.0 - 1e-9, 2.0]))
def test_walking_over_events_agrees_with_cumulative_sums_where_nobody_leaves(
    seed: int, gap_s: float
) -> None:
    """With the third gap all but 1e-9 of the work is done whenever the next flow arrives."""
    rng = np.random.default_rng(seed)
    n = 60
    alone_s = np.ones(n) if gap_s > 0.5 else rng.exponential(size=n)
    start_s = gap_s * np.arange(n) + rng.choice([0.0, 1e-3]) * rng.random(n)
    never_s, order = np.full(n, math.inf), np.argsort(start_s, kind="stable")
    together_s, served_s = busy_period_ends(alone_s, start_s), fifo_ends(alone_s, start_s, order)
    ends = [
        (together_s, working_together(alone_s, start_s, never_s, math.inf)),
        (served_s, one_at_a_time(alone_s, start_s, never_s, order, math.inf)),
    ]
    for expected_s, (end_s, left_s) in ends:
        np.testing.assert_allclose(end_s, expected_s, rtol=1e-12)
        assert not left_s.any()
    until_s = float(rng.uniform(0.0, together_s.max()))
    end_s, left_s = working_together(alone_s, start_s, never_s, until_s)
    ahead = together_s > until_s
    assert (np.isinf(end_s) == ahead).all()
    expected_s = busy_period_left(alone_s[ahead], start_s[ahead], until_s)
    np.testing.assert_allclose(left_s[ahead], expected_s, rtol=1e-6, atol=1e-12)


def test_a_flow_ready_when_the_last_one_ends_opens_a_new_busy_period() -> None:
    transfer = project(WorkConservingRule(), np.array([2.0, 1.0, 1.0]), np.array([0.0, 2.0, 2.5]))
    assert transfer.finish_s.tolist() == [2.0, 4.0, 4.0]


@pytest.mark.parametrize("engine", ["auto", "slotted"])
def test_a_dead_client_among_others_is_stepped(engine: Engine) -> None:
    link = link_over(FakeChannel([0.0, 1.0]), EqualShareRule(), engine=engine)
    transfer = link.submit([0, 1], [1.0, 1.0], leave_s=[3.0, math.inf])
    assert transfer.finish_s.tolist() == [math.inf, 2.0]


CONSTANT, FADING = FakeChannel(np.ones(1)), FakeChannel(np.ones(1), slot_s=0.1)
NARROWING = FakeChannel(np.ones(1), concave=True)
FADING_NARROWING = FakeChannel(np.ones(1), slot_s=0.1, concave=True)


@pytest.mark.parametrize(
    ("channel", "rule", "auto", "slotted"),
    [
        (CONSTANT, EqualShareRule(), VirtualTime, Fluid),
        (CONSTANT, WorkConservingRule(), VirtualTime, Fluid),
        (CONSTANT, EqualFinishRule("on_event"), VirtualTime, Fluid),
        (CONSTANT, MaxMinRule(), VirtualTime, Fluid),
        (CONSTANT, FifoRule(), VirtualTime, Fluid),
        (CONSTANT, ProportionalFairRule(), VirtualTime, Fluid),
        (NARROWING, EqualShareRule(), Fluid, Fluid),
        (NARROWING, HELD, VirtualTime, Fluid),
        (FakeChannel(np.ones(1), reported=np.ones(1)), WorkConservingRule(), Fluid, Fluid),
        (FADING, EqualShareRule(), SlotSharing, SlotSharing),
        (FADING_NARROWING, EqualShareRule(), Fluid, Fluid),
        (FADING, HELD, HeldShares, HeldShares),
        (FADING_NARROWING, HELD, HeldShares, HeldShares),
        (FADING, FifoRule(), Fifo, Fifo),
        (FADING, WorkConservingRule(), Fluid, Fluid),
        (FADING, ProportionalFairRule(), Fluid, Fluid),
    ],
)
def test_the_engine_follows_from_channel_and_rule(
    channel: FakeChannel, rule: SharingRule, auto: type[Fluid], slotted: type[Fluid]
) -> None:
    assert type(fluid_engine("auto", channel, "uplink", 1.0, rule)) is auto
    assert type(fluid_engine("slotted", channel, "uplink", 1.0, rule)) is slotted
    if auto is not VirtualTime:
        with pytest.raises(InputError, match=r"uplink.engine: virtual_time needs rates that never"):
            fluid_engine("virtual_time", channel, "uplink", 1.0, rule)


@pytest.mark.parametrize(("fading", "mode", "linear"), [
    ("none", "per_rb", True), ("none", "total", False), ("rayleigh_block", "per_rb", False),
])  # fmt: skip
def test_the_channel_knows_whether_its_rates_are_linear(
    fading: str, mode: str, linear: bool
) -> None:
    config = NetworkConfig.model_validate(
        {"fading": {"kind": fading}, "uplink": {"power_mode": mode}}
    )
    channel = build_channel(config, clients=3, seed=1)
    assert channel.linear("uplink") == linear


@pytest.mark.parametrize("rule", RULES)
def test_a_hundred_thousand_flows_are_soon_projected(rule: SharingRule) -> None:
    rng = np.random.default_rng(4)
    bits, ready = rng.exponential(size=100_000), rng.uniform(0, 1e5, 100_000)
    began = time.process_time()
    transfer = project(rule, bits, ready)
    assert (transfer.finish_s > ready).all()
    assert time.process_time() - began < 5.0  # a tenth is typical


@pytest.mark.parametrize("rule", [EqualShareRule(), FifoRule()])
@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_mean_sojourn_of_a_markovian_queue(rule: SharingRule, load: float) -> None:
    """M/M/1 with mu = 1, shared or first come first served: 1 / (mu - lambda), within 3 standard
    errors (99.7%) from 50 batch means.

    The queue forgets in about 1 / (1 - sqrt(load))^2 = 380 service times at the highest load; each
    of the batches lasts at least 8,000.
    """
    rng = np.random.default_rng(42)
    n = 400_000
    ready, bits = np.cumsum(rng.exponential(1 / load, n)), rng.exponential(size=n)
    sojourn = project(rule, bits, ready).finish_s - ready
    batches = sojourn.reshape(50, -1).mean(axis=1)
    error = batches.std(ddof=1) / math.sqrt(50)
    mean = 1 / (1 - load)
    assert error < 0.03 * mean
    assert abs(sojourn.mean() - mean) < 3 * error
