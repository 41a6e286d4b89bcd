"""Batteries give what they hold, hold what they are given, and nothing comes from nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.device.availability import Availability, build_availability
from wirelessfl.device.battery import Battery, empty_s
from wirelessfl.device.presence import Presence
from wirelessfl.scenario.availability import (
    AlwaysAvailable,
    BatteryConfig,
    OnOff,
    ReplayedAvailability,
)

NO = np.zeros(1, dtype=bool)
ZERO = np.array([0])


def always(clients: int = 1) -> Availability:
    return build_availability(AlwaysAvailable(), clients, seed=0)


def battery(clients: int = 1, availability: Availability | None = None, **options) -> Battery:
    config = BatteryConfig.model_validate({"capacity_j": 100.0, "recharge_w": 2.0} | options)
    return Battery(config, availability or always(clients), clients)


def test_a_charge_by_hand():
    cell = battery(initial=0.5)
    cell.charge(10.0)
    assert cell.charge_j.tolist() == [70.0]
    cell.spend(ZERO, np.array([30.0]), NO)
    cell.charge(11.0)
    assert cell.charge_j.tolist() == [42.0]
    cell.charge(1000.0)
    assert cell.charge_j.tolist() == [100.0]  # and no more


def test_who_ran_empty_rests_until_charged_to_resume():
    cell = battery(resume=0.2)
    presence = Presence(1, always(), cell)
    assert presence.on(0.0).tolist() == [True]
    cell.spend(ZERO, np.array([100.0]), ~NO)
    assert presence.on(9.0).tolist() == [False]
    assert presence.next_on_s(9.0).tolist() == [10.0]
    assert presence.on(10.0).tolist() == [True]


def test_without_a_charger_it_never_comes_back():
    cell = battery(recharge_w=0.0)
    presence = Presence(1, always(), cell)
    cell.spend(ZERO, np.array([100.0]), ~NO)
    assert presence.on(50.0).tolist() == [False]
    assert presence.next_on_s(50.0).tolist() == [np.inf]


def test_charging_while_on_waits_for_the_charger(tmp_path: Path):
    path = tmp_path / "on.csv"
    path.write_text("client,on_s,off_s\n0,0,10\n0,40,100\n", encoding="utf-8")
    plugged = build_availability(ReplayedAvailability(file=str(path)), 1, seed=0)
    cell = battery(1, plugged, recharge_while="on", initial=0.0, resume=0.5)
    presence = Presence(1, plugged, cell)
    assert presence.on(10.0).tolist() == [False]
    assert cell.charge_j.tolist() == [20.0]
    assert presence.next_on_s(10.0).tolist() == [55.0]  # 30 J at 2 W from second 40 on
    assert presence.on(54.0).tolist() == [False]
    assert presence.on(55.0).tolist() == [True]


def test_a_full_battery_is_not_followed_through_years_of_charging(monkeypatch):
    """A year of minutes on and off; of each client only what it takes to be full is looked at."""
    hours = build_availability(OnOff(mean_on_s=60.0, mean_off_s=60.0), 5, seed=0)
    looked, look = [], hours.next_change_s
    monkeypatch.setattr(hours, "next_change_s", lambda *at: looked.append(at) or look(*at))
    cell = battery(5, hours, recharge_while="on", initial=0.0, recharge_w=1.0)
    cell.charge(3e7)
    assert cell.charge_j.tolist() == [100.0] * 5
    assert len(looked) < 50


def test_a_battery_that_is_empty_at_the_start_is_no_help():
    assert not Presence(1, always(), battery(initial=0.0)).on(0.0).any()


rounds = st.lists(st.tuples(st.floats(0, 50), st.floats(0, 1), st.booleans()), max_size=30)


@given(rounds, st.floats(0, 1))
def test_energy_is_conserved(steps: list[tuple[float, float, bool]], initial: float):
    """charge = initial + charged - spent - what did not fit."""
    cell, now_s, spent_j, spilt_j = battery(initial=initial), 0.0, 0.0, 0.0
    for wait_s, share, emptied in steps:
        now_s += wait_s
        before_j = cell.charge_j[0]
        cell.charge(now_s)
        spilt_j += max(0.0, before_j + 2.0 * wait_s - 100.0)
        use_j = share * cell.charge_j
        cell.spend(ZERO, use_j, np.array([emptied]))
        spent_j += float(use_j[0])
        assert 0 <= cell.charge_j[0] <= 100
        assert cell.resting[0] or cell.charge_j[0] > 0
    charged_j = 2.0 * now_s
    assert cell.charge_j[0] == pytest.approx(
        100 * initial + charged_j - spent_j - spilt_j, abs=1e-7
    )


def phases(*of: tuple[float, float]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array([begin]), np.array([watts])) for begin, watts in of]


@pytest.mark.parametrize(
    ("charge_j", "expected_s"),
    [
        (1.5, 10.75),  # while it receives: 2 W from second 10
        (4.0, 12.0),  # just as computing begins, before it does anything
        (5.0, 12.2),  # 1 J of computing at 5 W
        (19.0, 15.0),  # just as sending begins
        (25.0, 17.0),  # 6 J at 3 W
    ],
)
def test_when_a_charge_is_used_up_by_hand(charge_j: float, expected_s: float):
    way = phases((10.0, 2.0), (12.0, 0.0), (12.0, 5.0), (15.0, 3.0))
    assert empty_s(np.array([charge_j]), way).tolist() == [pytest.approx(expected_s)]


def test_mains_last_for_ever_and_so_does_waiting_that_costs_nothing():
    way = phases((0.0, 1.0), (3.0, 0.0), (np.inf, 5.0))
    assert empty_s(np.array([np.inf]), way).tolist() == [np.inf]
    assert empty_s(np.array([4.0]), way).tolist() == [np.inf]
    unknown = phases((0.0, 0.0), (1.0, np.nan), (2.0, 1.0))
    assert empty_s(np.array([np.inf]), unknown).tolist() == [np.inf]


@given(
    st.lists(
        st.tuples(st.floats(0.01, 10), st.just(0.0) | st.floats(0.01, 9)), min_size=1, max_size=5
    ),
    st.floats(0.1, 100),
)
def test_what_was_drawn_until_it_is_empty_is_the_charge(
    steps: list[tuple[float, float]], charge_j: float
):
    begins = np.cumsum([0.0, *(length for length, _ in steps[:-1])])
    way = phases(*((b, watts) for b, (_, watts) in zip(begins, steps, strict=True)))
    end_s = empty_s(np.array([charge_j]), way)[0]
    if np.isinf(end_s):
        assert steps[-1][1] == 0
        return
    ends = [*begins[1:], np.inf]
    drawn = sum(
        watts * max(0.0, min(end_s, end) - begin)
        for begin, end, (_, watts) in zip(begins, ends, steps, strict=True)
        if watts > 0
    )
    assert drawn == pytest.approx(charge_j)


def test_what_comes_in_while_a_device_works_is_not_lost_to_its_full_battery():
    """A full one spends 30 J in 10 s with 2 W in, while others' comings and goings are booked."""
    cell, first = battery(2), np.array([0])
    cell.begin(first)
    for now_s in (2.0, 5.0, 10.0):
        cell.charge(now_s)
    assert cell.charge_j[1] == 100.0
    cell.spend(first, np.array([30.0]), NO)
    assert cell.charge_j[0] == pytest.approx(100.0 - 30.0 + 20.0)
    cell.begin(first)
    cell.charge(100.0)
    cell.spend(first, np.array([1.0]), NO)
    assert cell.charge_j[0] == 100.0
