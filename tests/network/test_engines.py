from __future__ import annotations

import math
import time
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.fake_channel import FakeChannel
from tests.network.links import HELD, RULES, assert_same_story, link_over, run, start, story
from wirelessfl.errors import InputError
from wirelessfl.network import held_shares, slot_sharing
from wirelessfl.network.channel import build_channel
from wirelessfl.network.engines import fluid_engine
from wirelessfl.network.fading import Direction
from wirelessfl.network.flows import RateSource
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.link import Link
from wirelessfl.network.sharing import EqualShareRule, FifoRule, SharingRule
from wirelessfl.scenario.network import Engine, NetworkConfig

SWEPT = [EqualShareRule(), HELD, FifoRule()]


def stepped(
    engine: Engine,
    source: RateSource,
    direction: Direction,
    bandwidth_hz: float,
    rule: SharingRule,
) -> Fluid:
    return Fluid(source, direction, bandwidth_hz, rule)


class SteppedLink(Link):
    """A link that goes from event to event, whatever its rule."""

    _engine = staticmethod(stepped)


@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("rule", SWEPT)
@given(
    seed=st.integers(0, 10**6),
    leaving=st.sampled_from([0.0, 0.5]),
    slot_s=st.sampled_from([0.05, 0.3, 2.0, 50.0]),
)
@pytest.mark.slow
def test_passing_many_events_at_once_tells_the_same_story(
    rule: SharingRule, seed: int, leaving: float, slot_s: float
) -> None:
    rng = np.random.default_rng(seed)
    quality = rng.exponential(2.0, (6, 13)) * (rng.random((6, 13)) < 0.8) + 0.01
    channel = FakeChannel(quality, slot_s=slot_s)
    at_once = link_over(channel, rule, 2.0)
    one_by_one = link_over(channel, rule, 2.0, kind=SteppedLink)
    assert_same_story(story(at_once, 6, seed, leaving), story(one_by_one, 6, seed, leaving), 1e-8)


@pytest.mark.parametrize("rule", SWEPT)
@pytest.mark.parametrize("slot_s", [0.01, 1.0, 30.0])
def test_hundreds_of_flows_over_slots_end_as_if_stepped(rule: SharingRule, slot_s: float) -> None:
    rng = np.random.default_rng(8)
    n = 300
    channel = FakeChannel(rng.exponential(size=(n, 97)), slot_s=slot_s)
    bits, ready = rng.exponential(size=n), rng.uniform(0, 200, n) * (rng.random(n) < 0.7)
    leave = np.where(rng.random(n) < 0.3, rng.uniform(0, 400, n), math.inf)
    ends = []
    for fluid in (
        fluid_engine("auto", channel, "uplink", 1.0, rule),
        Fluid(channel, "uplink", 1.0, rule),
    ):
        ends.append(run(fluid, *start(fluid, bits, ready, leave)))
    assert type(fluid_engine("auto", channel, "uplink", 1.0, rule)) is not Fluid
    assert 0 < np.isfinite(ends[0].finish_s).sum() < n
    np.testing.assert_allclose(ends[0].finish_s, ends[1].finish_s, rtol=1e-9)
    np.testing.assert_allclose(ends[0].remaining_bits, ends[1].remaining_bits, atol=1e-9)


