from __future__ import annotations

from math import exp, hypot, inf, log10, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.network.path_loss import environment, simple_loss_db
from wirelessfl.scenario.radio import FixedPathLoss, FreeSpacePathLoss, LogDistancePathLoss

ALL = ["uma", "umi", "rma", "inh-open", "inh-mixed"]
OUTDOOR = ["uma", "umi", "rma"]
F = 3.5  # GHz


def los(name: str, ground_m: float) -> float:
    return float(environment(name).los_loss_db(np.array([ground_m]), F * 1e9)[0])


def nlos(name: str, ground_m: float) -> float:
    return float(environment(name).nlos_loss_db(np.array([ground_m]), F * 1e9)[0])


def test_line_of_sight_loss_matches_the_table():
    uma, umi, inh = hypot(200, 23.5), hypot(50, 8.5), hypot(20, 2)
    assert los("uma", 200) == pytest.approx(28 + 22 * log10(uma) + 20 * log10(F))
    assert los("umi", 50) == pytest.approx(32.4 + 21 * log10(umi) + 20 * log10(F))
    assert los("inh-open", 20) == pytest.approx(32.4 + 17.3 * log10(inh) + 20 * log10(F))
    assert los("inh-mixed", 20) == los("inh-open", 20)
    d, h = hypot(1000, 33.5), 5.0
    rma = (
        20 * log10(40 * pi * d * F / 3)
        + 0.03 * h**1.72 * log10(d)
        - 0.044 * h**1.72
        + 0.002 * log10(h) * d
    )
    assert los("rma", 1000) == pytest.approx(rma)


def test_line_of_sight_loss_beyond_the_breakpoint_matches_the_table():
    b = 4 * 24 * 0.5 * F * 1e9 / 3e8  # 560 m
    uma = 28 + 40 * log10(hypot(2000, 23.5)) + 20 * log10(F) - 9 * log10(b**2 + 23.5**2)
    assert los("uma", 2000) == pytest.approx(uma)
    b = 4 * 9 * 0.5 * F * 1e9 / 3e8  # 210 m
    umi = 32.4 + 40 * log10(hypot(400, 8.5)) + 20 * log10(F) - 9.5 * log10(b**2 + 8.5**2)
    assert los("umi", 400) == pytest.approx(umi)
    b, d, h = 2 * pi * 35 * 1.5 * F * 1e9 / 3e8, hypot(4500, 33.5), 5.0  # 3848 m
    at_b = (
        20 * log10(40 * pi * b * F / 3)
        + 0.03 * h**1.72 * log10(b)
        - 0.044 * h**1.72
        + 0.002 * log10(h) * b
    )
    assert los("rma", 4500) == pytest.approx(at_b + 40 * log10(d / b))


def test_loss_without_line_of_sight_matches_the_table():
    assert nlos("uma", 300) == pytest.approx(
        13.54 + 39.08 * log10(hypot(300, 23.5)) + 20 * log10(F)
    )
    assert nlos("umi", 100) == pytest.approx(22.4 + 35.3 * log10(hypot(100, 8.5)) + 21.3 * log10(F))
    assert nlos("inh-open", 40) == pytest.approx(
        17.3 + 38.3 * log10(hypot(40, 2)) + 24.9 * log10(F)
    )
    rma = (
        161.04
        - 7.1 * log10(20)
        + 7.5 * log10(5)
        - (24.37 - 3.7 * (5 / 35) ** 2) * log10(35)
        + (43.42 - 3.1 * log10(35)) * (log10(hypot(1500, 33.5)) - 3)
        + 20 * log10(F)
        - (3.2 * log10(11.75 * 1.5) ** 2 - 4.97)
    )
    assert nlos("rma", 1500) == pytest.approx(rma)


def test_known_values_in_db():
    """The formulas above, worked out by hand to 0.01 dB."""
    assert los("uma", 200) == pytest.approx(89.57, abs=0.01)
    assert nlos("uma", 300) == pytest.approx(121.28, abs=0.01)


@pytest.mark.parametrize("name", OUTDOOR)
def test_loss_is_continuous_at_the_breakpoint(name: str):
    b = environment(name).breakpoint_m(F * 1e9)
    assert 200 < b < 4000
    assert los(name, b * (1 + 1e-9)) == pytest.approx(los(name, b), abs=1e-3)


@pytest.mark.parametrize("name", ["inh-open", "inh-mixed"])
def test_there_is_no_breakpoint_indoors(name: str):
    assert environment(name).breakpoint_m(F * 1e9) == inf


@given(st.sampled_from(ALL), st.floats(1.0, 5000.0), st.floats(0.5, 30.0))
def test_a_blocked_path_never_loses_less(name: str, ground_m: float, carrier_ghz: float):
    table, at = environment(name), np.array([ground_m])
    assert table.nlos_loss_db(at, carrier_ghz * 1e9) >= table.los_loss_db(at, carrier_ghz * 1e9)


@pytest.mark.parametrize(
    ("name", "ground_m", "expected"),
    [
        ("uma", 18.0, 1.0),
        ("uma", 100.0, 0.18 + exp(-100 / 63) * 0.82),
        ("umi", 10.0, 1.0),
        ("umi", 100.0, 0.18 + exp(-100 / 36) * 0.82),
        ("rma", 10.0, 1.0),
        ("rma", 510.0, exp(-0.5)),
        ("inh-open", 5.0, 1.0),
        ("inh-open", 30.0, exp(-25 / 70.8)),
        ("inh-open", 100.0, 0.54 * exp(-51 / 211.7)),
        ("inh-mixed", 1.0, 1.0),
        ("inh-mixed", 4.0, exp(-2.8 / 4.7)),
        ("inh-mixed", 20.0, 0.32 * exp(-13.5 / 32.6)),
    ],
)
def test_probability_of_line_of_sight_matches_the_table(name, ground_m, expected):
    assert environment(name).probability_of_los(np.array([ground_m]))[0] == pytest.approx(expected)


def test_shadowing_deviation_depends_on_line_of_sight_and_breakpoint():
    sigma = environment("rma").sigma_db(
        np.array([1000.0, 4500.0, 1000.0]), F * 1e9, np.array([True, True, False])
    )
    np.testing.assert_array_equal(sigma, [4.0, 6.0, 8.0])


def test_distances_and_carriers_outside_the_specification_are_refused():
    with pytest.raises(InputError, match=r"inh-open covers 1 m to 149\.9 m"):
        environment("inh-open").check(35.0, 500.0, 3.5e9)
    with pytest.raises(InputError, match="60 GHz"):
        environment("rma").check(35.0, 500.0, 60e9)


def test_simple_models():
    at = np.array([100.0, 1000.0, 2000.0])
    np.testing.assert_allclose(
        simple_loss_db(LogDistancePathLoss(), at, 2e9), [90.5, 128.1, 128.1 + 37.6 * log10(2)]
    )
    np.testing.assert_allclose(
        simple_loss_db(FreeSpacePathLoss(), at, 2.4e9),
        20 * np.log10(4 * pi * at * 2.4e9 / 299_792_458),
    )
    np.testing.assert_array_equal(simple_loss_db(FixedPathLoss(loss_db=90.0), at, 2e9), 90.0)
