from __future__ import annotations

import math

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats

from tests.network.fake_channel import FakeChannel
from tests.network.links import HELD, assert_same_story, link_over, start, story
from wirelessfl.network.build_link import build_link
from wirelessfl.network.channel import build_channel
from wirelessfl.network.engines import fluid_engine
from wirelessfl.network.ergodic import ErgodicRates
from wirelessfl.network.ergodic_link import ErgodicLink
from wirelessfl.network.finish_together import work_conserving_time
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.link import Link, Transfer
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    Floats,
    MaxMinRule,
    SharingRule,
    WorkConservingRule,
)
from wirelessfl.scenario.network import NetworkConfig

TOLD = [EqualShareRule(), HELD, EqualFinishRule("on_event"), MaxMinRule(), FifoRule()]


class PacedLink(Link):
    """A link whose flows have paces that follow from their sizes."""

    def submit(self, clients: ArrayLike, bits: ArrayLike, *times: ArrayLike | None) -> Transfer:
        transfer = super().submit(clients, bits, *times)
        self._flows.pace[transfer._rows] = 1.0 + 0.3 * np.sin(1e3 * transfer.bits)
        return transfer


@settings(deadline=None, max_examples=20)
@pytest.mark.parametrize("rule", TOLD)
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.3]))
@pytest.mark.slow
def test_both_engines_tell_the_same_story_of_flows_with_paces(
    rule: SharingRule, seed: int, leaving: float
) -> None:
    channel = FakeChannel(np.random.default_rng(seed).uniform(0.2, 5.0, 6))
    virtual, slotted = (
        story(link_over(channel, rule, 2.0, engine, PacedLink), 6, seed, leaving)
        for engine in ("virtual_time", "slotted")
    )
    assert_same_story(virtual, slotted)


def test_a_pace_is_by_what_factor_more_gets_through() -> None:
    link = link_over(FakeChannel(np.ones(2)), EqualShareRule())
    transfer = link.submit([0, 1], [4.0, 4.0])
    link._flows.pace[:] = [2.0, 0.5]
    # 1 and 1/4 bit/s until 4, then 1/2 bit/s for the 3 bits left
    assert transfer.finish_s.tolist() == [4.0, 10.0]


def test_working_together_all_of_the_work_is_done_whatever_the_paces() -> None:
    rng = np.random.default_rng(5)
    bits, ready_s, pace = (
        rng.exponential(3.0, 40),
        rng.exponential(5.0, 40),
        rng.uniform(0.8, 1.2, 40),
    )
    ends: list[Floats] = []
    for engine in ("virtual_time", "slotted"):
        link = link_over(FakeChannel(np.ones(40)), WorkConservingRule(), engine=engine)
        transfer = link.submit(np.arange(40), bits, ready_s)
        link._flows.pace[:] = pace
        ends.append(transfer.finish_s)
    assert ends[0].max() == pytest.approx(ends[1].max(), rel=1e-9)
    assert ends[0].max() == pytest.approx(work_conserving_time(bits / pace, ready_s, 1.0), rel=1e-9)
    assert np.median(np.abs(ends[0] / ends[1] - 1.0)) < 0.02


def even_s(fluid: Fluid, bits: Floats, ready_s: Floats, leave_s: ArrayLike = math.inf) -> Floats:
    """How long flows would take evenly served, as an ergodic link finds it."""
    flows, state = start(fluid, bits, ready_s, leave_s)
    squared, sent = np.zeros(len(bits)), bits.copy()
    while np.isnan(state.finish_s).any():
        after = fluid.step(flows, state)
        squared += fluid.squared_rate(flows, state, after)
        state = after
    sent -= state.remaining_bits
    return np.divide(sent**2, squared, out=np.zeros(len(bits)), where=sent > 0)


