from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.fake_channel import FakeChannel
from wirelessfl.network.channel import build_channel
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.link import Link, Transfer
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    Floats,
    SharingRule,
    WorkConservingRule,
)
from wirelessfl.network.virtual_time import Engine, VirtualTime, fluid_engine
from wirelessfl.scenario.network import NetworkConfig

RULES = [EqualShareRule(), WorkConservingRule(), EqualFinishRule(), EqualFinishRule("on_event")]
HELD = EqualFinishRule()


@dataclass
class Story:
    """What one link went through, and what could be seen of it at every step."""

    link: Link
    transfers: list[Transfer] = field(default_factory=list)
    seen: list[Floats] = field(default_factory=list)

    def look(self) -> None:
        self.seen += [transfer.sent_bits for transfer in self.transfers]
        self.seen += [transfer.finish_s for transfer in self.transfers]
        self.seen.append(np.array([self.link.bits_sent]))


def story(
    engine: Engine, rule: SharingRule, channel: FakeChannel, seed: int, leaving: float = 0.0
) -> Story:
    """Random submissions and cancellations, some at the instant of an event, all looked at."""
    rng = np.random.default_rng(seed)
    env = simpy.Environment()
    told = Story(Link(env, channel, "uplink", 2.0, rule, engine))
    for _ in range(8):
        env.run(until=env.now + rng.choice([rng.exponential(2.0), 1.0]))
        for _ in range(rng.integers(3)):
            n = int(rng.integers(1, 7))
            bits = rng.exponential(3.0, n) * (rng.random(n) < 0.9)
            ready = env.now + rng.exponential(4.0, n) * (rng.random(n) < 0.5)
            expected = np.where(rng.random(n) < 0.9, ready, env.now + 1.0)
            leave = np.where(rng.random(n) < leaving, env.now + rng.exponential(6.0, n), math.inf)
            who = rng.integers(len(np.asarray(channel.quality)), size=n)
            told.transfers.append(told.link.submit(who, bits, ready, leave, expected))
        told.look()
        if told.transfers and rng.random() < 0.4:
            victim = told.transfers[rng.integers(len(told.transfers))]
            told.link.cancel(victim, rng.random(len(victim.bits)) < 0.5)
        told.look()
    env.run()
    told.look()
    return told


@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.3]))
def test_both_engines_tell_the_same_story(rule: SharingRule, seed: int, leaving: float) -> None:
    channel = FakeChannel(np.random.default_rng(seed).uniform(0.2, 5.0, 6))
    slotted = story("slotted", rule, channel, seed, leaving)
    virtual = story("virtual_time", rule, channel, seed, leaving)
    assert len(virtual.seen) == len(slotted.seen)
    for ours, theirs in zip(virtual.seen, slotted.seen, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    assert_same_usage(virtual.link, slotted.link)


def assert_same_usage(one: Link, other: Link) -> None:
    """The same bandwidth in use at every time but those within rounding of a change."""
    (one_s, one_hz), (other_s, other_hz) = one.utilisation(), other.utilisation()
    assert (np.diff(one_s) > 0).all()
    edge_s = np.sort(np.concatenate([one_s, other_s]))
    gap_s = np.diff(edge_s)
    time_s = (edge_s[:-1] + gap_s / 2)[gap_s > 1e-6]
    one_used = one_hz[np.searchsorted(one_s, time_s) - 1]
    other_used = other_hz[np.searchsorted(other_s, time_s) - 1]
    assert one_used == pytest.approx(other_used, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), concave=st.booleans())
def test_held_shares_need_neither_linear_rates_nor_true_reports(seed: int, concave: bool) -> None:
    rng = np.random.default_rng(seed)
    quality = rng.uniform(0.2, 5.0, 6)
    channel = FakeChannel(quality, concave=concave, reported=quality * rng.uniform(0.5, 2.0, 6))
    slotted = story("slotted", HELD, channel, seed)
    virtual = story("virtual_time", HELD, channel, seed)
    for ours, theirs in zip(virtual.seen, slotted.seen, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    assert_same_usage(virtual.link, slotted.link)


def project(rule: SharingRule, bits: Floats, ready_s: Floats, engine: Engine = "auto") -> Transfer:
    link = Link(simpy.Environment(), FakeChannel(np.ones(1)), "uplink", 1.0, rule, engine)
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
    link = Link(
        simpy.Environment(), FakeChannel([0.0, 1.0]), "uplink", 1.0, EqualShareRule(), engine
    )
    transfer = link.submit([0, 1], [1.0, 1.0], leave_s=[3.0, math.inf])
    assert transfer.finish_s.tolist() == [math.inf, 2.0]


@pytest.mark.parametrize(
    ("channel", "rule", "leaps"),
    [
        (FakeChannel(np.ones(1)), EqualShareRule(), True),
        (FakeChannel(np.ones(1)), WorkConservingRule(), True),
        (FakeChannel(np.ones(1)), EqualFinishRule("on_event"), True),
        (FakeChannel(np.ones(1), concave=True), EqualShareRule(), False),
        (FakeChannel(np.ones(1), concave=True), HELD, True),
        (FakeChannel(np.ones(1), reported=np.ones(1)), WorkConservingRule(), False),
        (FakeChannel(np.ones(1), slot_s=0.1), EqualShareRule(), False),
        (FakeChannel(np.ones(1), slot_s=0.1), HELD, False),
    ],
)
def test_the_engine_follows_from_channel_and_rule(
    channel: FakeChannel, rule: SharingRule, leaps: bool
) -> None:
    assert isinstance(fluid_engine("auto", channel, "uplink", 1.0, rule), VirtualTime) == leaps
    assert type(fluid_engine("slotted", channel, "uplink", 1.0, rule)) is Fluid
    if not leaps:
        with pytest.raises(ValueError, match="virtual time needs constant rates"):
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


@pytest.mark.parametrize("load", [0.5, 0.8, 0.9])
def test_mean_sojourn_of_a_markovian_queue_that_shares_its_processor(load: float) -> None:
    """M/M/1-PS with mu = 1: 1 / (mu - lambda), within 3 standard errors from batch means.

    The queue forgets in about 1 / (1 - sqrt(load))^2 = 380 service times at the highest load; each
    of the 50 batches lasts at least 8,000.
    """
    rng = np.random.default_rng(42)
    n = 400_000
    ready, bits = np.cumsum(rng.exponential(1 / load, n)), rng.exponential(size=n)
    sojourn = project(EqualShareRule(), bits, ready).finish_s - ready
    batches = sojourn.reshape(50, -1).mean(axis=1)
    error = batches.std(ddof=1) / math.sqrt(50)
    mean = 1 / (1 - load)
    assert error < 0.03 * mean
    assert abs(sojourn.mean() - mean) < 3 * error
