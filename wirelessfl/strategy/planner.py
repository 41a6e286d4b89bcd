"""Who should take part, and with which rank: minimise expected round time times rounds needed.

    minimise (t_s + E[T](q, k)) * R(q, k)   over q_n and k_n within the problem's limits,
    R = 1 + sum_n noise_n (1/pi_n - 1) + sum_n drift_n(k_n),   pi_n = q_n k_n / gamma.

R is the number of rounds relative to full participation at full rank. Two algorithms, both
our own derivation: `mean_field` `reconstructed` from the summary of arXiv 2505.23555,
`marginal_price` from the optimality condition of the multilinear E[T].
"""

from __future__ import annotations

import numpy as np

from wirelessfl.randomness import generator
from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.mean_field import mean_field
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.problem import Problem

MAX_STEPS = 30
PATIENCE = 3
# Above this many clients only the best start is followed, and in each step no more than a part of
# them may change their rank: prices say what it saves one that changes it alone.
MANY = 256
MOVING = 0.3
BISECTIONS = 40


def marginal_price(
    problem: Problem, last: tuple[Floats, Ints] | None = None
) -> tuple[Floats, Ints]:
    """Fixed point of q_n = clip(sqrt(noise_n (t_s + E[T]) / (R (price_n + nu))), floor, ceiling).

    At a minimum the relative saving in rounds of a little more participation equals its relative
    price in time; nu is the price of a place where the number of participants is capped. Damped
    steps from four starts (mean field, and the best of a few plans of simple families); the best
    iterate seen is returned, so it never loses to its starts.

    Args:
        problem: What to minimise.
        last: A plan of a problem much like this one, from which alone the steps start then.

    Returns:
        q [clients] and the option of each client [clients].
    """
    guesses = [last] if last else [mean_field(problem), *_proportional(problem)]
    starts = [problem.within(*plan) for plan in guesses]
    if len(problem.floor) > MANY:
        starts = [min(starts, key=lambda plan: problem.cost(*plan))]
    found = [_descend(problem, *plan, 1 if last else PATIENCE) for plan in starts]
    return problem.affordable(*min(found, key=lambda plan: plan[0])[1:])


def _descend(
    problem: Problem, q: Floats, option: Ints, patience: int
) -> tuple[float, Floats, Ints]:
    """Best (cost, q, option) met by the fixed-point iteration from one start.

    It ends after so many steps that brought less than a thousandth (one more in a crowd).
    """
    rows = np.arange(len(q))
    best = (np.inf, q, option)
    stale, many = 0, len(q) > MANY
    for step in range(MAX_STEPS):
        prices = problem.model.prices(q, option)
        rounds = problem.rounds(q, option)
        cost = prices.mean_s**problem.haste * rounds
        stale = 0 if cost < best[0] * (1 - 1e-3) else stale + 1
        if cost < best[0]:
            best = (cost, q, option)
        if stale == patience + many:
            break
        price = problem.haste * prices.price_s / prices.mean_s
        price = np.maximum(price, np.finfo(float).tiny)
        if many:
            stay = generator(0, "planner-moves", step).random(len(q)) > MOVING
            price[stay] = np.where(
                np.arange(price.shape[1]) == option[stay, None], price[stay], np.inf
            )
        ceiling = problem.ceiling(prices.mean_s)
        target, option = _best_response(problem, price, rounds, ceiling)
        q = np.clip(np.sqrt(q * target), problem.floor, ceiling[rows, option])
    return best


def _best_response(
    problem: Problem, price: Floats, rounds: float, ceiling: Floats
) -> tuple[Floats, Ints]:
    """The best q and option of each client at given prices; at most `expected_max` in all."""

    def response(place: float) -> tuple[Floats, Ints]:
        q, option, _ = problem.best(price + place, 1.0 / rounds, ceiling)
        return q, option

    q, option = response(0.0)
    if q.sum() <= problem.expected_max:
        return q, option
    low, high = 0.0, float(price.min(axis=1).mean())
    while response(high)[0].sum() > problem.expected_max:
        low, high = high, 4.0 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        over = response(middle)[0].sum() > problem.expected_max
        low, high = (middle, high) if over else (low, middle)
    return response(high)


def _proportional(problem: Problem) -> list[tuple[Floats, Ints]]:
    """The best plan at the largest rank of each of three families, over a few levels.

    Uniform, proportional to data, and one that avoids slow clients: with stragglers the cost has
    local minima, and this one lies on their other side.
    """
    clients, options = problem.noise.shape
    full = np.full(clients, options - 1)
    span_s = problem.model.compute_s[:, -1] + problem.model.download_s[:, -1]
    span_s = span_s + problem.model.upload_s[:, -1]
    starts = []
    for scores in (
        np.ones(clients),
        problem.weights,
        np.sqrt(problem.noise[:, -1]) * (span_s.min() / span_s) ** 2,
    ):
        plans = [
            problem.within(proportional_q(scores, expected), full)
            for expected in np.geomspace(min(1.0, clients / 2), clients, 8)
        ]
        starts.append(min(plans, key=lambda plan: problem.cost(*plan)))
    return starts
