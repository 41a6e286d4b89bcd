"""Recorded availability is what the file says, and a bad file is refused with its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from wirelessfl.device.availability import Availability, build_availability
from wirelessfl.errors import InputError
from wirelessfl.scenario import load
from wirelessfl.scenario.availability import ReplayedAvailability

HEADER = "client,on_s,off_s\n"


def replay(path: Path, text: str, clients: int) -> Availability:
    path.write_text(text, encoding="utf-8")
    return build_availability(ReplayedAvailability(file=str(path)), clients, seed=0)


def test_clients_are_on_from_on_to_off_whatever_the_order_of_the_rows(tmp_path: Path):
    model = replay(tmp_path / "t.csv", HEADER + "1,30,40\n0,0,5\n1,10,20\n", 2)
    both = np.arange(2)
    assert [model.is_on(both, t).tolist() for t in (0, 4.9, 5, 10, 20, 35, 40, 1e9)] == [
        [True, False],
        [True, False],
        [False, False],
        [False, True],
        [False, False],
        [False, True],
        [False, False],
        [False, False],
    ]
    assert model.next_off_s(both, 12.0).tolist() == [12.0, 20.0]
    assert model.next_on_s(both, 2.0).tolist() == [2.0, 10.0]
    assert model.next_on_s(both, 25.0).tolist() == [np.inf, 30.0]
    assert model.next_change_s(both, 40.0).tolist() == [np.inf, np.inf]
    assert model.on_time_s(both, 2.0, 35.0).tolist() == [3.0, 15.0]


def test_times_that_touch_are_one_time(tmp_path: Path):
    model = replay(tmp_path / "t.csv", HEADER + "0,10,20\n0,0,10\n", 1)
    assert model.next_off_s(np.array([0]), 5.0).tolist() == [20.0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ":1: is empty; needs client,on_s,off_s"),
        (HEADER, ":1: has a header but no rows"),
        ("client,on,off\n0,1,2\n", ":1: has columns client,on,off; needs client,on_s,off_s"),
        (HEADER + "0,0\n", ":2: has 2 values for 3 columns"),
        (HEADER + "0,nan,3\n", ":2: on_s is 'nan', must be a number of at least 0"),
        (HEADER + "0,0,inf\n", ":2: off_s is 'inf', must be a number of at least 0"),
        (HEADER + "0,-1,3\n", ":2: on_s is '-1', must be a number of at least 0"),
        (HEADER + "0,5,5\n", ":2: off_s 5 is not after on_s 5"),
        (HEADER + "2,0,5\n", ":2: unknown client 2; the scenario has 0 to 1"),
        (HEADER + "bus,0,5\n", ":2: client is 'bus', must be a whole number from 0 on"),
        (HEADER + "0,0,5\n", ":1: client 1 has no row; every client of the scenario needs one"),
        (
            HEADER + "0,0,5\n1,0,9\n0,4,8\n",
            ":4: overlaps the client's time from 0 to 5 in line 2",
        ),
        (HEADER + '0,0,"5\n', ":2: is not CSV: unexpected end of data"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "bad.csv"
    with pytest.raises(InputError) as caught:
        replay(path, text, 2)
    assert str(caught.value) == f"{path}{complaint}"


def test_a_file_that_changed_since_it_was_noted_is_refused(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "0,0,5\n", encoding="utf-8")
    config = ReplayedAvailability(file=str(path), sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(InputError, match="has changed since the scenario noted its SHA-256"):
        build_availability(config, 1, seed=0)


def test_a_scenario_finds_the_file_beside_it_and_notes_its_hash(tmp_path: Path):
    (tmp_path / "on.csv").write_text(HEADER + "0,0,5\n", encoding="utf-8")
    text = "name: x\ndevices: {count: 1, availability: {kind: trace, file: on.csv}}\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    availability = load(tmp_path / "x.yaml").devices.availability
    assert isinstance(availability, ReplayedAvailability)
    assert availability.file == str((tmp_path / "on.csv").resolve())
    assert availability.sha256 == hashlib.sha256((HEADER + "0,0,5\n").encode()).hexdigest()
