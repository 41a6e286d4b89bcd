from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.fake_channel import FakeChannel
from tests.network.links import HELD, RULES, assert_same_story, link_over, story
from wirelessfl.errors import InputError
from wirelessfl.network.channel import build_channel
from wirelessfl.network.engines import fluid_engine
from wirelessfl.network.fifo import Fifo
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.held_shares import HeldShares
from wirelessfl.network.link import Transfer
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
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.3]))
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
