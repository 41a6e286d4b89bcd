"""The odds of Luo et al. minimise their objective, and pilots that follow their law are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from wirelessfl.strategy.luo import LEAST_SHARE, optimal_odds, rounds_ratio, sampling_share


def objective(odds, variance, time_s, constant) -> float:
    return float(odds @ time_s * (np.sum(variance / odds) + constant))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.floats(-3, 3))
def test_odds_are_optimal_by_an_independent_optimiser(seed: int, clients: int, scale: float):
    rng = np.random.default_rng(seed)
    variance, time_s = rng.lognormal(0, 1.5, clients), rng.lognormal(0, 1, clients)
    constant = float(variance.sum() * clients * 10**scale)
    odds = optimal_odds(variance, time_s, constant)
    assert odds.sum() == pytest.approx(1.0)
    assert (odds > 0).all()

    def softmax(z):
        z = np.exp(z - z.max())
        return z / z.sum()

    found = minimize(
        lambda z: np.log(objective(softmax(z), variance, time_s, constant)),
        np.zeros(clients),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    best = float(np.exp(found.fun))
    assert objective(odds, variance, time_s, constant) <= best * (1 + 1e-7)


def test_special_cases_have_their_closed_forms():
    variance, time_s = np.array([4.0, 1.0, 9.0]), np.array([1.0, 4.0, 1.0])
    by_both = np.sqrt(variance / time_s)
    np.testing.assert_allclose(optimal_odds(variance, time_s, 0.0), by_both / by_both.sum())
    alike = optimal_odds(variance, np.ones(3), 5.0)  # times do not matter: statistical sampling
    np.testing.assert_allclose(alike, np.array([2.0, 1.0, 3.0]) / 6.0)
    assert optimal_odds(np.array([2.0]), np.array([3.0]), 7.0).tolist() == [1.0]
    slower = np.array([1.0, 4.0, 2.0])
    # The less sampling matters, the more the fastest is drawn.
    fastest = [optimal_odds(variance, slower, d)[0] for d in (0.0, 10.0, 1e3, 1e6)]
    assert fastest == sorted(fastest)
    assert fastest[-1] > 0.95


def test_pilots_that_follow_the_law_give_the_share_back():
    """Loss after r rounds is 1 + (alpha V + beta) / (r + r_0), from the same first loss."""
    uniform_v, weighted_v, share = 5.0, 2.0, 0.6
    beta = uniform_v * (1 - share) / share  # alpha = 1
    rounds = np.arange(200)
    pilots = [
        1.0 + (v + beta) / (rounds + (v + beta)) for v in (uniform_v, weighted_v)
    ]  # both start at loss 2
    ratio = rounds_ratio(*pilots)
    assert ratio == pytest.approx((uniform_v + beta) / (weighted_v + beta), rel=0.01)
    assert sampling_share(ratio, weighted_v / uniform_v) == pytest.approx(share, rel=0.03)


def test_noise_of_a_pilot_does_not_count_twice():
    """Only the lowest loss so far matters, and levels that one pilot never reaches do not."""
    assert rounds_ratio([3.0, 2.5, 2.9, 2.0], [3.0, 2.0, 2.6, 1.0]) > 1
    assert np.isnan(rounds_ratio([2.0, 3.0], [2.0, 1.0]))


@pytest.mark.parametrize(
    ("ratio", "variance_ratio", "share"),
    [
        (float("nan"), 0.5, 1.0),  # no progress
        (1.5, 0.99, 1.0),  # both pilots draw alike
        (0.8, 0.5, LEAST_SHARE),  # the pilots contradict the bound
        (50.0, 0.5, 1.0),
        (1.25, 0.5, 0.4),
    ],
)
def test_a_share_is_always_a_share(ratio: float, variance_ratio: float, share: float):
    assert sampling_share(ratio, variance_ratio) == pytest.approx(share)


@pytest.mark.parametrize("pilots", [([], []), ([2.0, 1.0], []), ([], [2.0, 1.0])])
def test_pilots_of_which_nothing_arrived_say_nothing(pilots: tuple[list[float], list[float]]):
    assert np.isnan(rounds_ratio(*pilots))
