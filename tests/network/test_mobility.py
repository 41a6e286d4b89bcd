"""Movements: their laws stay what they are, and a place has one value however one asks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import cumulative_trapezoid
from scipy.special import ellipe

from wirelessfl.network.gauss_markov import GaussMarkov
from wirelessfl.network.geometry import Disc, area, positions
from wirelessfl.network.mobility import Steps, build_steps
from wirelessfl.network.random_waypoint import RandomWaypoint
from wirelessfl.scenario import loads
from wirelessfl.scenario.mobility import GaussMarkovMobility, RandomWaypointMobility
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.place import Cells, UniformPlacement

CLIENTS = 20_000
EVERYONE = np.arange(CLIENTS)
DISC = Disc(np.array([30.0, -70.0]), 100.0)
PLAIN = Disc(np.zeros(2), 1e6)  # nobody meets its border


def waypoint(pause_s: float = 0.0, clients: int = CLIENTS, seed: int = 1) -> RandomWaypoint:
    config = RandomWaypointMobility(min_speed_mps=0.5, max_speed_mps=5.0, pause_s=pause_s)
    return RandomWaypoint(config, DISC, clients, seed)


def drive(disc: Disc = DISC, clients: int = CLIENTS, **config) -> GaussMarkov:
    start = disc.random_places(5, "test", np.arange(clients))
    return GaussMarkov(GaussMarkovMobility(**config), disc, start, seed=1)


def speed_mps(mobility: RandomWaypoint | GaussMarkov, t_s: float) -> np.ndarray:
    """Of those who neither turn nor stop within a millisecond, of everyone nearly so."""
    moved = mobility.positions_m(EVERYONE, t_s + 1e-3) - mobility.positions_m(EVERYONE, t_s)
    return np.hypot(*moved.T) / 1e-3


def off_centre_m(xy: np.ndarray, disc: Disc = DISC) -> np.ndarray:
    return np.hypot(*(xy - disc.centre_m).T)


def legs_weighted_by_length() -> float:
    """Mean squared distance from the centre of a random place on a random leg, by brute force."""
    rng = np.random.default_rng(3)

    def ends() -> np.ndarray:
        r, angle = np.sqrt(rng.random(10**6)), 2 * np.pi * rng.random(10**6)
        return r * np.exp(1j * angle)

    a, b = ends(), ends()
    on_leg = (np.abs(a) ** 2 + (a * b.conj()).real + np.abs(b) ** 2) / 3
    return float(np.average(on_leg, weights=np.abs(a - b)))


@pytest.mark.parametrize("pause_s", [0.0, 40.0])
def test_random_waypoint_is_stationary_from_the_start(pause_s: float):
    mean_mps = 4.5 / math.log(10.0)
    deviation_mps = math.sqrt((25 - 0.25) / 2 / math.log(10.0) - mean_mps**2)
    travel_s = 128 * 100 / (45 * math.pi) / mean_mps
    rest = pause_s / (pause_s + travel_s)
    spread = (1 - rest) * legs_weighted_by_length() + rest * 0.5  # rests are uniform in the disc
    mobility = waypoint(pause_s)
    for t_s in (0.0, 37.0, 1000.0):
        speed = speed_mps(mobility, t_s)
        moving = speed > 1e-6
        error_mps = deviation_mps / math.sqrt(moving.sum())
        assert np.mean(~moving) == pytest.approx(rest, abs=0.011)  # 3 deviations
        assert speed[moving].mean() == pytest.approx(mean_mps, abs=3 * error_mps)
        second_moment = np.mean(off_centre_m(mobility.positions_m(EVERYONE, t_s)) ** 2)
        assert second_moment / 100.0**2 == pytest.approx(spread, abs=0.006)
    assert mobility.mean_speed_mps == pytest.approx(mean_mps)


def test_random_waypoint_goes_straight_at_a_speed_within_bounds():
    mobility = waypoint()
    xy = np.stack([mobility.positions_m(EVERYONE, t_s) for t_s in (60.0, 60.5, 61.0)])
    steps = np.hypot(*np.diff(xy, axis=0).transpose(2, 0, 1)) / 0.5
    assert steps.max() <= 5.0 * (1 + 1e-9)
    straight = np.abs(steps[0] - steps[1]) < 1e-9
    assert straight.mean() > 0.95  # the rest arrives within the second
    assert steps[:, straight].min() >= 0.5 * (1 - 1e-9)


def test_equal_speeds_are_that_speed():
    config = RandomWaypointMobility(min_speed_mps=2.0, max_speed_mps=2.0)
    mobility = RandomWaypoint(config, DISC, CLIENTS, 1)
    assert mobility.mean_speed_mps == 2.0
    assert np.median(speed_mps(mobility, 100.0)) == pytest.approx(2.0)
    almost = RandomWaypointMobility(min_speed_mps=math.nextafter(1.0, 0.0), max_speed_mps=1.0)
    assert RandomWaypoint(almost, DISC, CLIENTS, 1).mean_speed_mps == pytest.approx(1.0)


@pytest.mark.parametrize(("pause_s", "t_s"), [(0.0, 0.0), (0.0, 700.0), (60.0, 0.0), (60.0, 700.0)])
def test_random_waypoint_places_have_the_density_of_the_law(pause_s: float, t_s: float):
    """45 (1 - x^2) E(x^2) / (32 pi) at distance x R while they move, uniform while they rest."""
    clients = 60_000
    mobility = waypoint(pause_s, clients)
    grid = np.linspace(0.0, 1.0, 2001)
    moving = 45.0 / 16.0 * grid * (1.0 - grid**2) * ellipe(grid**2)
    moving_below = cumulative_trapezoid(moving, grid, initial=0.0)
    assert moving_below[-1] == pytest.approx(1.0, abs=1e-6)
    rest = pause_s / (pause_s + 128 * 100 / (45 * math.pi) / (4.5 / math.log(10.0)))
    below = (1.0 - rest) * moving_below + rest * grid**2
    off = np.sort(off_centre_m(mobility.positions_m(np.arange(clients), t_s))) / 100.0
    empirical = (np.arange(clients) + 0.5) / clients
    distance = np.abs(empirical - np.interp(off, grid, below)).max()
    assert distance < 1.95 / math.sqrt(clients)  # Kolmogorov and Smirnov, 0.1 %


def test_gauss_markov_speed_has_its_mean_deviation_and_memory():
    mobility = drive(PLAIN, mean_speed_mps=10.0, speed_sigma_mps=2.0, memory=0.85)
    speed = np.stack([mobility.state(EVERYONE, k)[:, 2] for k in range(30)])
    turn = np.stack([mobility.state(EVERYONE, k)[:, 4] for k in range(30)])
    for k in (0, 29):
        assert speed[k].mean() == pytest.approx(10.0, abs=0.05)
        assert speed[k].std() == pytest.approx(2.0, rel=0.02)
        assert turn[k].std() == pytest.approx(0.5, rel=0.02)
    for lag in (1, 5, 20):
        for series in (speed, turn):
            correlation = np.corrcoef(series[3], series[3 + lag])[0, 1]
            assert correlation == pytest.approx(0.85**lag, abs=0.022)
    assert abs(np.corrcoef(speed[0], turn[0])[0, 1]) < 0.022


def test_gauss_markov_goes_on_at_its_speed_and_heading():
    mobility = drive(PLAIN)
    x, y, speed, mean, turn = mobility.state(EVERYONE, 7).T
    there = mobility.positions_m(EVERYONE, 7.25)
    np.testing.assert_allclose(there[:, 0], x + 0.25 * speed * np.cos(mean + turn), atol=1e-9)
    np.testing.assert_allclose(there[:, 1], y + 0.25 * speed * np.sin(mean + turn), atol=1e-9)


@pytest.mark.parametrize("radius_m", [4.0, 100.0])
@pytest.mark.slow
def test_gauss_markov_keeps_uniform_places_uniform(radius_m: float):
    """Even where a client meets the border several times a second."""
    disc = Disc(DISC.centre_m, radius_m)
    mobility = drive(disc)
    for t_s in (0.0, 40.5, 120.0):
        share = (off_centre_m(mobility.positions_m(EVERYONE, t_s), disc) / radius_m) ** 2
        quantiles = np.quantile(share, [0.1, 0.5, 0.9])  # of a uniform law
        assert quantiles == pytest.approx([0.1, 0.5, 0.9], abs=0.014)


def test_a_mirror_reflects_as_a_mirror_does():
    """A ray at 45 degrees runs along a square; at a right angle it comes back."""
    disc = Disc(np.zeros(2), 1.0)
    config = GaussMarkovMobility(
        mean_speed_mps=1.0, speed_sigma_mps=0.0, direction_sigma_rad=0.0, memory=1.0
    )
    rays = GaussMarkov(config, disc, np.zeros((3, 2)), seed=1)
    state = np.array(
        [
            [0.0, 0.0, 1.0, math.pi / 2, 0.0],
            [math.sqrt(0.5), 0.0, 1.0, math.pi / 3, math.pi / 6],
            [math.sqrt(0.5), 0.0, 1.0, math.pi / 3, math.pi / 6],
        ]
    )
    short, long = rays._glide(state, 1.5), rays._glide(state, math.sqrt(0.5) * 4)
    np.testing.assert_allclose(short[0, :2], [0.0, 0.5], atol=1e-12)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(short[1, :2], [half - (1.5 - half), half], atol=1e-12)
    np.testing.assert_allclose(long[1, :2], [-half, 0.0], atol=1e-12)
    for ray, heading in ((short[0], -math.pi / 2), (short[1], math.pi), (long[1], -math.pi / 2)):
        assert math.cos(ray[3] + ray[4] - heading) == pytest.approx(1.0)
    # the heading turned on from its mean: a mirror image once, itself again after two
    assert (short[1, 4], long[1, 4]) == pytest.approx((-math.pi / 6, math.pi / 6))


def test_a_ray_through_the_centre_goes_to_and_fro():
    disc = Disc(np.zeros(2), 1.0)
    rays = GaussMarkov(GaussMarkovMobility(), disc, np.zeros((1, 2)), seed=1)
    for way_m, x, heading in ((0.5, 0.5, 1), (1.5, 0.5, -1), (3.5, -0.5, 1), (5.5, 0.5, -1)):
        (ray,) = rays._glide(np.array([[0.0, 0.0, way_m, 0.0, 0.0]]), 1.0)
        np.testing.assert_allclose(ray[:2], [x, 0.0], atol=1e-12)
        assert math.cos(ray[3]) == pytest.approx(heading)


@pytest.mark.parametrize("make", [lambda: waypoint(15.0), drive])
def test_nobody_leaves_the_area(make):
    mobility = make()
    for t_s in (0.0, 3.3, 59.0, 150.7):
        assert off_centre_m(mobility.positions_m(EVERYONE, t_s)).max() <= 100.0 * (1 + 1e-12)


FEW = 12
TIMES = st.floats(0.0, 300.0)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["random_waypoint", "gauss_markov"]),
    st.lists(
        st.tuples(TIMES, st.lists(st.integers(0, FEW - 1), min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    ),
)
def test_a_place_is_the_same_in_any_order_and_batch(kind: str, asked):
    make = {
        "random_waypoint": lambda: waypoint(10.0, FEW),
        "gauss_markov": lambda: drive(clients=FEW),
    }
    used = make[kind]()
    for t_s, clients in asked:
        together = used.positions_m(np.array(clients), t_s)
        fresh = make[kind]().positions_m(np.array(clients[:1]), t_s)
        np.testing.assert_array_equal(together[0], fresh[0])
    t_s, clients = asked[0]
    again = used.positions_m(np.array(clients), t_s)
    np.testing.assert_array_equal(again, make[kind]().positions_m(np.arange(FEW), t_s)[clients])


def test_a_client_goes_its_way_whoever_else_there_is():
    few = waypoint(clients=5).positions_m(np.arange(5), 500.0)
    np.testing.assert_array_equal(few, waypoint().positions_m(np.arange(5), 500.0))
    other = waypoint(clients=5, seed=2).positions_m(np.arange(5), 500.0)
    assert np.abs(few - other).min() > 1e-3


@pytest.mark.parametrize("there", [1000, 8**4, 8**4 + 1])
@pytest.mark.parametrize("back", [1, 10, 100])
@pytest.mark.slow
def test_going_back_a_little_costs_little(back: int, there: int, monkeypatch):
    mobility, who = drive(clients=3), np.arange(3)
    mobility.positions_m(who, float(there))
    ticks = []
    advance = mobility.advance
    monkeypatch.setattr(
        mobility, "advance", lambda *args: ticks.append(len(args[0])) or advance(*args)
    )
    mobility.positions_m(who, float(there - back))
    assert sum(ticks) <= 3 * 16 * back
    ticks.clear()
    mobility.positions_m(who, float(there + 1 - back))
    assert sum(ticks) <= 3


def test_memory_does_not_grow_with_time():
    mobility = drive(clients=3)
    kept = mobility._kept.nbytes
    mobility.positions_m(np.arange(3), 2000.0)
    assert mobility._kept.nbytes == kept


def test_places_are_held_from_update_to_update_and_before_the_start():
    config = NetworkConfig(mobility=RandomWaypointMobility(update_s=2.5))
    steps = build_steps(config, 4, 1, np.zeros((1, 2)))
    who = np.arange(4)
    assert [steps.of(t_s) for t_s in (-70.0, 0.0, 2.4, 2.5, 9.9)] == [0, 0, 0, 1, 3]
    np.testing.assert_array_equal(steps.positions_m(who, 3), steps.mobility.positions_m(who, 7.5))
    which, column = steps.of_slots(np.array([-9, 0, 1, 2, 3, 4, 9]), 1.0)  # middles -8.5 ... 9.5
    assert which[column].tolist() == [0, 0, 0, 1, 1, 1, 3]


def test_still_clients_have_one_step():
    steps: Steps = build_steps(NetworkConfig(), 4, 1, np.zeros((1, 2)))
    assert not steps.moving
    assert steps.of(1e9) == 0
    np.testing.assert_array_equal(
        steps.positions_m(np.arange(4), 0), positions(UniformPlacement(), Cells(), 4, 1)
    )
    assert steps.mobility.mean_speed_mps == 0.0


def test_the_area_holds_all_cells():
    stations = np.array([[0.0, 0.0], [4000.0, 0.0], [1000.0, 3000.0]])
    disc = area(NetworkConfig(), stations)
    assert disc.centre_m.tolist() == [2000.0, 1500.0]
    assert disc.radius_m == pytest.approx(2500.0 + 500.0)
    assert area(NetworkConfig(), stations[:1]).radius_m == 500.0


def test_speeds_must_be_in_order_and_not_near_zero():
    with pytest.raises(ValidationError, match="min_speed must not be greater"):
        RandomWaypointMobility(min_speed_mps=3.0, max_speed_mps=2.0)
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.001"):
        RandomWaypointMobility(min_speed_mps=0.0)


@pytest.mark.parametrize(
    "moves",
    [
        {"kind": "random_waypoint", "max_speed": "1e9 m/s"},
        {"kind": "gauss_markov", "mean_speed": "11000 m/s"},
        {"kind": "gauss_markov", "speed_sigma": "1e5 m/s"},
        {"kind": "gauss_markov", "update": "1 us"},
    ],
    ids=str,
)
def test_speeds_and_updates_no_clock_could_follow_are_refused(moves):
    with pytest.raises(ValidationError, match="than or equal to"):
        NetworkConfig.model_validate({"mobility": moves})


def test_fixed_distances_belong_to_clients_that_start_there():
    text = (
        "name: x\nnetwork: {placement: {kind: fixed, distances: [50 m]}, mobility: {kind: %s}}\n"
        "devices: {count: 2, mix: {jetson-nano: 1}}\nstrategy: {kind: full}\n"
    )
    with pytest.raises(Exception, match=r"network\.placement.*says itself where clients start"):
        loads(text % "random_waypoint")
    assert loads(text % "gauss_markov").network.mobility.kind == "gauss_markov"
