"""The noise estimate against problems whose update norms are known."""

from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.strategy import RoundFeedback
from wirelessfl.strategy.estimator import NoiseEstimator
from wirelessfl.strategy.observation import Floats, Ints

RANK = 4


class Known:
    """Clients with fixed mean updates, noise, and a sketch of k of RANK blocks of coordinates."""

    def __init__(self, clients: int, common: float, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        scale = self.rng.lognormal(0, 0.5, (clients, 1))
        self.means = scale * (common + self.rng.normal(size=(clients, 40)))
        shares = self.rng.lognormal(0, 1, clients)
        self.weights = shares / shares.sum()
        self.sigma = 0.3

    @property
    def squared(self) -> Floats:
        """G_n^2: mean squared update at full rank."""
        return (self.means**2).sum(axis=1) + self.sigma**2 * 40

    def true_noise(self) -> Floats:
        mean = self.weights @ self.means
        full = mean @ mean + np.sum(self.weights**2 * 40 * self.sigma**2)
        return self.weights**2 * self.squared / full

    def round(self, q: Floats, k: Ints, scale: float = 1.0) -> RoundFeedback:
        who = np.flatnonzero(self.rng.random(len(q)) < q)
        updates = self.means[who] + self.sigma * self.rng.normal(size=(len(who), 40))
        for row, n in enumerate(who):
            kept = np.zeros(RANK)
            kept[self.rng.permutation(RANK)[: k[n]]] = RANK / k[n]
            updates[row] *= np.repeat(kept, 40 // RANK)
        updates *= scale
        weights = self.weights[who] / q[who]
        none = np.zeros(len(who))
        return RoundFeedback(
            round=0,
            asked=who,
            clients=who,
            weights=weights,
            q=q[who],
            k=k[who],
            squared_norms=(updates**2).sum(axis=1),
            update_squared_norm=float(((weights @ updates) ** 2).sum()),
            losses=none,
            compute_s=none,
            upload_s=none,
            duration_s=1.0,
        )


def estimated(known: Known, rounds: int, q: Floats, k: Ints, fading: float = 1.0) -> Floats:
    """Estimates averaged over the last half of the rounds."""
    estimator, values = NoiseEstimator(len(q)), []
    for r in range(rounds):
        estimator.observe(known.round(q, k, fading**r), RANK)
        values.append(estimator.noise(known.weights))
    return np.mean(values[rounds // 2 :], axis=0)


@pytest.mark.parametrize("fading", [1.0, 0.98], ids=["steady", "shrinking"])
def test_estimate_converges_to_the_truth(fading: float) -> None:
    known = Known(12, common=0.5)
    noise = estimated(known, 400, np.full(12, 0.5), np.full(12, RANK), fading)
    np.testing.assert_allclose(noise, known.true_noise(), rtol=0.25)
    assert noise.sum() == pytest.approx(known.true_noise().sum(), rel=0.15)


def test_estimate_sees_through_participation_and_rank() -> None:
    known = Known(12, common=0.5)
    q, k = np.linspace(0.3, 1.0, 12), np.resize([1, 2, 4], 12)
    noise = estimated(known, 600, q, k)
    np.testing.assert_allclose(noise, known.true_noise(), rtol=0.3)
    assert noise.sum() == pytest.approx(known.true_noise().sum(), rel=0.15)


def test_unseen_clients_count_as_average() -> None:
    known, estimator = Known(8, common=0.5), NoiseEstimator(8)
    q = np.array([1.0] * 4 + [1e-12] * 4)
    for _ in range(50):
        estimator.observe(known.round(q, np.full(8, RANK)), RANK)
    np.testing.assert_allclose(estimator.relative[4:], np.mean(estimator.relative[:4]), rtol=0.05)
    assert estimator.relative[:4].mean() == pytest.approx(1.0, abs=0.2)


def test_noise_never_exceeds_that_of_unrelated_clients() -> None:
    """However noisy the signal estimate, NSR stays below max 1/pi - 1."""
    known = Known(20, common=0.0)
    estimator = NoiseEstimator(20)
    assert estimator.noise(known.weights).sum() == pytest.approx(1.0)
    for _ in range(100):
        estimator.observe(known.round(np.full(20, 0.1), np.full(20, 1)), RANK)
        noise = estimator.noise(known.weights)
        assert np.all(noise > 0)
        assert noise.sum() <= 1 + 1e-12


def test_nothing_measured_changes_nothing() -> None:
    estimator, known = NoiseEstimator(5), Known(5, common=0.5)
    before = estimator.noise(known.weights)
    estimator.observe(known.round(np.full(5, 1e-12), np.full(5, RANK)), RANK)
    estimator.observe(known.round(np.ones(5), np.full(5, RANK), scale=0.0), RANK)
    np.testing.assert_array_equal(estimator.noise(known.weights), before)


def test_a_round_nobody_came_to_counts_with_what_is_remembered() -> None:
    """Over all sets, the empty one too, ||U||^2 - sum w_n^2 ||c_n||^2 has the mean that it should.

    U = sum a_n h_n + sum_S w_n c_n with c_n = delta_n - h_n gives
    ||sum a_n delta_n||^2 - sum a_n^2 ||c_n||^2.
    """
    rng, q, a = np.random.default_rng(0), np.array([0.2, 0.4]), np.array([0.3, 0.7])
    updates, remembered = rng.normal(2, 1, (2, 5)), rng.normal(2, 1, (2, 5))
    left = updates - remembered

    def round_of(members: list[int]) -> RoundFeedback:
        who = np.array(members, dtype=np.int64)
        weights, none = a[who] / q[who], np.zeros(len(who))
        total = a @ remembered + weights @ left[who]
        squared = (left[who] ** 2).sum(axis=1)
        ranks = np.full(len(who), RANK)
        return RoundFeedback(0, who, who, weights, q[who], ranks, squared, float(total @ total),
                             none, none, none, 1.0)  # fmt: skip

    def signal_after(members: list[int]) -> float:
        """What the second of two rounds adds to the average of cross, in units of the level."""
        estimator, cross = NoiseEstimator(2), []
        for each in ([0, 1], members):
            estimator.observe(round_of(each), RANK)
            cross.append(estimator._cross)
        return (cross[0] + (cross[1] - cross[0]) * estimator._rounds) * estimator._level

    chance = {(): 0.8 * 0.6, (0,): 0.2 * 0.6, (1,): 0.8 * 0.4, (0, 1): 0.2 * 0.4}
    mean = sum(p * signal_after(list(members)) for members, p in chance.items())
    whole = a @ updates
    truth = whole @ whole - np.sum(a**2 * (left**2).sum(axis=1))
    assert mean == pytest.approx(truth)
