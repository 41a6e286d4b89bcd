"""What a plan must keep to: each limit binds, is kept, and costs no more than it must."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.strategy.test_planner import problem
from wirelessfl.errors import InputError
from wirelessfl.strategy.mean_field import mean_field
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.problem import Budget, Problem

PLANNERS = [marginal_price, mean_field]


def spent(task: Problem, name: str, **limits: float) -> Problem:
    """The task with a budget; a participation takes 3 units and 1 for each of its ranks / 4."""
    clients, options = task.noise.shape
    taken = np.tile(3.0 + np.array([1.0, 2.0, 4.0])[:options], (clients, 1))
    return replace(task, budgets=(Budget(name, taken, **limits),))


def excess(task: Problem, q: Floats, option: Ints) -> Floats:
    """How far each constraint is missed; positive is kept."""
    ceiling = task.ceiling(task.model.round_s(q, option))[np.arange(len(q)), option]
    return np.append(np.minimum(ceiling, 10.0) - q, min(task.expected_max, 100.0) - q.sum())


def exhaustive(task: Problem) -> float:
    """Lowest cost within the limits over all ranks, by SLSQP from several starts."""
    clients, options = task.noise.shape
    best = np.inf
    for choice in itertools.product(range(options), repeat=clients):
        option = np.array(choice)
        for start in (0.1, 0.4):
            result = minimize(
                lambda q, k=option: np.log(task.cost(q, k)),
                np.maximum(np.full(clients, start), task.floor),
                method="SLSQP",
                bounds=[(low, 1.0) for low in task.floor],
                constraints={"type": "ineq", "fun": lambda q, k=option: excess(task, q, k)},
            )
            if excess(task, result.x, option).min() > -1e-6:
                best = min(best, float(np.exp(result.fun)))
    return best


def limited(kind: str, seed: int) -> Problem:
    """A task with one limit that its free optimum exceeds by about a half."""
    task = problem(seed, 3)
    q, option = marginal_price(task)
    if kind == "expected_max":
        return replace(task, expected_max=0.65 * q.sum())
    budget = spent(task, "", per_round=1.0).budgets[0]
    most = 0.65 * float((q * budget.spent[np.arange(3), option]).max())
    if kind == "per_round":
        return spent(task, "energy_budget", per_round=most)
    return spent(task, "traffic_budget", per_hour=most * 3600.0 / task.model.round_s(q, option))


@pytest.mark.parametrize("kind", ["expected_max", "per_round", "per_hour"])
@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.slow
def test_a_limit_binds_is_kept_and_costs_little_more_than_it_must(kind: str, seed: int) -> None:
    task = limited(kind, seed)
    free = marginal_price(replace(task, expected_max=np.inf, budgets=()))
    assert excess(task, *free).min() < 0, "the limit is not active"
    plan = marginal_price(task)
    assert excess(task, *plan).min() >= -1e-6
    best = exhaustive(task)
    assert best * (1 - 1e-3) <= task.cost(*plan)
    assert task.cost(*plan) <= best * (1.10 if kind == "per_hour" else 1.03)


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("kind", ["expected_max", "per_round", "per_hour"])
def test_both_planners_keep_to_limits(planner, kind: str) -> None:
    task = limited(kind, 1)
    assert excess(task, *planner(task)).min() >= -1e-6


def test_a_budget_lowers_the_rank_where_the_full_one_cannot_be_paid() -> None:
    task = spent(replace(problem(0, 3), floor=np.full(3, 0.2)), "energy_budget", per_round=0.9)
    q, option = marginal_price(task)
    assert np.all(option == 0), "at q_min only the lowest rank fits: 0.2 * 4 <= 0.9 < 0.2 * 5"
    assert np.all(q >= 0.2)


@pytest.mark.parametrize("planner", PLANNERS)
def test_limits_that_exclude_each_other_are_one_clear_error(planner) -> None:
    task = problem(0, 3, floor=0.3)
    with pytest.raises(InputError, match=r"expected_max is 0\.5, but .* 0\.9 expected"):
        planner(replace(task, expected_max=0.5))
    with pytest.raises(InputError, match="energy_budget: 3 clients cannot take part as often"):
        planner(spent(task, "energy_budget", per_round=0.1))
    with pytest.raises(InputError, match="traffic_budget: 3 clients"):
        planner(spent(task, "traffic_budget", per_hour=1.0))
