"""What a server has learnt of its clients, and what it makes of a new observation.

Reports say what a client believes of itself now; rounds that are over say how it turned out. The
corrected observation has the rates that transfers are expected to take (`report_memory`) and
compute times scaled by how long clients really needed (jitter, queues, optimistic data sheets);
besides, the server keeps how often each client's update arrived. `reconstructed`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wirelessfl.strategy.credibility import RunningMeans
from wirelessfl.strategy.estimator import NoiseEstimator, TrueNoise
from wirelessfl.strategy.observation import Floats, Observation, RoundFeedback
from wirelessfl.strategy.report_memory import ReportMemory
from wirelessfl.strategy.step_limit import StepLimit

# Selections of the population that count for each client's own survival, beside its own.
PSEUDO_SELECTIONS = 10.0
# Weight of the past in the ratio of measured to reported compute time.
MEMORY = 0.9


class Knowledge:
    """Estimates of every client, sharpened by each round.

    Args:
        clients: How many there are.
        step_max: The largest server step that full participation may get.
        plain: Whether clients' own mean norms are taken as they are, and so are their reports.

    Attributes:
        noise: Update norms, and the noise-to-signal ratio they make; an oracle's, if it is shown.
    """

    def __init__(self, clients: int, step_max: float, plain: bool) -> None:
        self._plain = plain
        self._measured = NoiseEstimator(clients, shrunk=not plain)
        self._limit = StepLimit(step_max)
        self.noise: NoiseEstimator | TrueNoise = self._measured
        self._uplink, self._downlink = ReportMemory(clients), ReportMemory(clients)
        self._compute = RunningMeans(clients, prior=1.0, memory=MEMORY)
        self._asked, self._arrived = np.zeros((2, clients))
        self._last: Observation | None = None

    def correct(self, observation: Observation, now: bool) -> Observation:
        """Takes in an observation, and gives it back as experience corrects it.

        Args:
            observation: What was reported.
            now: Whether rates are forecast for this round, or else for many rounds ahead.
        """
        self._last = observation
        if observation.true_updates is not None:
            self.noise = TrueNoise(observation.true_updates())
        if self._plain:
            return observation
        up, down = observation.uplink_rate_bps, observation.downlink_rate_bps
        self._uplink.observe(up)
        self._downlink.observe(down)
        slower, _ = self._compute.estimates()
        return replace(
            observation,
            uplink_rate_of=self._uplink.forecast_bps(up, now).__getitem__,
            downlink_rate_of=self._downlink.forecast_bps(down, now).__getitem__,
            compute_fixed_s=observation.compute_fixed_s * slower,
            compute_per_rank_s=observation.compute_per_rank_s * slower,
        )

    def learn(self, feedback: RoundFeedback, step: float) -> None:
        """Take in a finished round, and the server step that followed."""
        assert self._last is not None, "a round begins with an observation"
        cross = self._measured.observe(feedback, self._last.rank)
        if (level := self._measured.level) > 0:
            signal = cross + self._measured.own(self._last.weights)
            squared, product = feedback.update_squared_norm, feedback.update_product
            self._limit.observe(signal, squared, product, step, level)
        clients = feedback.clients
        reported_s = self._last.compute_s(clients, feedback.k)
        works = reported_s > 0
        self._compute.observe(clients[works], feedback.compute_s[works] / reported_s[works])
        np.add.at(self._asked, feedback.asked, 1.0)  # a stream may have a client more than once
        np.add.at(self._arrived, clients, 1.0)

    @property
    def measured(self) -> bool:
        """Whether any update has shown something."""
        return self._measured.level > 0

    @property
    def survival(self) -> Floats:
        """Probability that a participant's update arrives; 1 while none was lost. [clients]"""
        if self._plain:
            return np.ones_like(self._asked)
        pooled = (1.0 + self._arrived.sum()) / (1.0 + self._asked.sum())
        expected = PSEUDO_SELECTIONS * pooled + self._arrived
        return np.asarray(expected / (PSEUDO_SELECTIONS + self._asked), np.float64)

    def largest_step(self, weights: Floats) -> float:
        """The server step that full participation would get, for shares a_n."""
        return self._limit.largest(self._measured.signal(weights))
