"""What the tests of links and their engines share: rules, flows, links and their stories."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import simpy
from numpy.typing import ArrayLike

from tests.network.fake_channel import FakeChannel
from wirelessfl.network.flows import Flows, State, begin
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.link import Link, Transfer
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
from wirelessfl.scenario.network import Engine

HELD = EqualFinishRule()
RULES = [
    EqualShareRule(),
    WorkConservingRule(),
    HELD,
    EqualFinishRule("on_event"),
    EqualFinishRule("every_slot"),
    MaxMinRule(),
    FifoRule(),
    ProportionalFairRule(2.0),
]


def link_over(
    channel: FakeChannel,
    rule: SharingRule,
    bandwidth_hz: float = 1.0,
    engine: Engine = "auto",
    kind: type[Link] = Link,
) -> Link:
    return kind(simpy.Environment(), channel, "uplink", bandwidth_hz, rule, engine)


def start(
    fluid: Fluid,
    bits: ArrayLike,
    ready_s: ArrayLike = 0.0,
    leave_s: ArrayLike = math.inf,
    time_s: float = 0.0,
) -> tuple[Flows, State]:
    """Flows of clients 0, 1, ..., admitted at `time_s`."""
    sizes = np.asarray(bits, float)
    n = len(sizes)
    ready = np.array(np.broadcast_to(np.asarray(ready_s, float), n))
    leave = np.array(np.broadcast_to(np.asarray(leave_s, float), n))
    flows = Flows(np.arange(n), sizes, ready, ready, leave, np.zeros(n, int), np.ones(n))
    return flows, fluid.settle(flows, begin(time_s, sizes), replan=True)


def run(fluid: Fluid, flows: Flows, state: State) -> State:
    while np.isnan(state.finish_s).any():
        state = fluid.step(flows, state)
    return state


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


def story(link: Link, clients: int, seed: int, leaving: float = 0.0) -> Story:
    """Random submissions and cancellations, some at the instant of an event, all looked at."""
    rng = np.random.default_rng(seed)
    env, told = link.env, Story(link)
    for _ in range(8):
        env.run(until=env.now + rng.choice([rng.exponential(2.0), 1.0]))
        for _ in range(rng.integers(3)):
            n = int(rng.integers(1, 7))
            bits = rng.exponential(3.0, n) * (rng.random(n) < 0.9)
            ready = env.now + rng.exponential(4.0, n) * (rng.random(n) < 0.5)
            expected = np.where(rng.random(n) < 0.9, ready, env.now + 1.0)
            leave = np.where(rng.random(n) < leaving, env.now + rng.exponential(6.0, n), math.inf)
            who = rng.integers(clients, size=n)
            told.transfers.append(link.submit(who, bits, ready, leave, expected))
        told.look()
        if told.transfers and rng.random() < 0.4:
            victim = told.transfers[rng.integers(len(told.transfers))]
            link.cancel(victim, rng.random(len(victim.bits)) < 0.5)
        told.look()
    env.run()
    told.look()
    return told


def assert_same_story(one: Story, other: Story, rel: float = 1e-9) -> None:
    assert len(one.seen) == len(other.seen)
    for ours, theirs in zip(one.seen, other.seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rel, atol=rel)
    assert_same_usage(one.link, other.link)


def assert_same_usage(one: Link, other: Link) -> None:
    """The same bandwidth in use at every time but those within rounding of a change."""
    (one_s, one_hz), (other_s, other_hz) = one.utilisation(), other.utilisation()
    assert (np.diff(one_s) > 0).all()
    edge_s = np.sort(np.concatenate([one_s, other_s]))
    gap_s = np.diff(edge_s)
    time_s = (edge_s[:-1] + gap_s / 2)[gap_s > 1e-6]
    one_used = one_hz[np.searchsorted(one_s, time_s) - 1]
    other_used = other_hz[np.searchsorted(other_s, time_s) - 1]
    np.testing.assert_allclose(one_used, other_used, rtol=1e-9, atol=1e-12)
