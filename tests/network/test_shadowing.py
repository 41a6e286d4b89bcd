from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.network.path_loss import environment
from wirelessfl.network.shadowing import gaussian_field, line_of_sight

SEEDS = range(30)


def places(count: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-3000.0, 3000.0, (count, 2))


def field(seed: int, xy: np.ndarray, decorrelation_m: float = 50.0) -> np.ndarray:
    return gaussian_field(seed, "shadowing", 0, xy, decorrelation_m)


def test_mean_variance_and_tails_are_gaussian():
    values = np.concatenate([field(seed, places(500)) for seed in SEEDS])
    assert values.mean() == pytest.approx(0.0, abs=0.05)
    assert values.var() == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(values) > 2.0) == pytest.approx(0.0455, abs=0.008)


@pytest.mark.parametrize("steps", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5])
def test_correlation_decays_exponentially_in_every_direction(steps: float, angle: float):
    xy = places(200)
    moved = xy + steps * 50.0 * np.array([np.cos(angle), np.sin(angle)])
    products = [np.mean(field(seed, xy) * field(seed, moved)) for seed in SEEDS]
    assert np.mean(products) == pytest.approx(np.exp(-steps), abs=0.05)


@pytest.mark.parametrize("steps", [0.05, 0.2, 0.5, 1.0, 1.5, 3.0])
def test_a_single_field_is_correlated_like_that_too(steps: float):
    """One seed, 20 000 pairs of places 500 decorrelation distances apart on average."""
    xy = np.random.default_rng(6).uniform(-10_000.0, 10_000.0, (20_000, 2))
    angle = np.random.default_rng(7).uniform(0.0, 2 * np.pi, len(xy))
    moved = xy + steps * 20.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    here, there = field(4, xy, 20.0), field(4, moved, 20.0)
    assert np.corrcoef(here, there)[0, 1] == pytest.approx(np.exp(-steps), abs=0.03)


@pytest.mark.parametrize("steps", [0.01, 0.03])
def test_a_field_is_as_rough_as_an_exponential_correlation_asks(steps: float):
    """Half the mean squared change grows with the way, not with its square; 60 seeds, 15 %."""
    xy = places(300)
    moved = xy + np.array([steps * 50.0, 0.0])
    change = [field(seed, moved) - field(seed, xy) for seed in range(60)]
    assert np.mean(np.square(change)) / 2 == pytest.approx(-np.expm1(-steps), rel=0.15)


def test_the_decorrelation_distance_only_stretches_the_field():
    xy = places(300)
    np.testing.assert_allclose(field(3, xy, 50.0), field(3, 0.26 * xy, 13.0), atol=1e-9)


def test_stations_and_names_have_independent_fields():
    xy = places(2000)
    mine = field(1, xy)
    for other in (
        gaussian_field(1, "shadowing", 1, xy, 50.0),
        gaussian_field(1, "shadowing.los", 0, xy, 50.0),
        gaussian_field(2, "shadowing", 0, xy, 50.0),
    ):
        assert abs(np.corrcoef(mine, other)[0, 1]) < 0.15


def test_a_place_has_one_value_whoever_else_is_asked_about():
    xy = places(5000)
    everyone = field(1, xy)
    np.testing.assert_array_equal(field(1, xy[4990:]), everyone[4990:])
    np.testing.assert_array_equal(field(1, xy[::-1]), everyone[::-1])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_line_of_sight_is_as_frequent_as_its_probability(probability: float):
    xy = places(500)
    seen = [
        line_of_sight(seed, 0, xy, 50.0, np.full(len(xy), probability)).mean() for seed in SEEDS
    ]
    assert np.mean(seen) == pytest.approx(probability, abs=0.02)


def test_neighbours_see_alike_and_strangers_do_not():
    xy, half = places(3000), np.full(3000, 0.5)
    here = line_of_sight(1, 0, xy, 50.0, half)
    near = line_of_sight(1, 0, xy + np.array([1.0, 0.0]), 50.0, half)
    far = line_of_sight(1, 0, xy + np.array([1000.0, 0.0]), 50.0, half)
    # a thresholded Gaussian with correlation r agrees with probability 1/2 + arcsin(r) / pi
    assert np.mean(here == near) == pytest.approx(0.5 + np.arcsin(np.exp(-0.02)) / np.pi, abs=0.03)
    assert np.mean(here == far) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", ["uma", "umi", "rma", "inh-open", "inh-mixed"])
def test_an_environments_line_of_sight_is_as_frequent_as_its_table_says(name: str):
    """300 seeds, a ring of places at each of four distances."""
    table, angle = environment(name), np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    for part in (0.02, 0.1, 0.3, 0.8):
        xy = part * table.distance_range_m[1] / (10 if name in ("uma", "umi") else 1) * ring
        probability = table.probability_of_los(np.hypot(*xy.T))
        seen = [
            line_of_sight(seed, 0, xy, table.los_decorrelation_m, probability).mean()
            for seed in range(300)
        ]
        error = np.std(seen) / np.sqrt(len(seen))
        assert np.mean(seen) == pytest.approx(probability[0], abs=4 * error + 0.003)


def test_who_is_in_sight_stays_in_sight_as_the_probability_grows():
    xy, half = places(2000), np.full(2000, 0.5)
    fewer, more = (line_of_sight(2, 0, xy, 50.0, share * half) for share in (0.6, 1.4))
    assert (fewer <= more).all()
    assert fewer.sum() < more.sum()
