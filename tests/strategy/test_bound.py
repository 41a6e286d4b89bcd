"""The theorem of docs/theory.md holds where every constant is known, and is not vacuous there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategy.quadratics import Quadratics, random_quadratics
from wirelessfl.strategy.bound import (
    Constants,
    bound,
    bound_terms,
    largest_x,
    phi,
    psi,
    relative_noise,
    rounds_to,
)
from wirelessfl.strategy.observation import Floats

START = np.full(4, 3.0)


def allowed_step(problem: Quadratics, server_step: float = 1.0) -> float:
    """The largest local step of the theorem, which needs neither zeta nor delta."""
    known = problem.constants(START, problem.moments(START, 0.1, 1.0, 1))
    x = largest_x(known, problem.q, problem.k, server_step)
    return float(x) / (known.smoothness * problem.local_steps)


def ratio(problem: Quadratics, fraction: float, server_step: float, rounds: int) -> float:
    """Bound over the exact mean of E||grad f^S||^2, at a fraction of the largest step."""
    step = fraction * allowed_step(problem, server_step)
    moments = problem.moments(START, step, server_step, rounds)
    constants = problem.constants(START, moments)
    right = bound(constants, problem.q, problem.k, step, rounds, server_step).total
    return float(right / problem.squared_gradient(moments).mean())


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
    assert ratio(problem, fraction, server_step, rounds) >= 1.0


@pytest.mark.parametrize("separable", [True, False])
def test_theorem_is_not_vacuous(separable: bool) -> None:
    ratios = [ratio(random_quadratics(s, separable=separable), 1.0, 1.0, 50) for s in range(20)]
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


def test_terms_add_up_to_the_noise_to_signal_ratio() -> None:
    q, k = np.array([0.5, 1.0, 0.0, 0.2]), np.array([2, 8, 8, 4])
    weights, noise = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.05, 0.2, 0.3, 0.1])
    terms = bound_terms(q, k, 8, weights, noise, drift=0.5)
    pi = np.array([0.125, 1.0, 0.1])
    nsr = float(np.sum(noise[[0, 1, 3]] * (1 / pi - 1)))
    assert terms.noise_to_signal == pytest.approx(nsr)
    assert terms.participation == pytest.approx(0.05 * 1 + 0.1 * 4)
    assert terms.drift == pytest.approx(0.5 * (0.4 * 3 + 0.1 * 1))
    assert terms.relative_rounds == pytest.approx(1 + nsr + terms.drift)
    assert terms.step_ratio == pytest.approx(1 / (1 + nsr))
    assert terms.objective_bias == pytest.approx((0.4 * 3 + 0.1) / 2 * 8 / 7)


def test_full_participation_at_full_rank_costs_nothing_extra() -> None:
    terms = bound_terms(np.ones(3), np.full(3, 4), 4, np.full(3, 1 / 3), np.full(3, 0.1), drift=0.5)
    assert terms.relative_rounds == 1.0
    assert terms.objective_bias == 0.0
    single = bound_terms(np.ones(1), np.ones(1), 1, np.ones(1), np.ones(1), drift=0.5)
    assert single.objective_bias == 0.0


def pure_noise(q: Floats, k: Floats) -> Quadratics:
    """Clients that agree, with equal curvature: all noise comes from sampling and sketching."""
    clients = len(q)
    return Quadratics(
        hessians=np.tile(0.5 * np.eye(4), (clients, 1, 1)),
        optima=np.zeros((clients, 4)),
        weights=np.full(clients, 1 / clients),
        data_noise=np.zeros(clients),
        q=q,
        k=k,
        local_steps=1,
    )


@pytest.mark.parametrize(("level", "rank"), [(1.0, 4), (0.5, 4), (0.2, 2), (0.05, 1)])
def test_law_of_rounds_is_exact_where_noise_follows_the_signal(level: float, rank: int) -> None:
    """The coupled step 1/(L (1 + NSR)) is the best one, and leaves NSR/(1 + NSR) of the gap."""
    problem = pure_noise(np.full(5, level), np.full(5, rank))
    constants = problem.constants(START, problem.moments(START, 0.1, 1.0, 1))
    noise = relative_noise(constants, signal=1.0)
    terms = bound_terms(problem.q, problem.k, 4, problem.weights, noise, drift=0.0)
    nsr = (4 / (level * rank) - 1) / 5
    assert terms.noise_to_signal == pytest.approx(nsr)
    step = terms.step_ratio / constants.smoothness
    left = problem.mean_gap(problem.moments(START, step, 1.0, 2))
    assert left[1] / left[0] == pytest.approx(nsr / (1 + nsr), abs=1e-12)
    for other in (0.9 * step, 1.1 * step):
        worse = problem.mean_gap(problem.moments(START, other, 1.0, 2))
        assert worse[1] > left[1]


def test_relative_noise_predicts_the_variance_of_the_update() -> None:
    """Equal weights; exact where the mean of ||grad F_n||^2 is signal + zeta^2 for every client."""
    rng = np.random.default_rng(5)
    problem = random_quadratics(5, clients=4, local_steps=1, separable=True)
    offsets = np.vstack([np.eye(4), -np.eye(4)])  # clients stand symmetrically around the mean
    problem = replace(
        problem,
        hessians=np.tile(np.eye(4), (8, 1, 1)),
        optima=offsets,
        weights=np.full(8, 1 / 8),
        data_noise=np.full(8, 0.7),
        q=np.full(8, 0.3),
        k=np.full(8, 2),
    )
    x = rng.normal(size=4)
    at = np.outer(np.append(x, 1), np.append(x, 1))[None]
    constants = problem.constants(x, at)
    signal = float(problem.squared_gradient(at)[0])
    noise = relative_noise(constants, signal)
    nsr = bound_terms(problem.q, problem.k, 4, problem.weights, noise, drift=0.0).noise_to_signal
    step = 1e-3
    moved = problem.moments(x, step, 1.0, 2)[1] - at[0]
    update = moved[:4, :4] - np.outer(moved[:4, 4], x) - np.outer(x, moved[:4, 4])
    second = np.trace(update) / step**2  # E||U||^2
    full = signal + float(np.sum(problem.weights**2 * problem.data_noise))
    assert second == pytest.approx(full * (1 + nsr))
