"""Noise-to-signal ratio of the aggregated update, measured from the updates that arrive.

With independent participation and rank sketching, pi_n = q_n k_n / gamma,

    E||U||^2 = S + sum_n a_n^2 (1/pi_n - 1) G_n^2,   NSR = E||U||^2 / S - 1,

where G_n^2 is client n's mean squared update at full rank (E||D_n||^2 = G_n^2 gamma/k_n) and S is
E||U||^2 under full participation at full rank: the noise-scale argument of McCandlish et al. 2018
(arXiv 1812.06162) applied to participation. `reconstructed`; the estimators are ours:

* G_n^2 is kept relative to the population, g_n = G_n^2 / level with one pseudo-observation g_n = 1,
  so an unseen client counts as average and old values do not age when all updates shrink.
* S = cross + sum a_n^2 G_n^2, with cross = sum over pairs of a_n a_m <D_n, D_m>. Every round gives
  an unbiased sample of it, ||U||^2 - sum w_n^2 ||D_n||^2. Its average is floored at 0, the value
  for clients whose updates are unrelated; then NSR cannot exceed max_n 1/pi_n - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wirelessfl.strategy.observation import Floats, RoundFeedback

# Weight of the past in the running averages: a memory of about ten rounds.
MEMORY = 0.9


class NoiseEstimator:
    """Running estimate of the ingredients of the noise-to-signal ratio."""

    def __init__(self, clients: int) -> None:
        self._sum = np.ones(clients)
        self._count = np.ones(clients)
        self._level = 0.0
        self._cross = 0.0
        self._rounds = 0.0

    def observe(self, feedback: RoundFeedback, rank: int) -> None:
        """Take in one round; `rank` is the adapter's full rank."""
        self._rounds = MEMORY * self._rounds + 1.0
        rate = 1.0 / self._rounds
        clients = feedback.clients
        if not len(clients):
            self._cross *= 1.0 - rate
            return
        squared = feedback.squared_norms * feedback.k / rank
        level = float(np.mean(squared / self.relative[clients]))
        self._level = level if self._level == 0 else self._level + rate * (level - self._level)
        if self._level == 0:
            return
        self._sum[clients] = MEMORY * self._sum[clients] + squared / self._level
        self._count[clients] = MEMORY * self._count[clients] + 1.0
        noise = float(np.sum(feedback.weights**2 * feedback.squared_norms))
        cross = (feedback.update_squared_norm - noise) / self._level
        self._cross += rate * (cross - self._cross)

    @property
    def relative(self) -> Floats:
        """g_n: squared update of each client relative to the population's level. [clients]"""
        return np.asarray(self._sum / self._count, dtype=np.float64)

    def noise(self, weights: Floats) -> Floats:
        """a_n^2 G_n^2 / S: NSR = sum_n noise_n (1/pi_n - 1), for shares a_n. [clients]"""
        own = weights**2 * self.relative
        return np.asarray(own / (max(self._cross, 0.0) + own.sum()), dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """JSON values that `restore` takes."""
        return {
            "sum": self._sum.tolist(),
            "count": self._count.tolist(),
            "level": self._level,
            "cross": self._cross,
            "rounds": self._rounds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._sum = np.array(state["sum"])
        self._count = np.array(state["count"])
        self._level = state["level"]
        self._cross = state["cross"]
        self._rounds = state["rounds"]