@pytest.mark.parametrize("engine", ["virtual_time", "slotted"])
@pytest.mark.parametrize(
    ("rule", "lengths"),
    [
        # at 1 bit/s for 1 s and at 1/2 for 2 s, or the other way round: 2^2 / (1 + 2 / 4)
        (EqualShareRule(), [8 / 3, 8 / 3]),
        (MaxMinRule(), [8 / 3, 8 / 3]),
        # 1 bit in 1 s, the other in 3: 2^2 / (1 + 1 / 3); 2 bits in 3 s
        (WorkConservingRule(), [3.0, 3.0]),
        # waiting does not count
        (FifoRule(), [2.0, 2.0]),
        # until (5 + sqrt 17) / 2
        (HELD, [4.561552812808830, 3.561552812808830]),
    ],
)
def test_even_lengths_by_hand(engine: str, rule: SharingRule, lengths: list[float]) -> None:
    fluid = fluid_engine(engine, FakeChannel(np.ones(2)), "uplink", 1.0, rule)
    found = even_s(fluid, np.array([2.0, 2.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(lengths, rel=1e-9)


@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("slot_s", [math.inf, 0.7])
@pytest.mark.parametrize("rule", [*TOLD, WorkConservingRule()])
@given(seed=st.integers(0, 10**6), leaving=st.sampled_from([0.0, 0.4]))
def test_every_engine_finds_the_same_even_lengths(
    rule: SharingRule, slot_s: float, seed: int, leaving: float
) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    channel = FakeChannel(rng.uniform(0.2, 5.0, n), slot_s=slot_s)
    bits = rng.exponential(3.0, n) * (rng.random(n) < 0.9)
    ready_s = rng.exponential(4.0, n) * (rng.random(n) < 0.7)
    leave_s = np.where(rng.random(n) < leaving, rng.exponential(9.0, n), math.inf)
    engine = fluid_engine("auto", channel, "uplink", 1.5, rule)
    stepped = Fluid(channel, "uplink", 1.5, rule)
    assert even_s(engine, bits, ready_s, leave_s) == pytest.approx(
        even_s(stepped, bits, ready_s, leave_s), rel=1e-6, abs=1e-9
    )


def network(fidelity: str = "ergodic", **options: object) -> NetworkConfig:
    return NetworkConfig.model_validate(
        {
            "fidelity": fidelity,
            "uplink": {"power_mode": "per_rb", "bandwidth": "10 MHz"},
            "path_loss": {"kind": "tr38901", "los": "never"},
            "cells": {"radius": "300 m"},
            "fading": {"kind": "rayleigh_block", "coherence_time": "10 ms"},
            **options,
        }
    )


def link(
    config: NetworkConfig, rule: SharingRule, clients: int, now_s: float = 0.0, seed: int = 3
) -> Link:
    rates = build_channel(config, clients, seed).at(0)
    return build_link(simpy.Environment(now_s), rates, "uplink", config.uplink, rule)


def test_a_lone_transfer_takes_the_time_that_was_drawn() -> None:
    config = network()
    rates = build_channel(config, 5, 3).at(0)
    assert isinstance(rates, ErgodicRates)
    for client in range(5):
        who, hz = np.array([client]), np.array([config.uplink.bandwidth_hz])
        mean_bps = rates.rate_bps("uplink", who, np.zeros(1, int), hz)[:, 0]
        wander_s = rates.wander_s("uplink", who, 0.0, hz)
        ready_s = np.array([0.5 + client])
        drawn = rates.relative_time("uplink", who, ready_s, wander_s * mean_bps / 2e7)
        lone = link(config, EqualShareRule(), 5).submit(who, [2e7], ready_s)
        assert lone.finish_s == pytest.approx(ready_s + 2e7 / mean_bps * drawn, rel=1e-12)


FIXED = {"placement": {"kind": "fixed", "distances": ["300 m"]}, "shadowing": {"kind": "none"}}


@pytest.mark.parametrize("mode", ["per_rb", "total"])
@pytest.mark.parametrize(
    "fading",
    [
        {"kind": "rayleigh_block", "coherence_time": "10 ms"},
        {"kind": "rician", "k_factor": "5 dB", "coherence_time": "10 ms"},
        {"kind": "gilbert_elliott", "mean_good": "40 ms", "mean_bad": "20 ms", "bad_gain": "-9 dB"},
    ],
    ids=lambda fading: fading["kind"],
)
@pytest.mark.slow
def test_lone_transfers_end_as_over_the_exact_channel(mode: str, fading: dict[str, object]) -> None:
    """In law: 300 clients at one place, about 200 coherence slots each."""
    took: list[Floats] = []
    for fidelity in ("exact", "ergodic"):
        uplink = {"power_mode": mode, "bandwidth": "10 MHz"}
        config = network(fidelity, fading=fading, uplink=uplink, **FIXED)
        rates = build_channel(config, 300, 4).at(0)
        ready_s = 0.0037 + 0.013 * np.arange(300)
        alone = (
            build_link(simpy.Environment(), rates, "uplink", config.uplink, EqualShareRule())
            for _ in ready_s
        )
        ends = [one.submit([n], [1.5e7], ready_s[n : n + 1]) for n, one in enumerate(alone)]
        took.append(np.concatenate([end.finish_s for end in ends]) - ready_s)
    exact, ergodic = took
    assert stats.ks_2samp(exact, ergodic).pvalue > 0.02
    assert ergodic.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / math.sqrt(150))
    assert ergodic.std() == pytest.approx(exact.std(), rel=4 / math.sqrt(300))


BITS = np.array([4e6, 1e7, 6e6, 3e6, 9e6, 8e6, 2e6, 5e6])
READY_S = np.array([0.0, 0.2, 0.5, 1.0, 1.01, 1.4, 2.0, 4.0])


@pytest.mark.parametrize(
    ("rule", "mode", "mean", "deviation"),
    [
        (EqualShareRule(), "per_rb", 0.03, 0.3),
        (EqualShareRule(), "total", 0.03, 0.3),
        (FifoRule(), "per_rb", 0.03, 0.3),
        (MaxMinRule(), "per_rb", 0.03, 0.5),  # by reports, whose noise is left out
        (WorkConservingRule(), "per_rb", 0.03, 0.5),
        (EqualFinishRule("on_event"), "per_rb", 0.03, 0.7),
    ],
)
@pytest.mark.slow
def test_transfers_that_share_end_as_over_the_exact_channel(
    rule: SharingRule, mode: str, mean: float, deviation: float
) -> None:
    """80 times over, far apart: mean and deviation of every finish time, and the round's mean."""
    ends: list[Floats] = []
    for fidelity in ("exact", "ergodic"):
        config = network(fidelity, uplink={"power_mode": mode, "bandwidth": "10 MHz"})
        rates = build_channel(config, 8, 3).at(0)
        times = []
        for begin_s in 100.0 * np.arange(300, 380):
            air = build_link(simpy.Environment(begin_s), rates, "uplink", config.uplink, rule)
            times.append(air.submit(np.arange(8), BITS, begin_s + READY_S).finish_s - begin_s)
        ends.append(np.array(times))
    exact, ergodic = ends
    np.testing.assert_allclose(ergodic.mean(axis=0), exact.mean(axis=0), rtol=mean)
    np.testing.assert_allclose(ergodic.std(axis=0), exact.std(axis=0), rtol=deviation)
    assert ergodic.max(axis=1).mean() == pytest.approx(exact.max(axis=1).mean(), rel=0.01)


@pytest.mark.parametrize("rule", [EqualShareRule(), FifoRule(), WorkConservingRule()])
def test_transfers_of_clients_who_move_end_about_as_over_the_exact_channel(
    rule: SharingRule,
) -> None:
    moving = {"kind": "random_waypoint", "min_speed": "10 m/s", "max_speed": "20 m/s"}
    ends = [
        link(network(fidelity, mobility=moving), rule, 8).submit(np.arange(8), 4 * BITS, READY_S)
        for fidelity in ("exact", "ergodic")
    ]
    np.testing.assert_allclose(ends[1].finish_s, ends[0].finish_s, rtol=0.2)
    assert ends[1].finish_s.mean() == pytest.approx(ends[0].finish_s.mean(), rel=0.07)


def test_finish_times_do_not_depend_on_the_order_of_members_or_on_looks() -> None:
    order = np.random.default_rng(1).permutation(8)
    for rule in (*TOLD, WorkConservingRule()):
        once = link(network(), rule, 8).submit(np.arange(8), BITS, READY_S)
        other = link(network(), rule, 8)
        again = other.submit(order, BITS[order], READY_S[order])
        assert again.finish_s == pytest.approx(once.finish_s[order], rel=1e-12)
        other.env.run(1.3)
        assert again.sent_bits.sum() == pytest.approx(other.bits_sent)
        other.env.run()
        assert again.finish_s == pytest.approx(once.finish_s[order], rel=1e-9)
        assert again.sent_bits.tolist() == BITS[order].tolist()


def test_a_later_submission_leaves_the_paces_of_the_earlier_alone() -> None:
    air = link(network(), EqualShareRule(), 8)
    first = air.submit([0], [1e7])
    pace = air._flows.pace.copy()
    air.env.run(0.2)
    air.submit([1, 2], [1e7, 1e7])
    assert air._flows.pace[0] == pace[0] != 1.0
    air.env.run()
    assert first.sent_bits.tolist() == [1e7]


def test_short_transfers_are_counted() -> None:
    config = network(**FIXED)
    air = link(config, EqualShareRule(), 8)
    assert isinstance(air, ErgodicLink)
    rate = air._source.rate_bps("uplink", np.zeros(1, int), np.zeros(1, int), np.array([1e7]))
    second_bits = float(rate.item())  # the coherence time is 10 ms
    air.submit([0], [1.01 * second_bits])
    air.env.run()
    assert (air.transfers, air.short) == (1, 0)
    air.submit([1], [0.99 * second_bits])
    air.env.run()
    assert (air.transfers, air.short) == (2, 1)
    air.submit([2, 3, 4], [0.0, 5 * second_bits, 5 * second_bits], leave_s=[9e9, 9e9, air.env.now])
    air.env.run()
    assert (air.transfers, air.short) == (3, 1)  # one is empty, one never begins


def test_leaving_transfers_and_those_with_nothing_to_send_end_when_they_should() -> None:
    air = link(network(), WorkConservingRule(), 8)
    transfer = air.submit(np.arange(4), [0.0, 1e7, 1e9, 1e7], [1.0, 0.0, 0.0, 5.0], [9, 9, 2, 3])
    ends = transfer.finish_s
    assert ends[0] == 1.0
    assert 0.5 < ends[1] < 9.0
    assert np.isinf(ends[2:]).all()
    air.env.run()
    assert 0 < transfer.sent_bits[2] < 1e9


def test_without_fading_ergodic_is_exact() -> None:
    ends = [
        link(network(fidelity, fading={"kind": "none"}), EqualShareRule(), 8).submit(
            np.arange(8), BITS, READY_S
        )
        for fidelity in ("exact", "ergodic")
    ]
    assert type(ends[1]._link) is Link
    assert (ends[0].finish_s == ends[1].finish_s).all()


def test_flows_carry_no_pace_unless_asked() -> None:
    air = link(network("exact"), EqualShareRule(), 8)
    air.submit(np.arange(8), BITS, READY_S)
    assert (air._flows.pace == 1.0).all()
