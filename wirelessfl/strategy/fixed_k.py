"""K draws with replacement, with odds that weigh update norms against times (Luo et al.).

Formulas in `wirelessfl.strategy.luo`. Client n's update weighs a_n / (K p_n) for each time it is
drawn: unbiased. Two pilots come first, on the clock: uniform draws, then draws by data from the
first model anew; the run goes on from the second's model. Then the odds follow every round from the
newest reports and the norms so far, where the paper measures both once. (`reconstructed`)
"""

from __future__ import annotations

import numpy as np

from wirelessfl.scenario.baselines import FixedK
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank
from wirelessfl.strategy.client_time import client_time_s
from wirelessfl.strategy.estimator import NoiseEstimator
from wirelessfl.strategy.luo import optimal_odds, rounds_ratio, sampling_share
from wirelessfl.strategy.observation import Floats, Ints, Observation, Plan, RoundFeedback
from wirelessfl.strategy.round_model import expected_round_s
from wirelessfl.strategy.sampling import with_replacement


class FixedKStrategy(Strategy):
    """See the module; who reports no rate has no chance while it lasts."""

    def __init__(self, config: FixedK, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self._config = config
        self._norms = NoiseEstimator(clients)
        self._losses: tuple[list[float], list[float]] = ([], [])  # of the two pilots
        self._rank = 0

    def plan(self, observation: Observation) -> Plan:
        """Pilot odds, or the best by what is known."""
        self._rank = observation.rank
        k = fixed_rank(self._config.adapter, observation)
        pilot_rounds = self._config.participation.pilot_rounds
        stage = observation.round // pilot_rounds
        odds = np.zeros(observation.clients)
        rows = np.flatnonzero(observation.included & observation.reachable())
        if rows.size:
            odds[rows] = self._odds(stage, observation.only(rows), k[rows], rows)
        draws = self._config.participation.expected
        q = 1.0 - (1.0 - odds) ** draws
        return Plan(
            q=q,
            k=k,
            server_step=self._config.server.step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
            phase="pilot" if stage < 2 else "planned",
            draws=draws * odds,
            restart=observation.round == pilot_rounds,
        )

    def _odds(self, stage: int, seen: Observation, k: Ints, rows: Ints) -> Floats:
        """p of the clients at `rows`, who are those in `seen`."""
        shares = seen.weights / seen.weights.sum()
        if stage == 0:
            return np.full(len(rows), 1.0 / len(rows))
        if stage == 1:
            return np.asarray(shares)
        variance = shares**2 * self._norms.relative[rows]
        uniform = len(rows) * float(variance.sum())  # V of uniform draws
        by_data = float(np.sum(variance / shares))
        share = sampling_share(rounds_ratio(*self._losses), by_data / uniform)
        time_s = client_time_s(seen, k, self._config.participation.expected)
        return optimal_odds(variance, time_s, uniform * (1.0 - share) / share)

    def select(self, plan: Plan, uniforms: Floats) -> Ints:
        """See `Strategy.select`."""
        assert plan.draws is not None
        return with_replacement(plan.draws, uniforms)

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / (K p_n) for each time that a client was drawn. [m]"""
        assert plan.draws is not None
        return np.asarray(counts * observation.weights[clients] / plan.draws[clients])

    def observe(self, feedback: RoundFeedback) -> None:
        """Norms, and the loss of the pilot's model as the round began."""
        self._norms.observe(feedback, self._rank)
        stage = feedback.round // self._config.participation.pilot_rounds
        if stage < 2 and len(feedback.clients):
            self._losses[stage].append(float(np.average(feedback.losses, weights=feedback.weights)))
