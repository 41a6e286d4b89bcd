"""Who should take part, and with which rank: minimise expected round time times rounds needed.

    minimise (t_s + E[T](q, k)) * R(q, k)   over q_n in [floor_n, 1] and k_n among the options,
    R = 1 + sum_n noise_n (1/pi_n - 1) + sum_n drift_n(k_n),   pi_n = q_n k_n / gamma.

R is the number of rounds relative to full participation at full rank. Two algorithms, both
our own derivation: `mean_field` `reconstructed` from the summary of arXiv 2505.23555,
`marginal_price` from the optimality condition of the multilinear E[T].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.round_model import RoundModel
from wirelessfl.strategy.uplink_time import EqualFinish

MAX_STEPS = 30
PATIENCE = 3
TIME_GRID = 16
ZOOMS = 3
BISECTIONS = 24


@dataclass(frozen=True)
class Problem:
    """One planning problem.

    Attributes:
        model: Round times of every client and option; options in rising order of rank.
        weights: Share a_n of the data. [clients]
        noise: noise_n gamma/k: the noise of a client that always takes part. [clients, options]
        constant: R - sum noise/q - sum drift: 1 - sum noise_n.
        drift: Penalty of training few ranks. [clients, options]
        floor: Smallest q_n allowed, positive. [clients]
    """

    model: RoundModel
    weights: Floats
    noise: Floats
    constant: float
    drift: Floats
    floor: Floats

    def rounds(self, q: Floats, option: Ints) -> float:
        """Rounds relative to full participation at full rank."""
        rows = np.arange(len(q))
        noise = self.noise[rows, option] / q
        return self.constant + float(np.sum(noise + self.drift[rows, option]))

    def only(self, rows: Ints) -> Problem:
        """The part of the problem that concerns some clients."""
        return replace(
            self,
            model=self.model.only(rows),
            weights=self.weights[rows],
            noise=self.noise[rows],
            drift=self.drift[rows],
            floor=self.floor[rows],
        )

    def cost(self, q: Floats, option: Ints) -> float:
        """Expected round time times rounds."""
        return self.model.round_s(q, option) * self.rounds(q, option)


def marginal_price(problem: Problem) -> tuple[Floats, Ints]:
    """Fixed point of q_n = clip(sqrt(noise_n (t_s + E[T]) / (R price_n)), floor_n, 1).

    At a minimum the relative saving in rounds of a little more participation equals its relative
    price in time. Damped steps from four starts (mean field, and the best of a few plans of simple
    families); the best iterate seen is returned, so it never loses to its starts.

    Returns:
        q [clients] and the option of each client [clients].
    """
    best: tuple[float, Floats, Ints] | None = None
    for q, option in (mean_field(problem), *_proportional_starts(problem)):
        candidate = _descend(problem, q, option)
        if best is None or candidate[0] < best[0]:
            best = candidate
    assert best is not None
    return best[1], best[2]


def _descend(problem: Problem, q: Floats, option: Ints) -> tuple[float, Floats, Ints]:
    """Best (cost, q, option) met by the fixed-point iteration from one start."""
    rows = np.arange(len(q))
    best = (np.inf, q, option)
    stale = 0
    for _ in range(MAX_STEPS):
        prices = problem.model.prices(q, option)
        rounds = problem.rounds(q, option)
        cost = prices.mean_s * rounds
        stale = 0 if cost < best[0] * (1 - 1e-3) else stale + 1
        if cost < best[0]:
            best = (cost, q, option)
        if stale == PATIENCE:
            break
        price = np.maximum(prices.price_s / prices.mean_s, np.finfo(float).tiny)
        noise = problem.noise / rounds
        target = np.clip(np.sqrt(noise / price), problem.floor[:, None], 1.0)
        loss = noise / target + problem.drift / rounds + price * target
        option = loss.argmin(axis=1)
        q = np.sqrt(q * target[rows, option])
    return best


def _proportional_starts(problem: Problem) -> list[tuple[Floats, Ints]]:
    """The best plan at full rank of each of three families, over a few participation levels.

    Uniform, proportional to data, and one that avoids slow clients: with stragglers the cost has
    local minima, and this one lies on their other side.
    """
    clients, options = problem.noise.shape
    full = np.full(clients, options - 1)
    span_s = (problem.model.compute_s + problem.model.upload_s)[:, -1]
    starts = []
    for scores in (
        np.ones(clients),
        problem.weights,
        np.sqrt(problem.noise[:, -1]) * (span_s.min() / span_s) ** 2,
    ):
        plans = [
            np.maximum(proportional_q(scores, expected), problem.floor)
            for expected in np.geomspace(min(1.0, clients / 2), clients, 8)
        ]
        starts.append((min(plans, key=lambda q: problem.cost(q, full)), full))
    return starts


def mean_field(problem: Problem) -> tuple[Floats, Ints]:
    """One-dimensional search over the round time, everything else in closed form.

    The mean-field round time T fills the uplink on average: sum q_n t_n/(T - tau_n) = 1. Given T
    the rest is separable: with price b_n = t_n/(T - tau_n) and one multiplier,
    q_n = clip(sqrt(noise_n/(multiplier b_n)), floor_n, 1), k_n by enumeration. T > max tau_n
    always, so T overestimates the round where slow devices seldom take part. Several cells fill
    their uplinks in the same T, each with a multiplier of its own.

    Returns:
        q [clients] and the option of each client [clients].
    """
    model = problem.model
    clients, options = problem.noise.shape
    q, option = problem.floor, np.zeros(clients, dtype=np.int64)
    for _ in range(2):  # the wait for downloads depends on q: once from the floor, once refined
        tau = np.stack([model.tau_s(q, np.full(clients, o)) for o in range(options)], axis=1)
        low = max(
            mean_field_s(problem.floor[own], tau[own, 0], model.upload_s[own, 0])
            for own in model.cells
        )
        high = max(
            mean_field_s(np.ones(len(own)), tau[own, -1], model.upload_s[own, -1])
            for own in model.cells
        )
        for _ in range(ZOOMS):
            times = np.geomspace(low, max(low, high), TIME_GRID)
            qs = np.empty((TIME_GRID, clients))
            choices = np.empty((TIME_GRID, clients), dtype=np.int64)
            for own in model.cells:
                qs[:, own], choices[:, own] = _given_time(problem.only(own), tau[own], times)
            costs = [
                (model.overhead_s + time) * problem.rounds(*plan)
                for time, plan in zip(times, zip(qs, choices, strict=True), strict=True)
            ]
            best = int(np.argmin(costs))
            low, high = times[max(best - 1, 0)], times[min(best + 1, TIME_GRID - 1)]
            q, option = qs[best], choices[best]
    return q, option


def mean_field_s(q: Floats, tau_s: Floats, upload_s: Floats) -> float:
    """Root T of sum q_n t_n/(T - tau_n) = 1."""
    return float(EqualFinish().durations_s(q[:, None], tau_s, upload_s)[0])


def _given_time(problem: Problem, tau_s: Floats, times: Floats) -> tuple[Floats, Ints]:
    """Best q and options for each round time, in one cell. [times, clients]

    The demand sum q b falls as the multiplier rises; its logarithm is bisected.
    """
    gap = times[:, None, None] - tau_s
    price = np.where(gap > 0, problem.model.upload_s / np.where(gap > 0, gap, 1.0), np.inf)
    floor = problem.floor[:, None]
    scale = np.where(gap > 0, problem.noise / np.where(gap > 0, price, 1.0), np.nan)
    low = np.full(len(times), 0.5 * np.nanmin(scale))
    high = np.full(len(times), 2.0 * np.nanmax(scale / floor**2))
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        _, _, demand = _given_multiplier(problem, price, middle)
        over = demand > 1.0
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    q, option, _ = _given_multiplier(problem, price, high)
    return q, option


def _given_multiplier(
    problem: Problem, price: Floats, multiplier: Floats
) -> tuple[Floats, Ints, Floats]:
    """Minimiser of noise/q + drift + multiplier price q, and the bandwidth it takes."""
    paid = multiplier[:, None, None] * price
    q = np.clip(np.sqrt(problem.noise / paid), problem.floor[:, None], 1.0)
    option = (problem.noise / q + problem.drift + paid * q).argmin(axis=2)
    pick = option[:, :, None]
    q = np.take_along_axis(q, pick, 2)[:, :, 0]
    demand = (q * np.take_along_axis(price, pick, 2)[:, :, 0]).sum(axis=1)
    return q, option, demand
