from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from wirelessfl.scenario import units
from wirelessfl.scenario.base import Config
from wirelessfl.scenario.units import Dimension, Hertz, Seconds

DIMENSIONS = {name: d for name, d in vars(units).items() if isinstance(d, Dimension)}
every_dimension = pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=DIMENSIONS)


@pytest.mark.parametrize(
    ("dimension", "text", "value"),
    [
        (units.FREQUENCY, "5 MHz", 5e6),
        (units.FREQUENCY, "3.5GHz", 3.5e9),
        (units.FREQUENCY, "  -1e3 kHz ", -1e6),
        (units.TIME, "5 min", 300.0),
        (units.TIME, "12 h", 43_200.0),
        (units.TIME, "2 d", 172_800.0),
        (units.TIME, "1 day", 86_400.0),
        (units.TIME, "2 days", 172_800.0),
        (units.TIME, "10 ms", 0.01),
        (units.TIME, "3 us", 3e-6),
        (units.TIME, "3 µs", 3e-6),
        (units.TIME, ".5 s", 0.5),
        (units.TIME, "5. s", 5.0),
        (units.TIME, "1.1 min", 66.0),
        (units.LENGTH, "5 m", 5.0),
        (units.LENGTH, "5 mm", 0.005),
        (units.LENGTH, "1.2 km", 1200.0),
        (units.SPEED, "1 m/s", 1.0),
        (units.SPEED, "3.6 km/h", 1.0),
        (units.SPEED, "3 km/h", 5 / 6),
        (units.POWER, "200 mW", 0.2),
        (units.ENERGY, "50 kJ", 5e4),
        (units.ENERGY, "15 Wh", 5.4e4),
        (units.ENERGY, "250 mWh", 900.0),
        (units.LEVEL, "-174 dBm", -174.0),
        (units.RATIO, "128.1 dB", 128.1),
        (units.DATA, "1 B", 8.0),
        (units.DATA, "5 kB", 4e4),
        (units.DATA, "1 KiB", 8192.0),
        (units.DATA, "10 Mbit", 1e7),
        (units.MEMORY, "1 GiB", 2.0**30),
        (units.MEMORY, "7.5 GB", 7.5e9),
        (units.DATA_RATE, "10 Mbit/s", 1e7),
        (units.DATA_RATE, "9.6 kbit/s", 9600.0),
        (units.DATA_RATE, "1 Gbit/s", 1e9),
        (units.MEMORY_RATE, "25.6 GB/s", 25.6e9),
        (units.COMPUTE_RATE, "3.2 GFLOP/s", 3.2e9),
        (units.COMPUTE_RATE, "2.56 TFLOP/s", 2.56e12),
        (units.COMPUTE_RATE, "500 MFLOP/s", 5e8),
    ],
)
def test_conversions_are_exact(dimension: Dimension, text: str, value: float):
    assert dimension.parse(text) == value


@given(mantissa=st.integers(0, 10**9), digits=st.integers(0, 6), unit=st.sampled_from(("min", "h")))
def test_a_text_becomes_the_nearest_float_to_the_exact_product(
    mantissa: int, digits: int, unit: str
):
    exact = Fraction(mantissa, 10**digits) * units.TIME.units[unit]
    assert units.TIME.parse(f"{mantissa / 10**digits!r} {unit}") == float(exact)


@every_dimension
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_writing_and_reading(dimension: Dimension, value: float):
    text = dimension.format(value)
    assert dimension.parse(text) == value
    assert re.match(dimension.pattern, text)


@pytest.mark.parametrize(
    ("dimension", "value", "text"),
    [
        (units.FREQUENCY, 5e6, "5 MHz"),
        (units.TIME, 43_200.0, "12 h"),
        (units.TIME, 0.01, "10 ms"),
        (units.TIME, 43_201.7, "43201.7 s"),
        (units.SPEED, 1.0, "1 m/s"),
        (units.DATA, 4e7, "5 MB"),
        (units.MEMORY, 2.0**33, "8 GiB"),
        (units.LEVEL, 23.0, "23 dBm"),
        (units.LEVEL, -0.001, "-0.001 dBm"),
        (units.RATIO, 1500.0, "1500 dB"),
        (units.COMPUTE_RATE, 1.2e15, "1.2 PFLOP/s"),
    ],
)
def test_floats_are_written_as_people_write_them(dimension: Dimension, value: float, text: str):
    assert dimension.format(value) == text


@every_dimension
@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "Hz",
        "5 bananas",
        "5 MHz 3",
        "1,5 MHz",
        "1_0 Hz",
        "inf Hz",
        "nan s",
        "0x5 Hz",
        "x = 5 Hz",
    ],
)
def test_anything_else_is_refused(dimension: Dimension, text: str):
    with pytest.raises(ValueError, match=re.escape(f"must be {dimension.name} with its unit")):
        dimension.parse(text)


def test_units_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"must be a time .*units: s, ms, us, µs, ns, min, h, d"):
        units.TIME.parse("5 MHz")
    with pytest.raises(ValueError, match="must be a ratio in decibels"):
        units.RATIO.parse("5 dBm")


def test_a_number_beyond_floats_is_refused():
    with pytest.raises(ValueError, match="must be a number that a float can hold"):
        units.FREQUENCY.parse("1e400 Hz")
    with pytest.raises(ValueError, match="must be a number that a float can hold"):
        units.TIME.parse("1e308 d")


class Radio(Config):
    """A section with units."""

    bandwidth_hz: Hertz = Field(5e6, gt=0, alias="bandwidth")
    slot_s: Seconds | None = Field(None, gt=0, alias="slot")


def test_python_floats_are_si_and_texts_are_parsed():
    assert Radio(bandwidth_hz=1e6).bandwidth_hz == 1e6
    assert Radio(bandwidth="2 MHz", slot="1 ms") == Radio(bandwidth_hz=2e6, slot_s=1e-3)


@pytest.mark.parametrize("value", [True, -1.0, "-1 Hz", math.inf, math.nan, None, [1.0]])
def test_values_out_of_bounds_and_booleans_are_refused(value: object):
    with pytest.raises(ValidationError):
        Radio(bandwidth_hz=value)


def test_python_dumps_hold_floats_and_json_dumps_hold_units():
    radio = Radio(slot_s=0.002)
    assert radio.model_dump() == {"bandwidth": 5e6, "slot": 0.002}
    assert radio.model_dump(mode="json") == {"bandwidth": "5 MHz", "slot": "2 ms"}
    assert Radio.model_validate_json(radio.model_dump_json()) == radio


def test_the_json_schema_of_a_unit_is_a_text_with_pattern_and_example():
    schema = TypeAdapter(Hertz).json_schema()
    assert schema["type"] == "string"
    assert all(re.match(schema["pattern"], example) for example in schema["examples"])
    assert not re.match(schema["pattern"], "5")
