"""A strategy: what the server decides each round, in at most four overrides.

By default participation is independent, client n with probability q_n; the aggregation weight
a_n/q_n then makes the expected update sum_n a_n delta_n, whatever q is. The server strikes out
those selected that are not available, and the weights stay a_n/q_n: given who is available, the
expected update is the sum of a_n delta_n over them, so over a day it leans towards clients that are
often on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.observation import (
    Floats,
    Ints,
    Observation,
    Plan,
    RoundFeedback,
)


class Strategy(ABC):
    """Base of every strategy.

    The server calls, in order and once a round: `plan` and `select`, and when the round is over
    `weights` and `observe`. What a strategy learns between rounds goes through `state` and
    `restore`.

    Attributes:
        bandwidth: How the uplink is shared among the participants.
        oracle: Whether it is shown everybody's true updates, which no server can know.
    """

    bandwidth: SharingConfig
    oracle: bool = False

    @abstractmethod
    def plan(self, observation: Observation) -> Plan:
        """Participation, ranks and server step of the round about to start."""

    def select(self, plan: Plan, uniforms: Floats) -> Ints:
        """How often each client is drawn, given one uniform draw on (0, 1) a client. [clients]

        Who is drawn at all takes part, once.
        """
        return (uniforms < plan.q).astype(np.int64)

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """Aggregation weight of the update of each client whose update arrived. [m]

        Args:
            plan: What `plan` returned for the round.
            observation: What it was given.
            clients: Whose updates arrived. [m]
            counts: How often each of them had been drawn. [m]
        """
        return counts * observation.weights[clients] / plan.q[clients]

    def observe(self, feedback: RoundFeedback) -> None:  # noqa: B027 - most strategies do not learn
        """Learn from a finished round."""
