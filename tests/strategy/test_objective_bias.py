"""What sketching does to the objective (docs/theory.md), by enumeration of all sketches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategy.quadratics import every_sketch
from wirelessfl.strategy.observation import Floats

seeds = st.integers(0, 10**6)
RANKS = [(1, 4), (2, 4), (3, 4), (4, 4), (2, 5), (1, 1)]


def components(b: Floats, a: Floats) -> Floats:
    """vec(b_i a_i'). [gamma, d_out d_in]"""
    return np.einsum("oi,ij->ioj", b, a).reshape(b.shape[1], -1)


def predicted_bias(c: Floats, curvature: Floats, rho: float) -> float:
    gamma = len(c)
    each = np.einsum("ip,pq,iq->", c, curvature, c)
    together = c.sum(axis=0) @ curvature @ c.sum(axis=0)
    return float(0.5 * (rho - 1) / max(gamma - 1, 1) * (gamma * each - together))


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(RANKS))
def test_objective_bias_of_quadratic_losses(seed: int, ranks: tuple[int, int]) -> None:
    k, gamma = ranks
    rng = np.random.default_rng(seed)
    c = components(rng.normal(size=(3, gamma)), rng.normal(size=(gamma, 2)))
    root = rng.normal(size=(6, 6))
    curvature, slope = root @ root.T, rng.normal(size=6)

    def loss(w: Floats) -> float:
        return float(0.5 * w @ curvature @ w + slope @ w)

    sketched = np.mean([loss(s @ c) for s in every_sketch(k, gamma)])
    expected = predicted_bias(c, curvature, gamma / k)
    assert sketched - loss(c.sum(axis=0)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert expected >= -1e-9  # convex losses rise


def test_objective_bias_adds_up_over_modules_with_sketches_of_their_own() -> None:
    rng = np.random.default_rng(0)
    first = components(rng.normal(size=(2, 3)), rng.normal(size=(3, 1)))
    second = components(rng.normal(size=(2, 3)), rng.normal(size=(3, 1)))
    root = rng.normal(size=(4, 4))
    curvature = root @ root.T

    def loss(s: Floats, t: Floats) -> float:
        w = np.concatenate([s @ first, t @ second])
        return float(0.5 * w @ curvature @ w)

    sketches, ones = every_sketch(1, 3), np.ones(3)
    bias = np.mean([loss(s, t) for s in sketches for t in sketches]) - loss(ones, ones)
    expected = predicted_bias(first, curvature[:2, :2], 3.0)
    assert bias == pytest.approx(expected + predicted_bias(second, curvature[2:, 2:], 3.0))
    shared = np.mean([loss(s, s) for s in sketches]) - loss(ones, ones)
    both = np.hstack([first, second])
    assert shared == pytest.approx(predicted_bias(both, curvature, 3.0))


def test_objective_bias_of_other_losses_is_right_to_second_order() -> None:
    """Softmax loss: what the formula leaves out falls with the cube of the adapter's size."""
    rng = np.random.default_rng(1)
    c = components(rng.normal(size=(3, 4)), rng.normal(size=(4, 2)))
    base, x = rng.normal(size=(3, 2)), rng.normal(size=2)

    def loss(w: Floats) -> float:
        logits = (base + w.reshape(3, 2)) @ x
        return float(np.log(np.exp(logits).sum()) - logits[0])

    def error(size: float) -> float:
        small = np.sqrt(size) * np.sqrt(size) * c  # B and A scaled by sqrt(size) each
        w = small.sum(axis=0)
        logits = (base + w.reshape(3, 2)) @ x
        p = np.exp(logits) / np.exp(logits).sum()
        curvature = np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x))
        bias = np.mean([loss(s @ small) for s in every_sketch(2, 4)]) - loss(w)
        return abs(bias - predicted_bias(small, curvature, 2.0))

    ratios = [error(size) / error(size / 2) for size in (0.04, 0.02, 0.01)]
    assert all(7.0 < ratio < 17.0 for ratio in ratios)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_objective_bias_bounds_the_floor_of_small_ranks(seed: int) -> None:
    """f(X_S) - f(X_f) <= b(X_f) - b(X_S); with A frozen both minima are known."""
    rng = np.random.default_rng(seed)
    a, target = rng.normal(size=(4, 3)), rng.normal(size=3)
    sketches = every_sketch(2, 4)
    plain = a @ a.T + 1e-3 * np.eye(4)  # loss ||b A - W||^2/2 + a little of ||b||^2
    second = np.mean([np.diag(s) @ a @ a.T @ np.diag(s) for s in sketches], axis=0)
    sketched = second + 1e-3 * np.eye(4)

    def bias(b: Floats) -> float:
        return float(0.5 * b @ (sketched - plain) @ b)

    def loss(b: Floats) -> float:
        return float(0.5 * b @ plain @ b - b @ a @ target)

    best, reached = (np.linalg.solve(matrix, a @ target) for matrix in (plain, sketched))
    floor = loss(reached) - loss(best)
    assert -1e-9 <= floor <= bias(best) - bias(reached) + 1e-9
    assert bias(reached) >= -1e-9