@pytest.mark.parametrize(("rule", "module"), [(SWEPT[0], slot_sharing), (HELD, held_shares)])
def test_ends_are_the_same_bit_for_bit_however_many_slots_are_fetched_at_once(
    rule: SharingRule, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(9)
    n = 100
    fluid = fluid_engine("auto", FakeChannel(rng.random((n, 53)), slot_s=0.1), "uplink", 1.0, rule)
    flows = rng.exponential(size=n), rng.uniform(0, 90, n), rng.uniform(50, 150, n)
    ends = []
    for cells in (1, 2000, 1 << 18):
        monkeypatch.setattr(module, "_CELLS", cells)
        ends.append(run(fluid, *start(fluid, *flows)))
    for end in ends[1:]:
        np.testing.assert_array_equal(end.finish_s, ends[0].finish_s)
        np.testing.assert_array_equal(end.remaining_bits, ends[0].remaining_bits)


@pytest.mark.parametrize("slots", [1, 40])
def test_flows_that_come_leave_and_end_at_the_edges_of_slots(slots: int) -> None:
    """Two flows at 1 bit/s a Hz over slots of 1 s, or the same as a few longer slots."""
    channel = FakeChannel(np.ones(4), slot_s=slots / 40)
    fluid = fluid_engine("auto", channel, "uplink", 1.0, EqualShareRule())
    flows = [2.0, 1.0, 5.0, 1.0], [0.0, 1.0, 2.0, 3.0], [math.inf, 2.0, 4.0, 3.0]
    ended = run(fluid, *start(fluid, *flows))
    # 1 bit alone, half a bit beside the one that leaves at 2 with half, then half a bit beside the
    # third until 3, which has all until 4; the fourth leaves when it comes
    assert ended.finish_s == pytest.approx([3.0, math.inf, math.inf, math.inf], rel=1e-12)
    assert ended.remaining_bits == pytest.approx([0.0, 0.5, 3.5, 1.0], abs=1e-12)


@pytest.mark.parametrize("rule", SWEPT)
def test_a_dead_link_is_an_error_when_many_events_are_passed(rule: SharingRule) -> None:
    fluid = fluid_engine("auto", FakeChannel(np.zeros(2), slot_s=0.1), "uplink", 1.0, rule)
    with pytest.raises(InputError, match=r"uplink: client 0.* got as good as nothing through"):
        run(fluid, *start(fluid, [1.0, 1.0]))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("engine", ["auto", "slotted"])
@pytest.mark.parametrize("slot_s", [math.inf, 0.1])
@pytest.mark.slow
def test_a_rate_of_next_to_nothing_is_a_dead_link(
    rule: SharingRule, engine: Engine, slot_s: float
) -> None:
    """1e-40 bit/s would never end, in any engine: what a slot brings is lost in rounding."""
    channel = FakeChannel([1e-40, 1.0, 1e-40], slot_s=slot_s)
    fluid = fluid_engine(engine, channel, "uplink", 1.0, rule)
    with pytest.raises(InputError, match=r"uplink: client 0.* got as good as nothing through"):
        run(fluid, *start(fluid, [1.0, 1.0, 1.0]))


@pytest.mark.parametrize("rule", SWEPT)
def test_a_slow_link_that_gets_there_is_no_dead_link(rule: SharingRule) -> None:
    """A ten-thousandth of the bits a slot, but for 99,000 slots in a row without any."""
    channel = FakeChannel([[1e-3] * 1000 + [0.0] * 99_000], slot_s=0.1)
    fluid = fluid_engine("auto", channel, "uplink", 1.0, rule)
    ended = run(fluid, *start(fluid, [0.15]))
    assert ended.finish_s == pytest.approx([10_050.0], rel=1e-9)


@pytest.mark.parametrize("rule", SWEPT)
def test_a_client_that_is_never_heard_leaves_when_it_gives_up(rule: SharingRule) -> None:
    fluid = fluid_engine("auto", FakeChannel([0.0, 1.0], slot_s=0.1), "uplink", 1.0, rule)
    ended = run(fluid, *start(fluid, [1.0, 1.0], leave_s=[7.25, math.inf]))
    assert ended.finish_s[0] == math.inf
    assert ended.remaining_bits.tolist() == [1.0, 0.0]


def test_by_hand_equal_shares_within_one_slot() -> None:
    channel = FakeChannel([[1.0, 2.0], [2.0, 1.0]], slot_s=1.0)
    fluid = fluid_engine("auto", channel, "uplink", 1.0, EqualShareRule())
    ended = run(fluid, *start(fluid, [1.75, 1.25]))
    # slot 0: halves send 0.5 and 1 bit; slot 1: halves send 1 and 0.5 bit/s, so the second ends at
    # 1.5, when the first has 1.75 - 0.5 - 0.5 = 0.75 left, at 2 bit/s until 1.875
    assert ended.finish_s == pytest.approx([1.875, 1.5], rel=1e-15)


@pytest.mark.parametrize(
    ("rule", "bits"), [(EqualShareRule(), 3e4), (HELD, 1e4), (FifoRule(), 3e4)]
)
def test_ten_thousand_flows_over_hundreds_of_slots_are_soon_projected(
    rule: SharingRule, bits: float
) -> None:
    network = NetworkConfig.model_validate(
        {
            "fading": {"kind": "rayleigh_block", "coherence_time": "10 ms"},
            "uplink": {"power_mode": "per_rb", "bandwidth": "100 MHz"},
        }
    )
    n = 10_000
    channel = build_channel(network, n, seed=1)
    link = link_over(channel, rule, 100e6)
    began = time.process_time()
    transfer = link.submit(np.arange(n), np.full(n, bits))
    slots = transfer.finish_s.max() / 0.01
    assert time.process_time() - began < 3.0  # a tenth is typical
    assert slots > 300
    assert len(np.unique(transfer.finish_s)) > n / 2
