"""Guided selection in the style of Oort (Lai et al., OSDI 2021; arXiv 2010.06081, Algorithm 1).

A client's utility is what its data promise times a penalty if it is slow,

    util_n = (U_n + sqrt(0.1 log R / L_n)) (T / t_n)^(alpha [t_n > T]),   U_n = |B_n| loss_n,

with R the round, L_n the last one it was in, t_n its time and T the pacer's. U_n stands for Oort's
|B_n| sqrt(mean of squared sample losses): clients send the mean loss of their local training, so
the spread within a client is not seen. U_n is clipped at its 95% quantile and scaled to [0, 1], as
in the authors' code. A share of each round, at first nearly all, goes to clients never heard from,
faster ones likelier; the rest to clients of at least 95% of the utility that would make the cut,
with chances by utility. T is a quantile of the t_n, which grows when utility has declined over a
window of rounds. Data shares a_n, divided by their sum, are the weights. Biased towards high loss
and fast devices.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.scenario.baselines import Oort
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank, proportional_q
from wirelessfl.strategy.client_time import client_time_s
from wirelessfl.strategy.observation import Bools, Floats, Ints, Observation, Plan, RoundFeedback
from wirelessfl.strategy.round_model import expected_round_s
from wirelessfl.strategy.sampling import without_replacement

CLIP, CUT = 0.95, 0.95
LEAST_SCORE = 1e-6  # so that the client of least utility is not impossible to draw


class OortStrategy(Strategy):
    """See the module. Times are measured (compute and upload), before that predicted."""

    def __init__(self, config: Oort, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self._config = config
        self._shares = np.zeros(clients)
        self._utility = np.zeros(clients)  # U_n
        self._time_s = np.zeros(clients)
        self._last = np.zeros(clients, dtype=np.int64)  # L_n, counted from 1
        self._taken = np.zeros(clients, dtype=np.int64)  # rounds in which it was heard from
        self._pace = config.participation.pace
        self._history: list[float] = []  # sum of U_n of each round

    def plan(self, observation: Observation) -> Plan:
        """See `Strategy.plan`."""
        participation, self._shares = self._config.participation, observation.weights
        k = fixed_rank(self._config.adapter, observation)
        candidates = observation.available & observation.included
        number = min(participation.expected, int(candidates.sum()))
        new = candidates & (self._taken == 0)
        known = self._not_blacklisted(candidates & (self._taken > 0), number - int(new.sum()))
        decayed = participation.exploration * participation.exploration_decay**observation.round
        wanted = round(max(decayed, participation.exploration_min) * number)
        explored = min(int(new.sum()), max(wanted, number - int(known.sum())))
        predicted_s = client_time_s(observation, k, number)
        time_s = np.where(self._taken > 0, self._time_s, predicted_s)
        q = np.zeros(observation.clients)
        if explored:
            q[new] = proportional_q(np.maximum(1.0 / time_s[new], LEAST_SCORE), explored)
        if exploited := min(number - explored, int(known.sum())):
            scores = self._scores(known, time_s, observation)
            cut = np.where(scores >= CUT * np.sort(scores)[-exploited], scores, 0.0)
            chosen = np.flatnonzero(cut)
            q[chosen] = proportional_q(cut[chosen], exploited)
        return Plan(
            q=q,
            k=k,
            server_step=self._config.server.step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
        )

    def _scores(self, known: Bools, time_s: Floats, observation: Observation) -> Floats:
        """Utility of the clients that are `known`, 0 of the others. [clients]"""
        own = self._utility[known]
        own = np.minimum(own, np.quantile(own, CLIP))
        own = (own - own.min()) / max(np.ptp(own), LEAST_SCORE)
        own += np.sqrt(0.1 * np.log(observation.round + 1) / self._last[known])
        every_s = time_s[observation.included]
        preferred_s = np.quantile(every_s, self._pace, method="inverted_cdf")
        slowness = np.maximum(time_s[known] / preferred_s, 1.0)
        scores = np.zeros(len(known))
        scores[known] = np.maximum(
            own * slowness**-self._config.participation.slow_penalty, LEAST_SCORE
        )
        return scores

    def _not_blacklisted(self, known: Bools, needed: int) -> Bools:
        """Those who have not done their share yet; all, if they would be too few. [clients]"""
        limit = self._config.participation.blacklist_after
        fresh = known if limit is None else known & (self._taken < limit)
        return fresh if fresh.sum() >= needed else known

    def select(self, plan: Plan, uniforms: Floats) -> Ints:
        """A fixed number of clients with the planned chances. [clients]"""
        return without_replacement(plan.q, uniforms)

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / sum of a over those that arrived. [m]"""
        return np.asarray(observation.weights[clients] / observation.weights[clients].sum())

    def observe(self, feedback: RoundFeedback) -> None:
        """Utility and time of those who came, and the pacer."""
        came = feedback.clients
        self._utility[came] = self._shares[came] * feedback.losses
        self._time_s[came] = feedback.compute_s + feedback.upload_s
        self._last[came] = feedback.round + 1
        self._taken[came] += 1
        window = self._config.participation.pacer_rounds
        self._history.append(float(self._utility[came].sum()))
        if len(self._history) == 2 * window:
            before, now = sum(self._history[:window]), sum(self._history[window:])
            if now < before:
                self._pace = min(1.0, self._pace + self._config.participation.pacer_step)
            del self._history[:window]
