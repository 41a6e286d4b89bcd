"""The scenarios in scenarios/ show every kind of availability and jitter, and mean what they say.

That each of them runs is tested with the kinds of air, in tests/network/test_examples.py.
"""

from __future__ import annotations

import pytest

from tests.examples import FILES, FOLDER, OWN_CODE, TINY
from wirelessfl.scenario import load
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.simulation import simulate

LIGHT = (TINY, "evaluate.every=100")


@pytest.mark.parametrize("topic", ["availability", "jitter"])
def test_every_kind_is_shown(topic: str):
    examples = [load(path, (), allow_custom=True) for path in (*FILES, *OWN_CODE)]
    shown = {getattr(example.devices, topic).kind for example in examples}
    assert shown == {kind.name for kind in list_kinds(topic)}


@pytest.mark.parametrize("option", ["battery", "background"])
def test_every_option_is_shown(option: str):
    assert any(getattr(load(path).devices, option) is not None for path in FILES)


@pytest.mark.slow
def test_in_the_flaky_fleet_everything_goes_wrong_that_can():
    trace = simulate(load(FOLDER / "flaky-fleet.yaml", LIGHT))
    outcomes = set(trace.clients["outcome"])
    assert outcomes >= {"completed", "dropped", "crashed", "lost"}
    assert (trace.clients["queue_s"] > 0).any()


@pytest.mark.slow
def test_at_night_more_phones_are_on_than_in_the_evening():
    trace = simulate(load(FOLDER / "night-charging.yaml", (*LIGHT, "learning.local.steps=5")))
    available = trace.rounds.set_index("start_s")["available"]
    hour = (23 + available.index / 3600) % 24
    assert available[(hour > 2) & (hour < 4)].mean() > 1.2 * available[hour > 23].mean()


def test_between_lessons_the_school_waits():
    trace = simulate(load(FOLDER / "school-tablets.yaml", LIGHT))
    waits = trace.events[trace.events["event"] == "wait"]
    assert len(waits) >= 1
    assert (trace.rounds["available"].iloc[1:] > 0).all()
