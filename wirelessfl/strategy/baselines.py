"""Strategies that do not learn: full, uniform and data-proportional participation.

Independent participation with an expected number of clients m: sum_n q_n = m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.observation import Floats, Ints, Observation, Plan
from wirelessfl.strategy.round_model import expected_round_s

TIERS = (0.25, 0.5, 1.0)
"""Shares of the adapter's ranks that tiers of devices train by default."""


def proportional_q(scores: Floats, expected: float) -> Floats:
    """Probabilities proportional to positive `scores`, at most 1, that sum to `expected`.

    q_n = min(1, c * score_n); c is found by water-filling: with the clients sorted by falling
    score, the first j are at 1 and the others share expected - j.
    """
    clients = len(scores)
    if expected == clients:
        return np.ones(clients)
    falling = np.sort(scores)[::-1]
    tail = np.cumsum(falling[::-1])[::-1]
    full = np.arange(clients)
    fits = (full < expected) & ((expected - full) * falling <= tail)
    j = int(np.argmax(fits))
    return np.asarray(np.minimum(1.0, scores * ((expected - j) / tail[j])))


def tiered_rank(observation: Observation, ratios: tuple[float, ...]) -> Ints:
    """Ranks by the compute time that devices report for all ranks, slowest tier first. [clients]

    With T tiers a client is in tier ceil(T f), f being the share of the included clients that are
    not faster: tiers of equal size, and devices that are alike are in the same one.
    """
    time_s = observation.compute_fixed_s + observation.rank * observation.compute_per_rank_s
    known = np.sort(time_s[observation.included])
    not_faster = 1.0 - np.searchsorted(known, time_s, side="left") / len(known)
    tier = np.ceil(len(ratios) * not_faster).astype(np.int64) - 1
    ranks = np.maximum(1, np.round(np.array(ratios) * observation.rank)).astype(np.int64)
    return np.asarray(ranks[np.maximum(tier, 0)])


def fixed_rank(adapter: FixedAdapter, observation: Observation) -> Ints:
    """Ranks without a planner: all, `adapter.rank` or by tiers, at most `max_rank`. [clients]

    Raises:
        InputError: `adapter.rank` exceeds the adapter's rank.
    """
    if adapter.sketch == "tiers":
        return np.minimum(tiered_rank(observation, adapter.ratios or TIERS), observation.max_rank)
    rank = observation.rank if adapter.rank is None else adapter.rank
    if rank > observation.rank:
        raise InputError(
            f"strategy.adapter.rank is {rank}, but the adapter has rank {observation.rank}"
        )
    return np.minimum(rank, observation.max_rank)


@dataclass(frozen=True)
class FixedParticipation(Strategy):
    """Participation that never changes: everyone, or m clients expected, alike or by their data.

    Attributes:
        by_data: Whether q_n is proportional to the client's data, or the same for all.
        expected: Expected participants m, if that many clients can hold the model; as many as there
            are for full participation.
        adapter: Ranks trained and sent.
        step: Server step.
    """

    by_data: bool
    expected: float
    adapter: FixedAdapter
    bandwidth: SharingConfig
    step: float

    def plan(self, observation: Observation) -> Plan:
        """The same q, k and step every round."""
        included = observation.included
        weights = observation.weights[included]
        scores = weights if self.by_data else np.ones_like(weights)
        q = np.zeros(observation.clients)
        q[included] = proportional_q(scores, min(self.expected, len(weights)))
        k = fixed_rank(self.adapter, observation)
        return Plan(
            q=q,
            k=k,
            server_step=self.step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
        )
