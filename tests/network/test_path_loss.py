from __future__ import annotations

from dataclasses import replace
from math import hypot, inf, log10, pi

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


# Table 7.4.1-1 with a pocket calculator; d is the 3-D distance, b the breakpoint.
# RMa, h = 5 m: 0.03 h^1.72 = 0.47791, 0.044 h^1.72 = 0.70094, 0.002 lg h = 0.00139794; its NLOS row
# begins 161.04 - 7.1 lg 20 + 7.5 lg 5 - (24.37 - 3.7 / 49) lg 35 + (4.97 - 3.2 lg^2 17.625)
# = 161.04 - 9.23731 + 5.24228 - 37.51230 + 0.00086 = 119.53352, and 43.42 - 3.1 lg 35 = 38.63339.
@pytest.mark.parametrize(
    ("name", "state", "ground_m", "carrier_ghz", "loss_db"),
    [
        # d = 201.376: 28 + 22 x 2.30401 + 20 x 0.54407
        ("uma", "los", 200.0, 3.5, 89.570),
        # d = 55.247: 28 + 22 x 1.74231 + 20 x 0.30103
        ("uma", "los", 50.0, 2.0, 72.351),
        # b = 4 x 24 x 0.5 x 3.5e9 / 3e8 = 560; 28 + 40 x 3.30106 + 20 x 0.54407 - 9 x 5.49714
        ("uma", "los", 2000.0, 3.5, 121.449),
        # b = 320; 28 + 40 x 3.00012 + 20 x 0.30103 - 9 x lg(320^2 + 23.5^2) = 5.01264
        ("uma", "los", 1000.0, 2.0, 108.912),
        # d = 300.919: 13.54 + 39.08 x 2.47845 + 20 x 0.54407
        ("uma", "nlos", 300.0, 3.5, 121.279),
        # d = 1000.276: 13.54 + 39.08 x 3.00012 - 20 x 0.15490
        ("uma", "nlos", 1000.0, 0.7, 127.687),
        # d = 50.717: 32.4 + 21 x 1.70516 + 20 x 0.54407
        ("umi", "los", 50.0, 3.5, 79.090),
        # d = 100.361: 32.4 + 21 x 2.00156 + 20 x 1.44716
        ("umi", "los", 100.0, 28.0, 103.376),
        # b = 4 x 9 x 0.5 x 3.5e9 / 3e8 = 210; 32.4 + 40 x 2.60216 + 20 x 0.54407 - 9.5 x 4.64515
        ("umi", "los", 400.0, 3.5, 103.239),
        # b = 120; 32.4 + 40 x 2.47730 + 20 x 0.30103 - 9.5 x lg(120^2 + 8.5^2) = 4.16054
        ("umi", "los", 300.0, 2.0, 97.987),
        # d = 100.361: 22.4 + 35.3 x 2.00156 + 21.3 x 0.54407
        ("umi", "nlos", 100.0, 3.5, 104.644),
        # d = 200.181: 22.4 + 35.3 x 2.30142 + 21.3 x 1.44716
        ("umi", "nlos", 200.0, 28.0, 134.465),
        # d = 1000.561: 20 x lg(40 pi d 3.5 / 3) = 20 x 5.16640,
        # + 0.47791 x 3.00024 - 0.70094 + 1.39872
        ("rma", "los", 1000.0, 3.5, 105.460),
        # d = 301.865: 20 x 3.94700 + 0.47791 x 2.47981 - 0.70094 + 0.42199
        ("rma", "los", 300.0, 0.7, 79.846),
        # b = 2 pi x 35 x 1.5 x 3.5e9 / 3e8 = 3848.45; 20 x 5.75144 + 0.47791 x 3.58529 - 0.70094
        # + 5.37990, + 40 x lg(4500.125 / b) = 40 x 0.06794
        ("rma", "los", 4500.0, 3.5, 124.139),
        # b = 769.690; 20 x 4.35350 + 0.47791 x 2.88632 - 0.70094 + 1.07598 + 40 x 0.41477
        ("rma", "los", 2000.0, 0.7, 105.416),
        # d = 1500.374: 119.53352 + 38.63339 x 0.17620 + 20 x 0.54407
        ("rma", "nlos", 1500.0, 3.5, 137.222),
        # d = 501.121: 119.53352 - 38.63339 x 0.30006 - 20 x 0.15490
        ("rma", "nlos", 500.0, 0.7, 104.843),
        # d = 20.100: 32.4 + 17.3 x 1.30319 + 20 x 0.54407
        ("inh-open", "los", 20.0, 3.5, 65.827),
        # d = 5.385: 32.4 + 17.3 x 0.73120 + 20 x 1.44716
        ("inh-open", "los", 5.0, 28.0, 73.993),
        # d = 40.050: 17.3 + 38.3 x 1.60260 + 24.9 x 0.54407
        ("inh-open", "nlos", 40.0, 3.5, 92.227),
        # d = 100.020: 17.3 + 38.3 x 2.00009 + 24.9 x 1.44716
        ("inh-mixed", "nlos", 100.0, 28.0, 129.938),
        # d = 2.236: 17.3 + 38.3 x 0.34949 + 24.9 x 0.54407 = 44.23, but LOS, the larger, is
        # 32.4 + 17.3 x 0.34949 + 20 x 0.54407
        ("inh-mixed", "nlos", 1.0, 3.5, 49.327),
    ],
)
def test_losses_are_those_worked_out_by_hand(name, state, ground_m, carrier_ghz, loss_db):
    table, at = environment(name), np.array([ground_m])
    loss = table.los_loss_db if state == "los" else table.nlos_loss_db
    assert loss(at, carrier_ghz * 1e9)[0] == pytest.approx(loss_db, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "ground_m", "los_db", "nlos_db"),
    [
        ("rma", (10, 100, 1000), (77.3784, 87.2965, 108.5577), (77.3784, 95.7718, 133.5223)),
        ("uma", (10, 100, 1000), (72.9380, 86.2362, 109.7252), (82.5131, 106.1356, 144.7641)),
        ("umi", (10, 100, 1000), (69.8591, 88.4122, 119.3114), (76.7563, 107.9432, 143.1886)),
        ("inh-open", (1, 10, 100), (50.8072, 63.7630, 80.9802), (50.8072, 73.1894, 111.3062)),
    ],
)
def test_losses_agree_with_another_simulator(name, ground_m, los_db, nlos_db):
    """Reference values at 5 GHz of ns-3's tests of the same table; users are 1.5 m high there."""
    table = replace(environment(name), user_height_m=1.5)
    at = np.array(ground_m, float)
    np.testing.assert_allclose(table.los_loss_db(at, 5e9), los_db, atol=1e-4)
    np.testing.assert_allclose(table.nlos_loss_db(at, 5e9), nlos_db, atol=1e-4)


