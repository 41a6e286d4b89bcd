"""What channel reports say about the transfers of the round to come.

Reports of one client vary from round to round about its own mean, and part of the deviation lasts.
In logarithms, with mean m_n, variance s_n^2 and correlation c from one round to the next (a
first-order autoregression), a report x now foretells a rate r with

    E[1/r | x] = exp(-(m_n + c (x - m_n)) + (1 - c^2) s_n^2 / 2),

so the forecast is the rate that takes this long. Whoever plans for many rounds takes c = 0: whom
reports flatter today is not better tomorrow. `reconstructed`; exact for lognormal reports.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.observation import Floats

# Weight of the past: a memory of about twenty rounds, since clients may move.
MEMORY = 0.95
# The variance of a client counts as if this many of its reports had the population's.
PSEUDO_REPORTS = 5.0


class ReportMemory:
    """Mean, variance and persistence of the logarithm of reported rates."""

    def __init__(self, clients: int) -> None:
        self._count, self._mean, self._squares, self._last = np.zeros((4, clients))
        self._persisted, self._varied = 0.0, 0.0

    def observe(self, rate_bps: Floats) -> None:
        """Take in everybody's report of a round; 0 (no channel) is no report. [clients]"""
        heard = rate_bps > 0
        value = np.log(rate_bps, where=heard, out=np.zeros_like(rate_bps))
        past = heard & (self._count > 0)
        new = value - self._mean
        self._persisted = MEMORY * self._persisted + float(np.sum((new * self._last)[past]))
        self._varied = MEMORY * self._varied + float(np.sum(self._last[past] ** 2))
        self._count[heard] = MEMORY * self._count[heard] + 1.0
        self._mean[heard] += (new / np.maximum(self._count, 1.0))[heard]
        left = value - self._mean
        self._squares[heard] = MEMORY * self._squares[heard] + (new * left)[heard]
        self._last[heard] = left[heard]

    @property
    def persistence(self) -> float:
        """Correlation of a client's deviation with that of the round before, in [0, 1]."""
        return float(np.clip(self._persisted / self._varied, 0.0, 1.0)) if self._varied else 0.0

    @property
    def variance(self) -> Floats:
        """Variance of the logarithm of each client's reports. [clients]"""
        freedom = np.maximum(self._count - 1.0, 0.0)
        pooled = self._squares.sum() / max(freedom.sum(), 1.0)
        return np.asarray(
            (PSEUDO_REPORTS * pooled + self._squares) / (PSEUDO_REPORTS + freedom), np.float64
        )

    def forecast_bps(self, rate_bps: Floats, now: bool) -> Floats:
        """Rate that transfers will take as long as on average, given the reports of now.

        Args:
            rate_bps: Reports, already observed; whoever reports 0 stays at 0. [clients]
            now: Whether for this round, or else for many rounds ahead.
        """
        kept = self.persistence if now else 0.0
        value = self._mean + kept * self._last - (1.0 - kept**2) * self.variance / 2
        return np.where(rate_bps > 0, np.exp(value), 0.0)
