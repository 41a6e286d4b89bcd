"""Participation by what a client's update weighs in the aggregate: q_n ~ a_n G_n.

Among independent designs of the same expected size it minimises the variance that participation
adds, sum_n a_n^2 G_n^2 (1/q_n - 1) (Chen, Horvath and Richtarik, arXiv 2010.13723), where G_n^2 is
client n's mean squared update. Times do not matter to it.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.scenario.baselines import Statistical
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank, proportional_q
from wirelessfl.strategy.estimator import NoiseEstimator
from wirelessfl.strategy.observation import Observation, Plan, RoundFeedback
from wirelessfl.strategy.round_model import expected_round_s


class StatisticalStrategy(Strategy):
    """Independent participation, m clients expected, likelier the more their updates weigh.

    G_n comes from the updates that arrived; who was never heard of counts as average.
    """

    def __init__(self, config: Statistical, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self._config = config
        self._norms = NoiseEstimator(clients)
        self._rank = 0

    def plan(self, observation: Observation) -> Plan:
        """See `Strategy.plan`."""
        self._rank = observation.rank
        included = observation.included
        scores = (observation.weights * np.sqrt(self._norms.relative))[included]
        q = np.zeros(observation.clients)
        q[included] = proportional_q(scores, min(self._config.participation.expected, len(scores)))
        k = fixed_rank(self._config.adapter, observation)
        return Plan(
            q=q,
            k=k,
            server_step=self._config.server.step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
        )

    def observe(self, feedback: RoundFeedback) -> None:
        """Sharpen the estimates of G_n."""
        self._norms.observe(feedback, self._rank)
