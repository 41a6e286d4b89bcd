"""Planners against exhaustive search, simple families of plans, and degenerate inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.strategy.conftest import observation
from wirelessfl.scenario.sharing import EqualFinish, WorkConserving
from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.mean_field import mean_field, mean_field_s
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import round_model

Planner = Callable[[Problem], tuple[Floats, Ints]]
PLANNERS = [marginal_price, mean_field]
RULES = [WorkConserving(), EqualFinish()]
FULL = 16
NO_PAYLOAD = {
    f"{way}_{bits}": 0.0
    for way in ("download", "upload")
    for bits in ("fixed_bits", "bits_per_rank")
}


def problem(
    seed: int,
    clients: int = 6,
    rule: WorkConserving | EqualFinish = RULES[0],
    ranks: tuple[int, ...] = (4, 8, 16),
    floor: float = 0.01,
    **changes: object,
) -> Problem:
    """A random instance; scarce, ample or slow-computing by turns."""
    rng = np.random.default_rng(1000 + seed)
    regime: dict[str, object] = [
        {},
        {"uplink_hz": 1e6},
        {"uplink_hz": 30e6, "compute_per_rank_s": rng.uniform(0.1, 1.5, clients)},
    ][seed % 3]
    seen = observation(seed, clients, FULL, **{**regime, **changes})
    own = seen.weights**2 * rng.lognormal(0, 0.7, clients)
    noise = own / (own.sum() * rng.choice([1.0, 4.0, 11.0]))
    rho = FULL / np.tile(ranks, (clients, 1))
    return Problem(
        model=round_model(seen, rule, np.tile(ranks, (clients, 1))),
        weights=seen.weights,
        noise=noise[:, None] * rho,
        constant=1 - noise.sum(),
        drift=seen.weights[:, None] * rng.choice([0.03, 0.5]) * (rho - 1),
        floor=np.full(clients, floor),
    )


def best_q(task: Problem, cost: Callable[[Floats], float], start: Floats) -> tuple[float, Floats]:
    result = minimize(
        lambda x: np.log(cost(np.exp(x))),
        np.log(start),
        method="L-BFGS-B",
        bounds=[(np.log(low), 0.0) for low in task.floor],
    )
    return float(np.exp(result.fun)), np.exp(result.x)


def exhaustive(task: Problem, cost: Callable[[Floats, Ints], float]) -> float:
    """Lowest cost over every choice of ranks, q by a local solver from several starts."""
    clients, options = task.noise.shape
    best, option = np.inf, np.zeros(clients, dtype=np.int64)
    for choice in itertools.product(range(options), repeat=clients):
        tried = np.array(choice)
        value, _ = best_q(task, lambda q, k=tried: cost(q, k), np.full(clients, 0.3))
        if value < best:
            best, option = value, tried
    for start in (0.05, 0.95):
        value, _ = best_q(task, lambda q: cost(q, option), np.full(clients, start))
        best = min(best, value)
    return best


@pytest.mark.parametrize(("seed", "rule"), [(0, RULES[0]), (1, RULES[0]), (2, RULES[1])])
def test_marginal_price_is_near_exhaustive_search(
    seed: int, rule: WorkConserving | EqualFinish
) -> None:
    task = problem(seed, 3, rule)
    assert task.cost(*marginal_price(task)) <= 1.01 * exhaustive(task, task.cost)


def best_cost_of_ranks(task: Problem, option: Ints, start: float) -> float:
    """As `best_q`, with the exact slope of the work-conserving round time."""
    rows = np.arange(len(option))

    def log_cost(x: Floats) -> tuple[float, Floats]:
        q = np.exp(x)
        prices, rounds = task.model.prices(q, option), task.rounds(q, option)
        slope = prices.price_s[rows, option] / prices.mean_s
        slope -= task.noise[rows, option] / q**2 / rounds
        return float(np.log(prices.mean_s * rounds)), slope * q

    bounds = [(np.log(low), 0.0) for low in task.floor]
    x = np.full(len(option), np.log(start))
    return float(np.exp(minimize(log_cost, x, jac=True, method="L-BFGS-B", bounds=bounds).fun))


@pytest.mark.slow
def test_marginal_price_is_within_one_percent_of_exhaustive_search_on_average() -> None:
    gaps = []
    for seed in range(12):
        task = problem(seed, 5)
        choices = [np.array(choice) for choice in itertools.product(range(3), repeat=5)]
        costs = [best_cost_of_ranks(task, choice, 0.3) for choice in choices]
        best = min(costs)
        for number in np.argsort(costs)[:40]:  # other local minima of the most promising
            for start in (0.05, 0.9):
                best = min(best, best_cost_of_ranks(task, choices[number], start))
        gaps.append(task.cost(*marginal_price(task)) / best - 1)
    assert np.mean(gaps) <= 0.01
    assert np.max(gaps) <= 0.03


@pytest.mark.parametrize("seed", range(2))
def test_mean_field_is_near_exhaustive_search_of_its_own_objective(seed: int) -> None:
    """Downloads take no time here: the wait for them is outside the mean-field search."""
    task = problem(seed, 3, downlink_hz=1e15)
    zero = np.zeros(3)
    rows = np.arange(3)

    def cost(q: Floats, option: Ints) -> float:
        tau, upload = task.model.tau_s(zero, option), task.model.upload_s[rows, option]
        return (task.model.overhead_s + mean_field_s(q, tau, upload)) * task.rounds(q, option)

    assert cost(*mean_field(task)) <= 1.03 * exhaustive(task, cost)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(2))
def test_marginal_price_never_loses_to_uniform_or_data_proportional_plans(
    seed: int, rule: WorkConserving | EqualFinish
) -> None:
    task = problem(seed, 24, rule)
    cost = task.cost(*marginal_price(task))
    for scores in (np.ones(24), task.weights):
        for expected in np.linspace(0.5, 24, 15):
            q = np.maximum(proportional_q(scores, expected), task.floor)
            for option in range(3):
                assert cost <= task.cost(q, np.full(24, option))


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize(
    "changes",
    [
        {"compute_fixed_s": np.zeros(6), "compute_per_rank_s": np.zeros(6), "downlink_hz": 1e15},
        {"uplink_hz": 1e12},
        {"uplink_hz": 1e2},
        {"server_overhead_s": 0.0},
        NO_PAYLOAD,
        {"weights": np.array([1 - 5e-6, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6])},
    ],
    ids=["no-compute", "ample", "scarce", "no-overhead", "no-payload", "one-holds-all"],
)
def test_degenerate_inputs_give_a_valid_plan(planner: Planner, changes: dict[str, object]) -> None:
    task = problem(0, 6, **changes)
    q, option = planner(task)
    assert np.all((q >= task.floor) & (q <= 1))
    assert np.all((option >= 0) & (option < 3))
    assert np.isfinite(task.cost(q, option))


def test_a_single_client_gets_the_best_probability() -> None:
    task = replace(problem(0, 1, ranks=(16,)), noise=np.array([[0.5]]), constant=0.5)
    q, _ = marginal_price(task)
    assert task.cost(q, np.array([0])) <= 1.01 * min(
        task.cost(np.array([x]), np.array([0])) for x in np.linspace(0.01, 1, 100)
    )


@pytest.mark.parametrize("planner", PLANNERS)
def test_equal_clients_get_nearly_equal_plans(planner: Planner) -> None:
    same = np.ones(6)
    task = problem(
        0,
        weights=same / 6,
        compute_fixed_s=5 * same,
        compute_per_rank_s=0.1 * same,
        uplink_rate_bps=1e6 * same,
        downlink_rate_bps=4e6 * same,
    )
    task = replace(task, noise=np.tile(task.noise.mean(axis=0), (6, 1)))
    q, option = planner(task)
    assert np.ptp(q) < 0.01 * q.max()
    assert np.ptp(option) == 0


def test_clients_with_one_rank_keep_it() -> None:
    task = problem(1, 12, ranks=(16,))
    _, option = marginal_price(task)
    assert not option.any()
