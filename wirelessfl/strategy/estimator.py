"""Noise-to-signal ratio of the aggregated update, measured from the updates that arrive.

With independent participation and rank sketching, pi_n = q_n k_n / gamma,

    E||U||^2 = S + sum_n a_n^2 (1/pi_n - 1) G_n^2,   NSR = E||U||^2 / S - 1,

where G_n^2 is client n's mean squared update at full rank (E||D_n||^2 = G_n^2 gamma/k_n) and S is
E||U||^2 under full participation at full rank: the noise-scale argument of McCandlish et al. 2018
(arXiv 1812.06162) applied to participation. `reconstructed`; the estimators are ours:

* G_n^2 is kept relative to the population, g_n = G_n^2 / level, and drawn towards 1 by its
  credibility, so an unseen client counts as average and old values do not age when all shrink.
* S = cross + sum a_n^2 G_n^2, with cross = sum over pairs of a_n a_m <D_n, D_m>. Every round gives
  an unbiased sample of it, ||U||^2 - sum w_n^2 ||D_n||^2, also one to which nobody came: then U is
  what the server remembers of its clients, if it does. Its average is floored at 0, the value
  for clients whose updates are unrelated; then NSR cannot exceed max_n 1/pi_n - 1.
* Standard errors of g_n and of the average of cross make one of NSR, to first order.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.credibility import RunningMeans
from wirelessfl.strategy.observation import Floats, RoundFeedback, TrueUpdates

# Weight of the past in the running averages: a memory of about ten rounds.
MEMORY = 0.9


class NoiseEstimator:
    """Running estimate of the ingredients of the noise-to-signal ratio."""

    def __init__(self, clients: int, shrunk: bool = True) -> None:
        self._norms = RunningMeans(clients, prior=1.0, memory=MEMORY, shrunk=shrunk)
        self._level = 0.0
        self._cross, self._cross_squared = 0.0, 0.0
        self._rounds = 0.0

    def observe(self, feedback: RoundFeedback, rank: int) -> float:
        """Take in one round; `rank` is the adapter's full rank.

        Returns:
            The round's sample of cross, relative to the level; 0 before there is one.
        """
        self._rounds = MEMORY * self._rounds + 1.0
        clients = feedback.clients
        if len(clients):
            squared = feedback.squared_norms * feedback.k / rank
            level = float(np.mean(squared / self.relative[clients]))
            if self._level > 0:
                level = self._level + (level - self._level) / self._rounds
            self._level = level
            if level > 0:
                self._norms.observe(clients, squared / level)
        if self._level == 0:
            return 0.0
        noise = float(np.sum(feedback.weights**2 * feedback.squared_norms))
        cross = (feedback.update_squared_norm - noise) / self._level
        self._cross += (cross - self._cross) / self._rounds
        self._cross_squared += (cross**2 - self._cross_squared) / self._rounds
        return cross

    @property
    def level(self) -> float:
        """What squared updates at full rank are measured by."""
        return self._level

    def own(self, weights: Floats) -> float:
        """sum a_n^2 G_n^2 relative to the level."""
        return float(weights**2 @ self.relative)

    def signal(self, weights: Floats) -> float:
        """S relative to the level."""
        return max(self._cross, 0.0) + self.own(weights)

    @property
    def relative(self) -> Floats:
        """g_n: squared update of each client relative to the population's level. [clients]"""
        return self._norms.estimates()[0]

    def noise(self, weights: Floats) -> Floats:
        """a_n^2 G_n^2 / S: NSR = sum_n noise_n (1/pi_n - 1), for shares a_n. [clients]"""
        own = weights**2 * self.relative
        return np.asarray(own / (max(self._cross, 0.0) + own.sum()), dtype=np.float64)

    def error(self, weights: Floats, pi: Floats) -> float:
        """Standard error of NSR for pi_n = q_n k_n / gamma; 0 leaves a client out. [clients]"""
        relative, error = self._norms.estimates()
        own, excess = weights**2 * relative, np.zeros_like(pi)
        np.divide(1.0, pi, out=excess, where=pi > 0)
        excess[pi > 0] -= 1.0
        signal = max(self._cross, 0.0) + own.sum()
        ratio = own @ excess / signal
        by_norms = weights**2 * (excess - ratio) * error / signal
        variance = max(self._cross_squared - self._cross**2, 0.0) / max(self._rounds - 1.0, 1.0)
        by_signal = ratio * np.sqrt(variance) / signal
        return float(np.sqrt(np.sum(by_norms**2) + by_signal**2))


def unrelated(weights: Floats) -> Floats:
    """`NoiseEstimator.noise` of updates that are equally long and have nothing in common.

    What is assumed before anything was measured. [clients]
    """
    return np.asarray(weights**2 / np.sum(weights**2), dtype=np.float64)


class TrueNoise:
    """The noise as an oracle sees it: everybody's updates of this very round, nothing estimated.

    It answers the questions of `NoiseEstimator`, and learns nothing.
    """

    def __init__(self, true: TrueUpdates) -> None:
        self._true = true

    def noise(self, weights: Floats) -> Floats:
        """See `NoiseEstimator.noise`. [clients]"""
        own = weights**2 * self._true.squared_norms
        return np.asarray(own / self._true.total_squared_norm, dtype=np.float64)

    def error(self, weights: Floats, pi: Floats) -> float:
        """See `NoiseEstimator.error`: none."""
        return 0.0