def test_a_higher_user_loses_less_without_line_of_sight():
    """0.6 (hUT - 1.5) in UMa, 0.3 (hUT - 1.5) in UMi; beside it, only d knows the height."""
    for name, per_metre_db, slope in (("uma", 0.6, 39.08), ("umi", 0.3, 35.3)):
        low, at = environment(name), np.array([200.0])
        high = replace(low, user_height_m=4.5)
        before, after = (
            hypot(200.0, t.base_station_height_m - t.user_height_m) for t in (low, high)
        )
        fall_db = low.nlos_loss_db(at, 2e9)[0] - high.nlos_loss_db(at, 2e9)[0]
        assert fall_db == pytest.approx(3.0 * per_metre_db + slope * log10(before / after))


@given(st.sampled_from(OUTDOOR), st.floats(0.5, 30.0))
def test_loss_is_continuous_at_the_breakpoint(name: str, carrier_ghz: float):
    """But for RMa, where PL2 starts from PL1 at the 3-D distance b, which is a ground distance."""
    table, hz = environment(name), carrier_ghz * 1e9
    b = table.breakpoint_m(hz)
    near, far = table.los_loss_db(np.array([b, b * (1 + 1e-9)]), hz)
    d, step_db = hypot(b, 33.5), 0.0
    if name == "rma":  # 40 lg(d / b) + PL1(b) - PL1(d)
        step_db = (20 - 0.477914) * log10(d / b) - 0.00139794 * (d - b)
        assert abs(step_db) < 0.016
    assert far - near == pytest.approx(step_db, abs=1e-6)


@pytest.mark.parametrize(("name", "at_1_ghz_m"), [("uma", 160.0), ("umi", 60.0), ("rma", 1099.557)])
def test_breakpoint_grows_with_the_carrier(name: str, at_1_ghz_m: float):
    """4 x 24 x 0.5 / 0.3, 4 x 9 x 0.5 / 0.3 and 2 pi x 35 x 1.5 / 0.3 m."""
    for carrier_ghz in (1.0, 3.5, 28.0):
        b = environment(name).breakpoint_m(carrier_ghz * 1e9)
        assert b == pytest.approx(carrier_ghz * at_1_ghz_m, rel=1e-6)


