"""Transfers that are submitted one by one through wire and air, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.fake_channel import FakeCells, FakeChannel
from tests.network.test_access import CELLS, CONFIG, WIRED
from wirelessfl.network.access import Access
from wirelessfl.network.passage import Passage
from wirelessfl.network.sharing import EqualShareRule

NEVER = math.inf


def one_by_one(cells: FakeCells = CELLS) -> tuple[simpy.Environment, Access]:
    env = simpy.Environment()
    return env, Access(env, cells, WIRED, CONFIG, EqualShareRule(), one_by_one=True)


def down(carrier: Access, client: int, bits: float, leave_s: float = NEVER) -> Passage:
    return carrier.download(np.array([client]), np.array([bits]), np.array([leave_s]))


def up(env: simpy.Environment, carrier: Access, client: int, bits: float) -> Passage:
    now_s = np.array([env.now])
    return carrier.upload(np.array([client]), np.array([bits]), now_s, np.array([NEVER]), now_s)


def at(env: simpy.Environment, times_s: list[float], begin) -> list[float]:
    """When the passages are done that `begin(index)` submits at the given times."""
    ends = [math.nan] * len(times_s)

    def one(index: int):
        yield env.timeout(times_s[index])
        passage = begin(index)
        yield passage.done
        ends[index] = env.now
        assert passage.finish_s[0] <= env.now

    for index in range(len(times_s)):
        env.process(one(index))
    env.run()
    return ends


def test_downloads_that_join_in_the_wire_and_meet_again_in_the_air():
    """Cell a: 15 bit/s, 1 s, 10 bit/s. 120 bits at 0 s, 120 bits at 4 s.

    Wire: the first has 60 bits left at 4 s, both go at 7.5 bit/s until 12 s; the second has 60 left
    and ends at 16 s. Air from 13 s: the first has 80 bits left at 17 s, when the second joins; both
    at 5 bit/s until 33 s, and the second's last 40 bits end at 37 s.
    """
    env, carrier = one_by_one()
    ends = at(env, [0.0, 4.0], lambda index: down(carrier, index, 120.0))
    assert ends == pytest.approx([33.0, 37.0], abs=1e-9)


def test_uploads_that_join_in_the_air_and_meet_again_in_the_wire():
    """Air 10 bit/s, wire 15 bit/s, then 1 s. 120 bits at 0 s, 120 bits at 6 s.

    Air: the first has 60 bits left at 6 s, ends at 18 s; the second's other 60 end at 24 s. Wire:
    the first from 18 s to 26 s alone would be 120/15 = 8 s; at 24 s it has 30 bits left, both at
    7.5 bit/s until 28 s, and the second's other 90 end at 34 s.
    """
    env, carrier = one_by_one()
    ends = at(env, [0.0, 6.0], lambda index: up(env, carrier, index, 120.0))
    assert ends == pytest.approx([29.0, 35.0], abs=1e-9)


def test_the_end_is_not_known_before_the_second_leg_has_begun():
    env, carrier = one_by_one()
    passage = up(env, carrier, 0, 120.0)
    env.run(11.9)
    assert passage.finish_s[0] == NEVER
    env.run(12.1)  # in the wire by now
    assert passage.finish_s[0] == pytest.approx(12.0 + 8.0 + 1.0)
    assert passage.radio_end_s[0] == pytest.approx(12.0)


@pytest.mark.parametrize(("cut_s", "sent"), [(4.0, 0.0), (8.5, 0.0), (11.0, 20.0), (30.0, 120.0)])
def test_who_is_cancelled_has_what_came_by_then(cut_s: float, sent: float):
    """In the wire, between wire and air (8 s to 9 s), in the air, and too late."""
    env, carrier = one_by_one()
    passage = down(carrier, 0, 120.0)
    env.run(cut_s)
    passage.cancel()
    env.run()
    assert passage.sent_bits[0] == pytest.approx(sent)
    assert passage.finish_s[0] == (pytest.approx(21.0) if cut_s > 21 else NEVER)
    assert carrier.downlinks[0].bits_sent == pytest.approx(sent)


def test_who_leaves_in_the_wire_is_never_on_the_air():
    env, carrier = one_by_one()
    passage = down(carrier, 0, 120.0, leave_s=5.0)
    env.run()
    assert passage.finish_s[0] == NEVER
    assert passage.sent_bits[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.floats(0, 30), st.floats(1, 200)), min_size=1, max_size=8
    ),
    st.booleans(),
)
def test_bits_are_conserved_whoever_comes_when(flows, downward: bool):
    env, carrier = one_by_one()

    def begin(index: int) -> Passage:
        client, _, bits = flows[index]
        return down(carrier, client, bits) if downward else up(env, carrier, client, bits)

    ends = at(env, [start_s for _, start_s, _ in flows], begin)
    assert np.isfinite(ends).all()
    for cell, members in ((0, (0, 1)), (1, (2,))):
        link = (carrier.downlinks if downward else carrier.uplinks)[cell]
        total = sum(bits for client, _, bits in flows if client in members)
        assert link.bits_sent == pytest.approx(total)
        assert link.utilisation()[1].max() <= 10.0 + 1e-9


def test_a_near_look_is_a_view_of_the_same_future():
    """Links over slots project less at a time for one-by-one transfers, and end them alike."""
    rng = np.random.default_rng(3)
    quality = rng.exponential(size=(3, 50))
    starts_s = rng.uniform(0, 60, 12).tolist()

    def ends(near: bool) -> list[float]:
        cells = FakeCells([0, 0, 1], [FakeChannel(quality, slot_s=0.5) for _ in range(2)])
        env, carrier = one_by_one(cells)
        if not near:
            for link in carrier.uplinks:
                link._look_s = math.inf
        return at(env, starts_s, lambda i: up(env, carrier, i % 3, 50.0))

    assert ends(near=True) == pytest.approx(ends(near=False), rel=1e-12)
