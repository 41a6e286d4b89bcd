"""What docs/theory.md proves about sketches, updates and drift, by enumeration of all outcomes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategy.quadratics import every_sketch, random_quadratics
from wirelessfl.learning.sketch import active_components, sketch_diagonal
from wirelessfl.strategy.observation import Floats

seeds = st.integers(0, 10**6)
RANKS = [(1, 4), (2, 4), (3, 4), (4, 4), (2, 5), (1, 1)]


# The sketch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "gamma"), RANKS)
def test_sketch_moments(k: int, gamma: int) -> None:
    """E S = I, Var s_i = rho - 1, Cov(s_i, s_j) = -(rho - 1)/(gamma - 1)."""
    sketches = every_sketch(k, gamma)
    rho = gamma / k
    np.testing.assert_allclose(sketches.mean(axis=0), 1.0)
    expected = np.full((gamma, gamma), -(rho - 1) / max(gamma - 1, 1))
    np.fill_diagonal(expected, rho - 1)
    np.testing.assert_allclose(np.cov(sketches.T, bias=True), expected, atol=1e-12)


@pytest.mark.parametrize(("k", "gamma"), [(2, 8), (5, 8)])
@pytest.mark.slow
def test_the_sketch_that_clients_use_has_these_moments(k: int, gamma: int) -> None:
    drawn = np.concatenate(
        [
            sketch_diagonal(active_components(0, client, round, k, gamma, 1, False), gamma)
            for client in range(50)
            for round in range(400)
        ]
    ).astype(float)
    rho = gamma / k
    error = 5 * rho / np.sqrt(len(drawn))  # five standard errors of a mean of values up to rho
    np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=error)
    covariance = np.cov(drawn.T)
    np.testing.assert_allclose(np.diag(covariance), rho - 1, atol=rho * error)
    others = covariance[~np.eye(gamma, dtype=bool)]
    np.testing.assert_allclose(others, -(rho - 1) / (gamma - 1), atol=rho * error)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(RANKS))
def test_second_moment_of_a_sketched_lora_gradient(seed: int, ranks: tuple[int, int]) -> None:
    """E||S g||^2 = rho ||g||^2 for the gradient (G A' S, S B' G) at a weight gradient G."""
    k, gamma = ranks
    rng = np.random.default_rng(seed)
    weight_gradient = rng.normal(size=(5, 3))
    b, a = rng.normal(size=(5, gamma)), rng.normal(size=(gamma, 3))

    def gradient(s: Floats) -> Floats:
        for_b = weight_gradient @ a.T * s
        return np.concatenate([for_b.ravel(), (s[:, None] * (b.T @ weight_gradient)).ravel()])

    full = gradient(np.ones(gamma))
    sketched = np.array([gradient(s) for s in every_sketch(k, gamma)])
    np.testing.assert_allclose(sketched.mean(axis=0), full)
    assert np.mean(np.sum(sketched**2, axis=1)) == pytest.approx(gamma / k * full @ full)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_smoothness_of_the_sketched_objective(seed: int) -> None:
    """A realisation is at most rho_n L-smooth, its mean over sketches at most L-smooth."""
    problem = random_quadratics(seed)
    for n, rho in enumerate(problem.rho):
        smoothness = np.linalg.eigvalsh(problem.hessians[n]).max()
        sketched, _ = problem.sketched(n)
        assert np.linalg.eigvalsh(sketched).max() <= rho * smoothness * (1 + 1e-12)
        assert np.linalg.eigvalsh(sketched.mean(axis=0)).max() <= smoothness * (1 + 1e-12)


def test_smoothness_of_a_realisation_is_reached_and_squared_when_one_factor_is_frozen() -> None:
    """rho L where the curvature lies along a component; rho^2 L for B S A with A frozen."""
    curvature = np.diag([2.0, 0.1, 0.1])
    sketches = every_sketch(1, 3)
    root = np.sqrt(sketches)
    both = root[:, :, None] * curvature * root[:, None, :]
    frozen = sketches[:, :, None] * curvature * sketches[:, None, :]
    assert np.linalg.eigvalsh(both).max() == pytest.approx(3 * 2.0)
    assert np.linalg.eigvalsh(frozen).max() == pytest.approx(9 * 2.0)
    assert np.linalg.eigvalsh(frozen.mean(axis=0)).max() == pytest.approx(3 * 2.0)


# The aggregated update ----------------------------------------------------------------------------


def everything(seed: int) -> tuple[Floats, Floats, Floats, list[Floats], Floats, Floats]:
    """Three clients whose update depends on their sketch, and all that can happen in a round.

    Returns:
        weights, q, rho, updates per sketch of each client, probability of each outcome
        [outcomes], and a_n I_n/q_n D_n in each [outcomes, clients, d].
    """
    rng = np.random.default_rng(seed)
    clients, gamma, d = 3, 3, 4
    weights, q = rng.dirichlet(np.ones(clients)), rng.uniform(0.1, 1.0, clients)
    k = rng.integers(1, gamma + 1, clients)
    updates = [rng.normal(size=(len(every_sketch(int(kn), gamma)), d)) for kn in k]
    chances, outcomes = [], []
    for joined in product([0, 1], repeat=clients):
        chance = np.prod(np.where(joined, q, 1 - q))
        for sketches in product(*(range(len(u)) for u in updates)):
            chances.append(chance / np.prod([len(u) for u in updates]))
            outcomes.append(
                [weights[n] * joined[n] / q[n] * updates[n][s] for n, s in enumerate(sketches)]
            )
    return weights, q, gamma / k, updates, np.array(chances), np.array(outcomes)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_update_is_unbiased_and_its_variance_splits(seed: int) -> None:
    """E U = sum a_n E D_n; Var U = sum a_n^2 [(1/q_n - 1) E||D_n||^2 + Var D_n]."""
    weights, q, _, updates, chances, outcomes = everything(seed)
    total = outcomes.sum(axis=1)
    mean = chances @ total
    np.testing.assert_allclose(
        mean, sum(a * u.mean(axis=0) for a, u in zip(weights, updates, strict=True)), atol=1e-12
    )
    variance = chances @ np.sum((total - mean) ** 2, axis=1)
    second = np.array([np.mean(np.sum(u**2, axis=1)) for u in updates])
    spread = np.array([np.sum(u.var(axis=0)) for u in updates])
    assert variance == pytest.approx(np.sum(weights**2 * ((1 / q - 1) * second + spread)))


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_only_pi_counts_when_the_sketch_acts_on_a_fixed_gradient(seed: int) -> None:
    """With D_n = S g_n the variance is sum a_n^2 (1/pi_n - 1) ||g_n||^2."""
    rng = np.random.default_rng(seed)
    q, k = rng.uniform(0.1, 1.0, 3), rng.integers(1, 4, 3)
    rho, weights, g = 3 / k, rng.dirichlet(np.ones(3)), rng.normal(size=(3, 3))
    variance = 0.0
    for n in range(3):
        second = np.mean(np.sum((every_sketch(int(k[n]), 3) * g[n]) ** 2, axis=1))
        variance += weights[n] ** 2 * (second / q[n] - g[n] @ g[n])
    assert variance == pytest.approx(np.sum(weights**2 * (rho / q - 1) * np.sum(g**2, axis=1)))


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_memories_leave_the_noise_of_what_they_miss(seed: int) -> None:
    """U = sum a_n h_n + sum a_n I_n/q_n S (g_n - h_n): same mean, noise (1/pi - 1) ||g - h||^2."""
    rng = np.random.default_rng(seed)
    q, weight = rng.uniform(0.1, 1.0), rng.uniform()
    for k in (1, 2, 3):
        g, h = rng.normal(size=(2, 3))
        sent = every_sketch(k, 3) * (g - h) / q
        outcomes = weight * (h + np.vstack([sent, np.zeros((1, 3))]))
        chances = np.append(np.full(len(sent), q / len(sent)), 1 - q)
        np.testing.assert_allclose(chances @ outcomes, weight * g)
        variance = chances @ np.sum((outcomes - weight * g) ** 2, axis=1)
        expected = weight**2 * (3 / (k * q) - 1) * np.sum((g - h) ** 2)
        assert variance == pytest.approx(expected)


@given(st.floats(0.01, 1.0), st.floats(1.0, 50.0))
def test_participation_and_sketch_noise_join_into_pi(q: float, rho: float) -> None:
    whole = rho / q - 1
    assert (1 / q - 1) * rho + (rho - 1) == pytest.approx(whole, abs=1e-9)
    assert (1 / q - 1) + (rho - 1) / q == pytest.approx(whole, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_every_round_shows_the_signal_without_bias(seed: int) -> None:
    """E[||U||^2 - sum w_n^2 ||D_n||^2] = sum over pairs of a_n a_m <E D_n, E D_m>."""
    weights, _, _, updates, chances, outcomes = everything(seed)
    total = outcomes.sum(axis=1)
    sample = np.sum(total**2, axis=1) - np.sum(outcomes**2, axis=(1, 2))
    means = np.array([a * u.mean(axis=0) for a, u in zip(weights, updates, strict=True)])
    pairs = means.sum(axis=0) @ means.sum(axis=0) - np.sum(means**2)
    assert chances @ sample == pytest.approx(pairs)


# Local steps --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 6), st.floats(0.01, 1.0), st.floats(0.0, 3.0))
def test_drift_lemma(seed: int, steps: int, fraction: float, away: float) -> None:
    """V <= (1 - 1/H) eta^2 H^2 [8/9 E||grad F(X; S)||^2 + 4/3 rho sigma^2/H]."""
    problem = random_quadratics(seed, local_steps=steps)
    x = away * np.random.default_rng(seed).normal(size=4)
    for n, rho in enumerate(problem.rho):
        smoothness = np.linalg.eigvalsh(problem.hessians[n]).max()
        step = fraction / (2 * rho * smoothness * steps)
        slope, offset = problem.sketched(n)
        start = np.mean(np.sum((slope @ x + offset) ** 2, axis=1))
        noise = rho * problem.data_noise[n] / steps
        allowed = (1 - 1 / steps) * (step * steps) ** 2 * (8 / 9 * start + 4 / 3 * noise)
        assert problem.local(n, step).drift(x) <= allowed * (1 + 1e-9) + 1e-15


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6), st.floats(0.01, 1.0))
def test_variance_lemma(seed: int, steps: int, fraction: float) -> None:
    """(1/q) E||D||^2 - ||E D||^2 of each client, drift and minibatches included."""
    problem = random_quadratics(seed, local_steps=steps)
    x = np.random.default_rng(seed).normal(size=4)
    for n, (rho, q) in enumerate(zip(problem.rho, problem.q, strict=True)):
        smoothness = np.linalg.eigvalsh(problem.hessians[n]).max()
        local = problem.local(n, fraction / (2 * rho * smoothness * steps))
        sent = local.slope @ x + local.offset
        second = np.mean(np.sum(sent**2, axis=1) + np.trace(local.noise, axis1=1, axis2=2))
        exact = second / q - np.sum(sent.mean(axis=0) ** 2)
        slope, offset = problem.sketched(n)
        gradients = slope @ x + offset
        mean = np.sum(gradients.mean(axis=0) ** 2)
        own = np.sum(gradients.var(axis=0))  # (rho - 1) (||grad||^2 + delta^2), used as it is
        noise = rho * problem.data_noise[n] / steps
        drift = rho**2 * smoothness**2 * local.drift(x) / q
        assert exact <= 2 * ((1 / q - 1) * mean + (own + noise) / q + drift) * (1 + 1e-9)


def test_exact_moments_are_those_of_simulated_training() -> None:
    problem = random_quadratics(11, clients=3, local_steps=2)
    rng, runs, rounds, step, server_step = np.random.default_rng(0), 40_000, 3, 0.2, 1.3
    start = np.array([1.0, -2.0, 0.5, 3.0])
    x = np.tile(start, (runs, 1))
    for _ in range(rounds):
        change = np.zeros_like(x)
        for n in range(3):
            order = np.argsort(rng.random((runs, 4)), axis=1)
            sketch = np.where(order < problem.k[n], problem.rho[n], 0.0)
            local = x.copy()
            for _ in range(2):
                xi = np.sqrt(problem.data_noise[n] / 4) * rng.normal(size=(runs, 4))
                error = (np.sqrt(sketch) * local - problem.optima[n]) @ problem.hessians[n]
                local = local - step * (np.sqrt(sketch) * error + sketch * xi)
            joined = rng.random(runs) < problem.q[n]
            change += problem.weights[n] / problem.q[n] * joined[:, None] * (local - x)
        x = x + server_step * change
    moment = problem.moments(start, step, server_step, rounds + 1)[-1]
    lifted = np.hstack([x, np.ones((runs, 1))])
    products = lifted[:, :, None] * lifted[:, None, :]
    error = products.std(axis=0) / np.sqrt(runs)
    assert np.all(np.abs(products.mean(axis=0) - moment) <= 4.5 * error + 1e-12)
