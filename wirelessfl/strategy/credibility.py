"""Running means of many clients, each drawn towards the population's by as much as it deserves.

A client heard from c_n times has mean x_n; the population has mean m. The estimate is

    m + z_n (x_n - m),   z_n = c_n / (c_n + K),   K = variance within clients / variance between,

the best linear estimate of the client's true mean (Buehlmann and Straub 1970), with both variances
estimated from the same numbers. A client never heard from counts as average. Old values fade, so
that c_n stays below 1 / (1 - memory).
"""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.observation import Floats, Ints

# Bounds of K: never trust one value like twenty, never need more than twenty to be believed.
FIRMEST, SOFTEST = 0.05, 20.0


class RunningMeans:
    """Discounted sums of what was measured of each client.

    Args:
        clients: How many there are.
        prior: What is believed of the population before anything is measured, as one value.
        memory: Weight that a client's values keep when it is heard from again; 1 forgets nothing.
        shrunk: Whether estimates are drawn towards the population's; else each client's own mean
            is believed, and the population's of those never heard from.
    """

    def __init__(self, clients: int, prior: float, memory: float, shrunk: bool = True) -> None:
        self._prior, self._memory, self._shrunk = prior, memory, shrunk
        self._count, self._sum, self._squares = np.zeros((3, clients))
        self._found: tuple[Floats, Floats] | None = None  # until the next value

    def observe(self, clients: Ints, values: Floats) -> None:
        """Take in one value of each of some clients. [m]"""
        self._found = None
        for sums, new in ((self._count, 1.0), (self._sum, values), (self._squares, values**2)):
            sums[clients] = self._memory * sums[clients] + new

    @property
    def heard(self) -> bool:
        """Whether anything was measured."""
        return bool(self._count.any())

    def estimates(self) -> tuple[Floats, Floats]:
        """Mean of each client, and its standard error. [clients] each."""
        if self._found is None:
            self._found = self._estimates()
        return self._found

    def _estimates(self) -> tuple[Floats, Floats]:
        count, seen = self._count, self._count > 0
        own = np.divide(self._sum, count, out=np.full_like(count, self._prior), where=seen)
        mean = (self._prior + self._sum.sum()) / (1.0 + count.sum())
        within, between = self._variances(own, mean)
        softness = np.clip(within / between, FIRMEST, SOFTEST) if between > 0 else SOFTEST
        trust = count / (count + softness)
        between = max(between, within / SOFTEST)
        if not self._shrunk:
            variance = np.divide(within, count, out=np.full_like(count, between), where=seen)
            return np.where(seen, own, mean), np.sqrt(variance)
        return mean + trust * (own - mean), np.sqrt(between * (1.0 - trust))

    def _variances(self, own: Floats, mean: float) -> tuple[float, float]:
        """Within clients and between them; equal where the values do not tell them apart."""
        count = self._count
        again = np.maximum(count - 1.0, 0.0).sum()
        total = count.sum()
        spread = float(np.sum(count * (own - mean) ** 2))
        if again <= 0.0 or total == count.max(initial=0.0):
            guess = spread / total if total else 0.0
            return guess, guess
        inside = np.maximum(self._squares - count * own**2, 0.0)
        within = float(inside[count > 1.0].sum() / again)
        groups = np.count_nonzero(count) - 1
        between = (spread - groups * within) / (total - np.sum(count**2) / total)
        return within, max(float(between), 0.0)
