"""Over-selection: more clients are asked than are waited for (Bonawitz et al., arXiv 1902.01046).

Of ceil(f m) available clients, drawn uniformly, the first m to arrive end the round (or
`server.deadline` does), and the others are dropped, as in FedScale (arXiv 2105.11367). Updates
weigh by their data, a_n over the sum of those that arrived. Biased, twice: the fast arrive first,
so data of slow devices hardly count, and a mean over those who came is not the mean over all.
Of several that arrive as the m-th at the same instant, all count.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.scenario.baselines import Deadline
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank
from wirelessfl.strategy.observation import Floats, Ints, Observation, Plan
from wirelessfl.strategy.round_model import expected_round_s
from wirelessfl.strategy.sampling import without_replacement


class DeadlineStrategy(Strategy):
    """See the module. The predicted round time is that of waiting for all who are selected."""

    def __init__(self, config: Deadline) -> None:
        self.bandwidth = config.bandwidth
        self._config = config

    def plan(self, observation: Observation) -> Plan:
        """See `Strategy.plan`."""
        participation = self._config.participation
        candidates = observation.available & observation.included
        asked = math.ceil(round(participation.over_select * participation.expected, 9))
        count = int(candidates.sum())
        q = np.where(candidates, min(asked, count) / max(count, 1), 0.0)
        k = fixed_rank(self._config.adapter, observation)
        return Plan(
            q=q,
            k=k,
            server_step=self._config.server.step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
            enough=participation.expected,
        )

    def select(self, plan: Plan, uniforms: Floats) -> Ints:
        """A fixed number of clients, all with the same chance. [clients]"""
        return without_replacement(plan.q, uniforms)

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / sum of a over those that arrived. [m]"""
        return np.asarray(observation.weights[clients] / observation.weights[clients].sum())
