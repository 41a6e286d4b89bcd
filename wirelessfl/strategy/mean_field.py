"""The mean-field planner: a one-dimensional search over the round time, the rest in closed form.

`reconstructed` from the summary of arXiv 2505.23555. The mean-field round time T fills the uplink
on average: sum q_n t_n/(T - tau_n - delay_n) = 1. Given T the rest is separable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wirelessfl.randomness import generator
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.uplink_time import EqualFinish

TIME_GRID = 16
ZOOMS = 3
BISECTIONS = 24
# Of more clients a sample is searched, which stands for all of its cell.
SAMPLE = 1000


def mean_field(problem: Problem) -> tuple[Floats, Ints]:
    """One-dimensional search over the round time.

    With price b_n = t_n/(T - tau_n) and one multiplier for each cell, q_n =
    clip(sqrt(noise_n/(multiplier b_n)), floor_n, ceiling_n), k_n by enumeration. T > max tau_n
    always, so T overestimates the round where slow devices seldom take part. Several cells fill
    their uplinks in the same T. A cap on the number of participants, and budgets in a round of
    another length than T, are kept by moving the plan within them at the end.

    Returns:
        q [clients] and the option of each client [clients].
    """
    model = problem.model
    clients, options = problem.noise.shape
    cells = [_Cell(own, *_sample(own)) for own in model.cells]
    q, option = problem.floor, np.zeros(clients, dtype=np.int64)
    for _ in range(2):  # the wait for downloads depends on q: once from the floor, once refined
        tau = np.stack([model.tau_s(q, np.full(clients, o)) for o in range(options)], axis=1)
        band = np.empty_like(tau)
        for own in model.cells:
            level = int(model.uploads.level(q[own].sum()))
            tau[own] += model.uploads.delay_s[level, own]
            band[own] = model.uploads.band_s[level, own]
        time, multipliers = _search(problem, cells, tau, band)
        ceiling = problem.ceiling(model.overhead_s + time)
        q, option = np.empty(clients), np.empty(clients, dtype=np.int64)
        for own, multiplier in zip(model.cells, multipliers, strict=True):
            paid = multiplier * _price(time, tau[own], band[own])
            q[own], option[own], _ = problem.only(own).best(paid, 1.0, ceiling[own])
    return problem.affordable(*problem.within(q, option))


@dataclass(frozen=True)
class _Cell:
    """A cell's clients, and those of them that are searched, each for `scale` of them."""

    own: Ints
    sample: Ints
    scale: float


def _sample(own: Ints) -> tuple[Ints, float]:
    if len(own) <= SAMPLE:
        return own, 1.0
    chosen = generator(0, "planner-sample", len(own)).choice(len(own), SAMPLE, replace=False)
    return own[chosen], len(own) / SAMPLE


def _search(
    problem: Problem, cells: list[_Cell], tau_s: Floats, band_s: Floats
) -> tuple[float, Floats]:
    """The round time of least cost, and the multiplier of each cell there."""

    def ends(q: Floats, option: int) -> float:
        return max(
            mean_field_s(c.scale * q[c.sample], tau_s[c.sample, option], band_s[c.sample, option])
            for c in cells
        )

    low, high = ends(problem.floor, 0), ends(np.ones(len(tau_s)), -1)
    for _ in range(ZOOMS):
        times = np.geomspace(low, max(low, high), TIME_GRID)
        rounds, multipliers = np.full(TIME_GRID, problem.constant), []
        for c in cells:
            part = problem.only(c.sample)
            found, lost = _given_time(part, c.scale, tau_s[c.sample], band_s[c.sample], times)
            multipliers.append(found)
            rounds += c.scale * lost
        best = int(np.argmin((problem.model.overhead_s + times) ** problem.haste * rounds))
        low, high = times[max(best - 1, 0)], times[min(best + 1, TIME_GRID - 1)]
    return float(times[best]), np.array(multipliers)[:, best]


def _given_time(
    part: Problem, scale: float, tau_s: Floats, band_s: Floats, times: Floats
) -> tuple[Floats, Floats]:
    """Multiplier for each round time in one cell, and the rounds lost to its plan. [times]

    The demand sum q b falls as the multiplier rises; its logarithm is bisected.
    """
    price = _price(times[:, None, None], tau_s, band_s)
    round_s = part.model.overhead_s + times
    ceiling = np.stack([part.ceiling(t) for t in round_s]) if part.budgets else np.ones(())
    finite = np.isfinite(price)
    guess = np.where(finite, part.noise / np.where(finite, price, 1.0), np.nan)
    low = np.full(len(times), 0.5 * np.nanmin(guess))
    high = np.full(len(times), 2.0 * np.nanmax(guess / part.floor[:, None] ** 2))
    for _ in range(BISECTIONS):
        middle = np.sqrt(low * high)
        _, _, demand = part.best(middle[:, None, None] * price, 1.0, ceiling)
        over = scale * demand.sum(axis=1) > middle
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    q, option, _ = part.best(high[:, None, None] * price, 1.0, ceiling)
    rows = np.arange(len(tau_s))
    return high, (part.noise[rows, option] / q + part.drift[rows, option]).sum(axis=1)


def _price(time_s: Floats | float, tau_s: Floats, band_s: Floats) -> Floats:
    """Share of the uplink that an upload holds which ends at `time_s`; infinite if it cannot."""
    gap = time_s - tau_s
    return np.where(gap > 0, band_s / np.where(gap > 0, gap, 1.0), np.inf)


def mean_field_s(q: Floats, tau_s: Floats, upload_s: Floats) -> float:
    """Root T of sum q_n t_n/(T - tau_n) = 1."""
    return float(EqualFinish().durations_s(q[:, None], tau_s, upload_s)[0])
