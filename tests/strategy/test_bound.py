"""The theorem of docs/theory.md holds where every constant is known, and is not vacuous there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategy.quadratics import (
    Quadratics,
    bound_over_exact,
    random_quadratics,
)
from wirelessfl.strategy.bound import (
    Constants,
    bound,
    largest_x,
    phi,
    psi,
    rounds_to,
)
from wirelessfl.strategy.observation import Floats

START = np.full(4, 3.0)


def known_everywhere(problem: Quadratics) -> Constants:
    """Constants of a separable problem that hold at every X, by formula.

    With one diagonal Q for all, grad F_n(.; S) = S Q (X - x_n/sqrt(rho_n)): the sketch acts on a
    gradient that does not depend on it, so delta_n = 0, and clients differ by a constant.
    """
    q = np.diag(problem.hessians[0])
    pull = q * problem.optima / np.sqrt(problem.rho)[:, None]
    start = q * START - problem.weights @ pull
    return Constants(
        smoothness=float(q.max()),
        gap=float(0.5 * np.sum(start**2 / q)),
        weights=problem.weights,
        dissimilarity=np.sum((pull - problem.weights @ pull) ** 2, axis=1),
        sketch_noise=np.zeros(len(pull)),
        data_noise=problem.data_noise,
        rank=4,
        local_steps=problem.local_steps,
    )


seeds = st.integers(0, 10**6)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 5), st.sampled_from([1, 10, 100]), st.floats(0.05, 1.0))
def test_theorem_holds_with_constants_known_in_advance(
    seed: int, local_steps: int, rounds: int, fraction: float
) -> None:
    problem = random_quadratics(seed, local_steps=local_steps, separable=True)
    constants = known_everywhere(problem)
    step = fraction * float(largest_x(constants, problem.q, problem.k))
    step /= constants.smoothness * local_steps
    measured = problem.squared_gradient(problem.moments(START, step, 1.0, rounds)).mean()
    assert measured <= bound(constants, problem.q, problem.k, step, rounds).total


def test_the_formula_for_separable_problems_is_what_enumeration_finds() -> None:
    problem = random_quadratics(7, separable=True)
    known = known_everywhere(problem)
    seen = problem.constants(START, problem.moments(START, 0.2, 1.0, 20))
    np.testing.assert_allclose(seen.dissimilarity, known.dissimilarity)
    np.testing.assert_allclose(seen.sketch_noise, 0.0, atol=1e-9)
    assert seen.gap == pytest.approx(known.gap)


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.integers(1, 5),
    st.sampled_from([1, 10, 100]),
    st.floats(0.05, 1.0),
    st.sampled_from([0.25, 1.0, 3.0]),
)
def test_theorem_holds_on_coupled_quadratics_where_the_sketch_changes_the_gradient(
    seed: int, local_steps: int, rounds: int, fraction: float, server_step: float
) -> None:
    problem = random_quadratics(seed, local_steps=local_steps)
    assert bound_over_exact(problem, START, rounds, fraction, server_step) >= 1.0


@pytest.mark.parametrize("separable", [True, False])
def test_theorem_is_not_vacuous(separable: bool) -> None:
    problems = [random_quadratics(seed, separable=separable) for seed in range(20)]
    ratios = [bound_over_exact(problem, START, 50) for problem in problems]
    assert 3.0 < np.median(ratios) < 6.0
    assert max(ratios) < 8.0


def test_coupled_quadratics_do_have_sketch_noise_of_their_own() -> None:
    problem = random_quadratics(3)
    constants = problem.constants(START, problem.moments(START, 0.1, 1.0, 10))
    assert constants.sketch_noise.max() > 0.1


def constants_of(seed: int, clients: int = 6, local_steps: int = 3) -> Constants:
    rng = np.random.default_rng(seed)
    return Constants(
        smoothness=rng.uniform(0.5, 2.0),
        gap=rng.uniform(1.0, 10.0),
        weights=rng.dirichlet(np.ones(clients)),
        dissimilarity=rng.uniform(0.0, 2.0, clients),
        sketch_noise=rng.uniform(0.0, 2.0, clients),
        data_noise=rng.uniform(0.0, 2.0, clients),
        rank=8,
        local_steps=local_steps,
    )


def plan_of(seed: int, clients: int = 6) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 1.0, clients), rng.integers(1, 9, clients)


def test_bound_by_hand_for_two_clients() -> None:
    constants = Constants(
        smoothness=2.0,
        gap=3.0,
        weights=np.array([0.25, 0.75]),
        dissimilarity=np.array([1.0, 2.0]),
        sketch_noise=np.array([3.0, 4.0]),
        data_noise=np.array([5.0, 6.0]),
        rank=8,
        local_steps=2,
    )
    q, k = np.array([0.5, 1.0]), np.array([4, 8])  # rho = 2, 1; pi = 1/4, 1
    assert psi(constants, q, k) == pytest.approx(
        (10 * 3 * 1.0 + 5 * (1 / 0.5) * 3.0 + 6 * 5.0 / (2 * 0.25)) / 16 + 9 / 16 * 6 * 6.0 / 2
    )
    assert phi(constants, k) == pytest.approx(
        0.5 * (0.25 * 4 * (8 * 2 * 1 + 4 * 3 + 6 * 2 * 5 / 2) + 0.75 * (8 * 2 + 6 * 6 / 2))
    )
    x = largest_x(constants, q, k)
    assert x == pytest.approx(1 / max(4.0, np.sqrt(15 * (0.25 * 8 + 0.75)), 2.0, 20 * 3 / 16))
    assert largest_x(constants, q, k, server_step=4.0) == pytest.approx(1 / (4 * 20 * 3 / 16))
    parts = bound(constants, q, k, local_step=0.1 / 4, rounds=10, server_step=1.5)
    assert parts.optimization == pytest.approx(4 * 3 * 2 / (1.5 * 0.1 * 10))
    noise = parts.participation + parts.sketch + parts.data
    assert noise == pytest.approx(0.15 * psi(constants, q, k))
    assert parts.participation == pytest.approx(0.15 * 10 / 16)
    assert parts.drift == pytest.approx(0.01 * phi(constants, k))


def test_one_local_step_does_not_drift() -> None:
    constants = constants_of(0, local_steps=1)
    q, k = np.ones(6), np.full(6, 8)
    assert phi(constants, k) == 0.0
    assert largest_x(constants, q, k) == 0.5
    assert largest_x(replace(constants, local_steps=2), q, k) == pytest.approx(15**-0.5)


def test_plans_are_evaluated_many_at_a_time() -> None:
    constants = constants_of(1)
    plans = [plan_of(seed) for seed in range(4)]
    q, k = (np.stack(part) for part in zip(*plans, strict=True))
    rounds, steps = rounds_to(constants, q, k, 0.5)
    together = bound(constants, q, k, steps, 1000).total
    for i, (own_q, own_k) in enumerate(plans):
        alone, step = rounds_to(constants, own_q, own_k, 0.5)
        assert (rounds[i], steps[i]) == pytest.approx((alone, step))
        assert together[i] == pytest.approx(bound(constants, own_q, own_k, steps[i], 1000).total)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1e-3, 100.0), st.sampled_from([0.5, 1.0, 4.0]), st.integers(1, 4))
def test_rounds_to_are_enough_and_fewest(
    seed: int, epsilon: float, server_step: float, local_steps: int
) -> None:
    constants = constants_of(seed, local_steps=local_steps)
    q, k = plan_of(seed)
    rounds, step = rounds_to(constants, q, k, epsilon, server_step)
    whole = int(np.ceil(rounds))
    assert bound(constants, q, k, step, whole, server_step).total <= epsilon * (1 + 1e-9)
    allowed = largest_x(constants, q, k, server_step) / (constants.smoothness * local_steps)
    before = max(whole - 1, 1)
    for other in np.linspace(0.01, 1.0, 50) * allowed:
        if before < rounds * (1 - 1e-9):
            assert bound(constants, q, k, other, before, server_step).total > epsilon


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(1e-3, 100.0))
def test_rounds_to_are_at_most_the_simple_law(seed: int, epsilon: float) -> None:
    """8 Delta L/eps [max(2 rho_max, sqrt(15 sum a rho^3), 2 sqrt(Phi/eps)) + 20 W + 4 Psi/eps]."""
    constants = constants_of(seed)
    q, k = plan_of(seed)
    rho = 8 / k
    drift = 2 * np.sqrt(phi(constants, k) / epsilon)
    first = max(2 * rho.max(), np.sqrt(15 * constants.weights @ rho**3), drift)
    noise = 20 * np.sum(constants.weights**2 * (rho / q - 1)) + 4 * psi(constants, q, k) / epsilon
    simple = 8 * constants.gap * constants.smoothness / epsilon * (first + noise)
    assert rounds_to(constants, q, k, epsilon)[0] <= simple * (1 + 1e-9)


def test_steps_beyond_the_theorem_are_refused() -> None:
    constants = constants_of(2)
    q, k = plan_of(2)
    allowed = largest_x(constants, q, k) / (constants.smoothness * 3)
    with pytest.raises(ValueError, match="largest_x"):
        bound(constants, q, k, 1.01 * allowed, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": np.array([0.5, 0.4])}, "weights"),
        ({"smoothness": 0.0}, "smoothness"),
        ({"local_steps": 0}, "local_steps"),
        ({"data_noise": np.array([-1.0, 0.0])}, "data_noise"),
    ],
)
def test_constants_that_are_none_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(constants_of(0, clients=2), **change)
