"""The planner's law of rounds, R_0 (1 + NSR), against exact training on quadratics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.strategy.quadratics import (
    Quadratics,
    fewest_rounds,
    plans_of_all_sizes,
    random_quadratics,
)
from wirelessfl.strategy.bound import bound_terms, relative_noise
from wirelessfl.strategy.observation import Floats

START = np.full(4, 3.0)


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


@pytest.mark.slow
def test_rounds_follow_the_law_and_the_best_step_its_coupling() -> None:
    """Rounds to a 33rd of the squared gradient, every plan at its own best step."""
    problem = replace(random_quadratics(3, clients=12, local_steps=2), data_noise=np.full(12, 0.2))
    law, rounds, steps = [], [], []
    for plan in plans_of_all_sizes(problem):
        at = plan.moments(START, 0.05, 1.0, 1)
        constants = plan.constants(START, at)
        signal = float(plan.squared_gradient(at)[0]) * np.sqrt(0.03)  # half way, in logarithm
        noise = relative_noise(constants, signal)
        law.append(bound_terms(plan.q, plan.k, 4, plan.weights, noise, drift=0.0).relative_rounds)
        needed, x = fewest_rounds(plan, START, 0.03)
        rounds.append(needed)
        steps.append(x)
    assert spearmanr(law, rounds).statistic > 0.98
    assert max(law) / min(law) > 9.0
    coupled = np.array(steps) * law
    assert coupled.max() / coupled.min() < 1.7
    initial = np.array(rounds) / law
    assert initial.max() / initial.min() < 2.6


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
