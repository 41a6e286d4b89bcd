"""Each environment, state and kind of shadowing takes its own deviation, distance and K factor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from wirelessfl.network.path_loss import environment
from wirelessfl.network.propagation import Propagation, Station, propagate
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.radio import (
    FixedPathLoss,
    LognormalShadowing,
    NoShadowing,
    Rician,
    Tr38901PathLoss,
)

SEEDS = range(40)


def at(xy: np.ndarray, seed: int, **network) -> Propagation:
    """What the places `xy` do to a signal."""
    station = Station(0, np.zeros(2))
    return propagate(NetworkConfig(**network), xy, seed, np.arange(len(xy)), station)


def ring(radius_m: float, places: int = 60, turn: float = 0.0) -> np.ndarray:
    angle = 2 * np.pi * np.arange(places) / places + turn
    return radius_m * np.column_stack([np.cos(angle), np.sin(angle)])


def correlation(radius_m: float, apart_m: float, **network) -> tuple[float, float]:
    """Variance of loss on a ring, and its correlation with places `apart_m` along the ring."""
    turn = 2 * np.arcsin(apart_m / (2 * radius_m))
    here = np.array([at(ring(radius_m), seed, **network).loss_db for seed in SEEDS])
    there = np.array([at(ring(radius_m, turn=turn), seed, **network).loss_db for seed in SEEDS])
    mean, spread = here.mean(), here.std()
    return spread**2, float(np.mean((here - mean) * (there - mean)) / spread**2)


@pytest.mark.parametrize(
    ("name", "los", "radius_m", "sigma_db", "decorrelation_m"),
    [
        ("uma", "always", 300.0, 4.0, 37.0),
        ("uma", "never", 300.0, 6.0, 50.0),
        ("umi", "never", 200.0, 7.82, 13.0),
        ("rma", "always", 1000.0, 4.0, 37.0),
        ("rma", "always", 4500.0, 6.0, 37.0),
        ("rma", "never", 1000.0, 8.0, 120.0),
        ("inh-open", "always", 60.0, 3.0, 10.0),
        ("inh-mixed", "never", 60.0, 8.03, 6.0),
    ],
)
def test_shadowing_of_an_environment(name, los, radius_m, sigma_db, decorrelation_m):
    """40 seeds, 60 places: deviation within 5 %, correlation at d_corr / 2 within 0.06 of 0.607."""
    model = Tr38901PathLoss(environment=name, los=los)
    variance, half = correlation(radius_m, decorrelation_m / 2, path_loss=model)
    assert np.sqrt(variance) == pytest.approx(sigma_db, rel=0.05)
    assert half == pytest.approx(np.exp(-0.5), abs=0.06)


def test_lognormal_shadowing_has_the_deviation_and_distance_it_is_given():
    variance, half = correlation(
        400.0,
        10.0,
        path_loss=FixedPathLoss(loss_db=90.0),
        shadowing=LognormalShadowing(sigma_db=5.0, decorrelation_m=20.0),
    )
    assert np.sqrt(variance) == pytest.approx(5.0, rel=0.05)
    assert half == pytest.approx(np.exp(-0.5), abs=0.06)


def test_shadowing_with_and_without_line_of_sight_are_different_fields():
    loss = [
        np.concatenate(
            [
                at(ring(500.0), seed, path_loss=Tr38901PathLoss(environment="uma", los=los)).loss_db
                for seed in SEEDS
            ]
        )
        for los in ("always", "never")
    ]
    assert abs(np.corrcoef(*loss)[0, 1]) < 0.1


@pytest.mark.parametrize("name", ["uma", "umi", "rma", "inh-open", "inh-mixed"])
def test_line_of_sight_decorrelates_over_its_own_distance(name: str):
    """Where it is as likely as not, two places d_los apart agree with 1/2 + arcsin(1/e) / pi."""
    table = environment(name)
    far = table.distance_range_m[1]
    half_m = brentq(lambda r: table.probability_of_los(np.array([r]))[0] - 0.5, 2.0, far)
    turn = 2 * np.arcsin(min(table.los_decorrelation_m / (2 * half_m), 1.0))
    apart_m = 2 * half_m * np.sin(turn / 2)
    model = Tr38901PathLoss(environment=name)
    places = 8 if name.startswith("inh") or name == "umi" else 20
    agree = []
    for seed in range(250):
        pair = [
            at(ring(half_m, places, turn_), seed, path_loss=model, shadowing=NoShadowing()).loss_db
            for turn_ in (0.0, turn)
        ]
        sees = [loss < table.nlos_loss_db(np.array([half_m]), 3.5e9) - 1e-6 for loss in pair]
        agree.append(np.mean(sees[0] == sees[1]))
    expected = 0.5 + np.arcsin(np.exp(-apart_m / table.los_decorrelation_m)) / np.pi
    assert np.mean(agree) == pytest.approx(expected, abs=0.04)


def test_a_k_factor_written_down_is_every_clients():
    where = ring(100.0, 5)
    rician = Rician(k_factor_db=7.0)
    simple = at(
        where, 1, path_loss=FixedPathLoss(), shadowing=NoShadowing(), fading=rician
    ).k_factor
    np.testing.assert_allclose(simple, 10**0.7)
    np.testing.assert_allclose(at(where, 1, fading=rician).k_factor, 10**0.7)


@pytest.mark.parametrize(
    ("name", "mean_db", "sigma_db"), [("uma", 9.0, 3.5), ("umi", 9.0, 5.0), ("rma", 7.0, 4.0)]
)
def test_a_drawn_k_factor_has_the_environments_law_and_is_zero_out_of_sight(
    name: str, mean_db: float, sigma_db: float
):
    for los in ("always", "never"):
        model = Tr38901PathLoss(environment=name, los=los)
        k = at(ring(100.0, 5000), 2, path_loss=model, fading=Rician()).k_factor
        if los == "never":
            assert (k == 0.0).all()
            continue
        k_db = 10 * np.log10(k)
        assert k_db.mean() == pytest.approx(mean_db, abs=4 * sigma_db / np.sqrt(5000))
        assert k_db.std() == pytest.approx(sigma_db, rel=0.04)
