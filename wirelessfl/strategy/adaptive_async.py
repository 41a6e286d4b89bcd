"""Adaptive participation without rounds: clients come and go, and nobody is waited for.

What `adaptive` plans for rounds is planned here for a stream of updates (`flow_plan`): how many
clients are at work, who is sent out next and with which rank, how many updates make a model, and
the server step. There is no pilot: until updates have shown something they are taken as equally
long and unrelated, which asks for a small step, and what the first ones show sharpens the next
plan. The step is that of the law of rounds, with staleness as noise,

    step_max / (1 + NSR + DELAYED tau),     tau = mean time at work / time between model updates.

Updates weigh a_n over n's expected number among the K of a model, but at most `max_weight` times
the mean, and who is long at work comes less often than planned: biased against the slow, as FedBuff
is. How updates turn (`step_limit`) says less of the largest step here, as most of the next model's
updates began before the last: with `smoothness: measured`, step_max should be one that is bearable.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wirelessfl.scenario.asynchronous import AdaptiveAsync
from wirelessfl.strategy.adaptive import DRIFT, rank_options
from wirelessfl.strategy.asynchronous import Asynchronous
from wirelessfl.strategy.bound import bound_terms
from wirelessfl.strategy.estimator import unrelated
from wirelessfl.strategy.flow_plan import DELAYED, Flow, flow_plan, update_s
from wirelessfl.strategy.in_time import check_deadline, ranks_in_time
from wirelessfl.strategy.knowledge import Knowledge
from wirelessfl.strategy.observation import (
    AsyncPlan,
    Floats,
    Ints,
    Observation,
    Plan,
    RoundFeedback,
)
from wirelessfl.strategy.round_model import (
    SENDERS,
    compute_times,
    download_times,
    upload_times,
)
from wirelessfl.strategy.step_limit import BOLDEST

# Least time between two model updates, over the server's overhead.
OVERHEADS = 2.0
# Fewest updates that make a model: of a single one nothing shows how far updates agree.
FEWEST = 2
# A plan is renewed after so many expected intervals without a model update; with nobody to send
# out, the server looks for a channel this often.
RENEWAL, LOOK_S = 4.0, 1.0


class AdaptiveAsyncStrategy(Asynchronous):
    """See the module."""

    def __init__(self, config: AdaptiveAsync, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self._config = config
        self._knowledge = Knowledge(clients, config.server.step_max, plain=False)
        self._plan: AsyncPlan | None = None

    def plan(self, observation: Observation) -> AsyncPlan:
        """The plan of the next model update, for the channels of now.

        Who cannot be in time for the server's deadline even alone is not sent out.
        """
        adapter = self._config.adapter
        if observation.round == 0:
            check_deadline(observation, rank_options(adapter, observation)[:, 0])
        seen = self._knowledge.correct(observation, now=True)
        rows = np.flatnonzero(seen.reachable() & seen.included)
        noise = unrelated(seen.weights)
        if self._knowledge.measured:
            noise = self._knowledge.noise.noise(seen.weights)
        ranks = rank_options(adapter, seen.only(rows))
        in_time, ranks = ranks_in_time(seen.only(rows), ranks, seen.deadline_s)
        rows, ranks = rows[in_time], ranks[in_time]
        if not rows.size:
            self._plan = _nobody(seen)
            return self._plan
        flow = self._flow(seen.only(rows), ranks, noise[rows], rows)
        most = min(self._config.participation.concurrency_max or np.inf, seen.available.sum())
        found = flow_plan(flow, max(most, 1.0), seen.deadline_s)
        rate_hz, k = np.zeros(seen.clients), np.zeros(seen.clients, np.int64)
        rate_hz[rows] = found.rate_hz
        k[rows] = ranks[np.arange(len(rows)), found.option]
        self._plan = self._promise(seen, rate_hz, k, found.at_work, noise)
        return self._plan

    def _flow(self, seen: Observation, ranks: Ints, noise: Floats, rows: Ints) -> Flow:
        """What is to be planned, for clients that can be reached."""
        rho = seen.rank / ranks
        return Flow(
            download_s=download_times(seen, ranks),
            compute_s=compute_times(seen, ranks) + 2.0 * seen.latency_s[:, None],
            uploads=upload_times(seen, ranks, SENDERS),
            cell=seen.cell,
            weights=seen.weights,
            noise=noise[:, None] * rho / self._knowledge.survival[rows, None],
            drift=DRIFT * seen.weights[:, None] * (rho - 1.0),
            least_s=OVERHEADS * seen.server_overhead_s,
        )

    def _promise(
        self, seen: Observation, rate_hz: Floats, k: Ints, at_work: float, noise: Floats
    ) -> AsyncPlan:
        """The plan with so many at work: its buffer, step, and what is to be expected of it."""
        delay_s = at_work / rate_hz.sum()
        arriving_hz = rate_hz * self._knowledge.survival
        total_hz = arriving_hz.sum()
        planned_s = update_s(OVERHEADS * seen.server_overhead_s, delay_s)
        buffer = max(FEWEST, round(planned_s * total_hz))
        interval_s = max(buffer / total_hz, seen.server_overhead_s)
        q = buffer * rate_hz / total_hz
        arriving = buffer * arriving_hz / total_hz
        terms = bound_terms(arriving, k, seen.rank, seen.weights, noise, drift=DRIFT)
        noise_to_signal = max(terms.noise_to_signal, 0.0)
        stale = DELAYED * delay_s * total_hz / buffer
        server, ratio = self._config.server, 1.0 / (1.0 + noise_to_signal + stale)
        coupled = server.step_max * ratio
        if server.measures_smoothness:
            coupled = self._knowledge.largest_step(seen.weights) * min(ratio, BOLDEST)
        error = self._knowledge.noise.error(seen.weights, arriving * k / seen.rank)
        return AsyncPlan(
            q=q,
            k=k,
            odds=rate_hz,
            at_work=max(1, round(at_work)),
            buffer=buffer,
            renew_s=RENEWAL * interval_s,
            server_step=coupled if server.step == "coupled" else server.step,
            expected_round_s=interval_s,
            relative_rounds=1.0 + noise_to_signal + stale + terms.drift,
            noise_to_signal=noise_to_signal,
            noise_to_signal_error=error if self._knowledge.measured else np.nan,
        )

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / (q_n s_n), at most `max_weight` times the mean weight 1/K. [m]"""
        assert isinstance(plan, AsyncPlan)
        arriving = plan.q[clients] * self._knowledge.survival[clients]
        largest = self._config.participation.max_weight / plan.buffer
        return np.asarray(np.minimum(counts * observation.weights[clients] / arriving, largest))

    def observe(self, feedback: RoundFeedback) -> None:
        """Sharpen the estimates.

        Of K updates drawn one by one there are K (K - 1) ordered pairs, where independent
        participation has K^2 on average: what pairs have in common is scaled by that.
        """
        assert self._plan is not None, "a model update begins with a plan"
        arrived = len(feedback.clients)
        if arrived > 1:
            own = float(feedback.weights**2 @ feedback.squared_norms)
            common = (feedback.update_squared_norm - own) * arrived / (arrived - 1)
            feedback = replace(feedback, update_squared_norm=own + common)
        self._knowledge.learn(feedback, self._plan.server_step)


def _nobody(seen: Observation) -> AsyncPlan:
    """The plan while no client has a channel on which it can be in time."""
    return AsyncPlan(
        q=np.zeros(seen.clients),
        k=np.zeros(seen.clients, np.int64),
        odds=np.zeros(seen.clients),
        at_work=0,
        buffer=FEWEST,
        renew_s=max(LOOK_S, seen.server_overhead_s),
        server_step=0.0,
        expected_round_s=np.inf,
    )
