"""What `--vary` means: how values are separated, what they come to, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.study.axes import grid, parse_vary, slug, text_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1 MHz, 5 MHz", ["1 MHz", "5 MHz"]),
        ("a.b=1,2.5,null,true", [1, 2.5, None, True]),
        ("a={kind: jakes, speed: 1 m/s},{kind: none}",
         [{"kind": "jakes", "speed": "1 m/s"}, {"kind": "none"}]),
        ("a=[1, 2],[3]", [[1, 2], [3]]),
        ("a='x, y',\"z\"", ["x, y", "z"]),
        ("a={b: [1, {c: '}, ,'}]}", [{"b": [1, {"c": "}, ,"}]}]),
    ],
)  # fmt: skip
def test_commas_separate_values_except_inside_something(text: str, values: list) -> None:
    (found,) = parse_vary([text]).values()
    assert found == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "write a field and its values"),
        ("a.b=", "write a field and its values"),
        ("a.b=1,,2", "write a field and its values"),
        ("a..b=1", "write a field and its values"),
        ("a={b: 1", "a } is missing"),
        ("a=[1}", "the '}' closes nothing"),
        ("a='x", "a ' is missing"),
        ("a={b: 1: 2}", "not valid YAML"),
    ],
)
def test_what_is_no_field_and_values_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_vary([text])
    assert str(error.value).startswith("--vary a")


def test_a_field_is_given_once() -> None:
    with pytest.raises(InputError, match=r"--vary a\.b is given twice"):
        parse_vary(["a.b=1", "a.b=2"])


def test_points_are_all_combinations_with_values_in_si_units(timing) -> None:
    axes, points = grid(
        timing(),
        {"network.uplink.bandwidth": ["500 kHz", "5 MHz"], "network.fading": [{"kind": "none"}]},
    )
    bandwidth, fading = axes
    assert (bandwidth.values, bandwidth.unit, bandwidth.numeric) == ((5e5, 5e6), "Hz", True)
    assert (fading.values, fading.unit, fading.numeric) == (("{kind: none}",), "", False)
    assert [point.scenario.network.uplink.bandwidth_hz for point in points] == [5e5, 5e6]
    assert points[1].values == {"network.uplink.bandwidth": 5e6, "network.fading": "{kind: none}"}
    assert points[1].label == "bandwidth=5 MHz, fading={kind: none}"
    assert points[1].folder.startswith("bandwidth=5MHz,fading=kind-none-")


def test_values_that_are_not_all_numbers_stay_as_they_are_written(timing) -> None:
    (axis,), _ = grid(timing(), {"server.deadline": ["60 s", None]})
    assert (axis.values, axis.log) == (("60 s", "null"), False)


@pytest.mark.parametrize(
    ("path", "values", "log"),
    [
        ("network.uplink.bandwidth", ["1 MHz", "19 MHz"], False),
        ("network.uplink.bandwidth", ["1 MHz", "20 MHz"], True),
        ("network.uplink.power", ["1 dBm", "23 dBm"], False),  # decibels are logarithms already
        ("server.overhead", ["0 s", "20 s"], False),
    ],
)
def test_an_axis_is_logarithmic_where_its_values_span_decades(timing, path, values, log) -> None:
    (axis,), _ = grid(timing(), {path: values})
    assert axis.log is log


def test_fields_of_the_same_name_are_told_apart(timing) -> None:
    _, (point,) = grid(
        timing(), {"network.uplink.bandwidth": ["1 MHz"], "network.downlink.bandwidth": ["2 MHz"]}
    )
    assert point.folder == "uplink.bandwidth=1MHz,downlink.bandwidth=2MHz"


def test_another_file_is_not_held_to_the_hash_of_the_first(timing, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.csv", "two.csv")]
    for number, file in enumerate(files):
        file.write_text(f"time_s,client,x_m,y_m\n0,0,{number},5\n", encoding="utf-8")
    mobility = f"network.mobility={{kind: trace, file: {files[0]}}}"
    _, points = grid(timing(mobility), {"network.mobility.file": [str(file) for file in files]})
    hashes = {point.scenario.network.mobility.sha256 for point in points}
    assert len(hashes) == 2
    assert None not in hashes


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({}, "needs --vary"),
        ({"seed": [1]}, "after --seeds"),
        ({"strategy.kind": ["full"]}, "after --strategies"),
        ({"devices.count": []}, "at least one value"),
        ({"devices.count": "12"}, "a list of at least one value"),
        ({"devices.count": [6, 6]}, "6 is there twice"),
        ({"devices.cuont": [6]}, "--vary devices.cuont: unknown key 'cuont'; did you mean 'count'"),
        ({"network.uplink.bandwidth": [5]}, "--vary network.uplink.bandwidth: 5 must be a freq"),
        ({"network.uplink.bandwidth": ["-1 MHz"]}, "must be at least 1 Hz"),
        ({"learning.lora.rank": [4, 2], "strategies.everyone.adapter": [{"rank": 3}]}, "rank"),
    ],
)
def test_what_cannot_be_varied_is_one_clear_error(timing, vary, message) -> None:
    with pytest.raises(InputError) as error:
        grid(timing(), vary)
    assert message in str(error.value)


@given(
    st.lists(st.text(min_size=1), min_size=2, max_size=2, unique_by=lambda t: "".join(t.split()))
)
def test_folders_of_different_values_differ_and_are_plain(texts: list[str]) -> None:
    names = [slug(text) for text in texts]
    assert names[0] != names[1]
    assert all(len(name) < 50 and not set(name) & set("/\\ :,=") for name in names)


def test_the_text_of_a_value_reads_back_as_the_value() -> None:
    value = {"kind": "jakes", "speed": "1 m/s", "on": True, "of": None, "list": [1, 2.5]}
    assert parse_vary([f"a={text_of(value)}"]) == {"a": [value]}