@given(st.sampled_from(ALL), st.floats(1.0, 4900.0), st.floats(0.5, 30.0), st.booleans())
def test_loss_grows_with_distance(name: str, ground_m: float, carrier_ghz: float, clear: bool):
    table = environment(name)
    loss = table.los_loss_db if clear else table.nlos_loss_db
    near, far = loss(np.array([ground_m, 1.02 * ground_m]), carrier_ghz * 1e9)
    assert near < far


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
        ("uma", 100.0, 0.34767),  # 0.18 + exp(-1.58730) x 0.82 = 0.18 + 0.20447 x 0.82
        ("uma", 500.0, 0.03634),  # 0.036 + exp(-7.93651) x 0.964 = 0.036 + 0.00036 x 0.964
        ("umi", 10.0, 1.0),
        ("umi", 50.0, 0.51959),  # 0.36 + exp(-1.38889) x 0.64 = 0.36 + 0.24935 x 0.64
        ("umi", 100.0, 0.23098),  # 0.18 + exp(-2.77778) x 0.82 = 0.18 + 0.06218 x 0.82
        ("rma", 10.0, 1.0),
        ("rma", 510.0, 0.60653),  # exp(-0.5)
        ("rma", 2010.0, 0.13534),  # exp(-2)
        ("inh-open", 5.0, 1.0),
        ("inh-open", 30.0, 0.70250),  # exp(-25 / 70.8) = exp(-0.35311)
        ("inh-open", 49.0, 0.53715),  # exp(-44 / 70.8) = exp(-0.62147)
        ("inh-open", 49.0001, 0.54),  # the pieces of the table do not quite meet
        ("inh-open", 100.0, 0.42439),  # 0.54 exp(-51 / 211.7) = 0.54 exp(-0.24091)
        ("inh-mixed", 1.2, 1.0),
        ("inh-mixed", 4.0, 0.55115),  # exp(-2.8 / 4.7) = exp(-0.59574)
        ("inh-mixed", 6.5, 0.32379),  # exp(-5.3 / 4.7) = exp(-1.12766)
        ("inh-mixed", 6.5001, 0.32),
        ("inh-mixed", 20.0, 0.21150),  # 0.32 exp(-13.5 / 32.6) = 0.32 exp(-0.41411)
    ],
)
def test_probability_of_line_of_sight_matches_the_table(name, ground_m, expected):
    probability = environment(name).probability_of_los(np.array([ground_m]))[0]
    assert probability == pytest.approx(expected, abs=6e-6)


@given(st.sampled_from(ALL), st.floats(0.1, 5000.0), st.floats(0.1, 5000.0))
def test_probability_of_line_of_sight_falls_with_distance(name: str, one_m: float, other_m: float):
    at = np.array(sorted((one_m, other_m)))
    near, far = environment(name).probability_of_los(at)
    assert 0.0 < far <= near + 0.003 <= 1.003  # InH-open rises by 0.00285 at 49 m


# A second transcription of the rest (Tables 7.2-1 to 7.2-3, 7.4.1-1, 7.5-6, 7.6.3.1-2): heights,
# applicability, sigma and decorrelation with and without line of sight, K, LOS state.
@pytest.mark.parametrize(
    ("name", "heights_m", "range_m", "to_ghz", "sigma_db", "decorrelation_m", "k_db", "los_m"),
    [
        ("uma", (25, 1.5), (10, 5000), 100, (4, 6), (37, 50), (9, 3.5), 50),
        ("umi", (10, 1.5), (10, 5000), 100, (4, 7.82), (10, 13), (9, 5), 50),
        ("rma", (35, 1.5), (10, 5000), 30, (4, 8), (37, 120), (7, 4), 60),
        ("inh-open", (3, 1), (1, 149.9), 100, (3, 8.03), (10, 6), (7, 4), 10),
        ("inh-mixed", (3, 1), (1, 149.9), 100, (3, 8.03), (10, 6), (7, 4), 10),
    ],
)
def test_other_constants_are_those_of_the_tables(
    name, heights_m, range_m, to_ghz, sigma_db, decorrelation_m, k_db, los_m
):
    table = environment(name)
    assert (table.base_station_height_m, table.user_height_m) == heights_m
    assert tuple(table.distance_range_m) == range_m
    assert tuple(table.carrier_range_hz) == (0.5e9, to_ghz * 1e9)
    assert (table.los["sigma_db"], table.nlos["sigma_db"]) == sigma_db
    assert (table.los["decorrelation_m"], table.nlos["decorrelation_m"]) == decorrelation_m
    assert (table.k_factor_mean_db, table.k_factor_sigma_db) == k_db
    assert table.los_decorrelation_m == los_m


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


def test_simple_models_by_hand():
    """Friis at 100 m, 2.4 GHz: 20 lg(4 pi x 100 x 2.4e9 / 299792458) = 20 x 4.00259."""
    near = np.array([100.0])
    assert simple_loss_db(FreeSpacePathLoss(), near, 2.4e9)[0] == pytest.approx(80.052, abs=6e-4)
    ours = LogDistancePathLoss(loss_at_1km_db=120.0, slope_db=30.0)
    assert simple_loss_db(ours, near, 2.4e9)[0] == pytest.approx(90.0)
    assert simple_loss_db(ours, near, 28e9)[0] == pytest.approx(90.0)  # at any carrier


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
