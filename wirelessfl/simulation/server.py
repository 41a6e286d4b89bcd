"""The synchronous server: plan, send, wait, aggregate, evaluate, repeat until told to stop.

The server is one SimPy process. Simulated time passes only while a cohort is on its way, in the
server's configured overheads, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import simpy
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import Sampling
from wirelessfl.network.link import timeout_at
from wirelessfl.randomness import uniform
from wirelessfl.simulation.base_server import BaseServer
from wirelessfl.simulation.client import Bools, Cohort, Floats, Ints, Work
from wirelessfl.simulation.journal import Span
from wirelessfl.simulation.merges import Merges
from wirelessfl.simulation.training import Learned
from wirelessfl.strategy import Plan, RoundFeedback
from wirelessfl.strategy.observation import Observation, TrueUpdates
from wirelessfl.strategy.round_model import expected_ready_s


class Server(BaseServer):
    """One synchronous federated run."""

    def _rounds(self) -> Generator[simpy.Event, object, None]:
        on = int(self._observer.available(self._env.now).sum())
        self._journal.initial(self._env.now, on, self._evaluate())
        for round in range(1, self._scenario.stop.rounds + 1):
            if self._env.now + self._scenario.server.overhead_s >= self._time_limit_s:
                return
            available = yield from self._available(round)
            if available is None:
                return
            finished = yield from self._round(round, available)
            if self.target_reached or not finished:
                return

    def _available(self, round: int) -> Generator[simpy.Event, object, Bools | None]:
        """Who can be called upon, once somebody can; None if the time limit comes first, or never.

        [clients]
        """
        env, waits = self._env, False
        while not (available := self._observer.available(env.now)).any():
            if not waits:
                self._journal.waits(round, env.now)
            waits = True
            on_s = self._observer.next_available_s(env.now)
            if on_s + self._scenario.server.overhead_s >= self._time_limit_s or np.isinf(on_s):
                self.nobody_left = bool(np.isinf(on_s))
                return None
            yield env.timeout(max(on_s - env.now, np.spacing(env.now)))
        return available

    def _round(self, round: int, available: Bools) -> Generator[simpy.Event, object, bool]:
        """One round; false if the time limit cut it short, and then nothing is aggregated."""
        env, server = self._env, self._scenario.server
        observation = self._observation(round, available)
        plan = self._strategy.plan(observation)
        draws = uniform(self._scenario.seed, "participation", np.arange(observation.clients), round)
        counts = self._strategy.select(plan, draws)
        participants = np.flatnonzero((counts > 0) & available)
        if plan.restart:
            self._training.restart()
            self._merges = Merges(self._workload)
            observation = self._observation(round, available)
        work = self._work(round, participants, plan, observation)
        deadline_s = np.inf if server.deadline_s is None else env.now + server.deadline_s
        limit_s = self._time_limit_s - server.overhead_s
        cohort = Cohort(env, self._hardware, work, min(deadline_s, limit_s))
        jobs = self._training.begin(round, participants, work.ranks)
        if plan.enough is not None:
            deadline_s = min(deadline_s, cohort.arrival_s(plan.enough))
        end_s = min(deadline_s, limit_s)
        yield cohort.done | timeout_at(env, end_s) if np.isfinite(end_s) else cohort.done
        cut_short = not cohort.done.processed and limit_s <= deadline_s
        cohort.settle()
        if (battery := self._hardware.presence.battery) is not None:
            battery.spend(participants, cohort.energy.total_j, cohort.emptied)
        received = np.zeros_like(cohort.completed) if cut_short else cohort.completed
        weights = np.full(len(participants), np.nan)
        arrived = participants[received]
        weights[received] = self._strategy.weights(plan, observation, arrived, counts[arrived])
        if not cut_short:
            yield env.timeout(server.overhead_s)
        learned = self._training.finish(
            jobs,
            received,
            weights,
            plan.server_step,
            None if cut_short else self._sampling(round, plan, observation, participants),
        )
        if not learned.useful.all():
            cohort.spoil(np.flatnonzero(received)[~learned.useful])
            received = cohort.completed
            weights[~received] = np.nan
        self._merges.add(work.ranks[received])
        feedback = self._feedback(plan, cohort, weights, received, learned)
        metrics: dict[str, float] = {}
        if not cut_short and self._evaluation_due(round):
            yield env.timeout(server.evaluate_time_s)
            metrics = self._evaluate()
        self._strategy.observe(feedback)
        on, version = int(available.sum()), self._training.version
        record, span = cohort.record(), Span(round, cohort.start_s, env.now)
        self._journal.round(span, record, on, plan, weights, received, learned, version, metrics)
        self._report(round, len(participants), metrics)
        return not cut_short

    def _observation(self, round: int, available: Bools) -> Observation:
        """What the server knows, and the truth where the strategy is an oracle."""
        seen = self._observed(round, available)
        return self._with_truth(seen) if self._strategy.oracle else seen

    def _with_truth(self, observation: Observation) -> Observation:
        included = np.flatnonzero(observation.included)

        def true_updates() -> TrueUpdates:
            squared, total = np.zeros(observation.clients), 0.0
            squared[included], total = self._training.true_norms(
                observation.round + 1, included, observation.rank, observation.weights[included]
            )
            return TrueUpdates(squared, total)

        return replace(observation, true_updates=true_updates)

    def _work(self, round: int, participants: Ints, plan: Plan, observation: Observation) -> Work:
        """What the participants do; a plan of earlier rounds may have more ranks than one has."""
        ranks = np.minimum(plan.k, observation.max_rank)
        ready_s = self._env.now + expected_ready_s(observation, participants, ranks)
        return self._work_of(round, participants, ranks[participants], ready_s)

    def _sampling(
        self, round: int, plan: Plan, observation: Observation, participants: Ints
    ) -> Sampling:
        """How the round's participants came to be."""
        drawable = np.flatnonzero(plan.q > 0)
        once = np.ones_like(drawable)
        weights = self._strategy.weights(plan, observation, drawable, once)
        return Sampling(
            round=round,
            shares=observation.weights[participants],
            largest_weight=float(weights.max(initial=0.0)),
            largest_probability=float(plan.q.max(initial=0.0)),
        )

    def _feedback(
        self,
        plan: Plan,
        cohort: Cohort,
        weights: Floats,
        received: NDArray[np.bool_],
        learned: Learned,
    ) -> RoundFeedback:
        """What the server measured in the round."""
        clients = cohort.work.clients[received]
        return RoundFeedback(
            round=cohort.work.round - 1,
            asked=cohort.work.clients,
            clients=clients,
            weights=weights[received],
            q=plan.q[clients],
            k=cohort.work.ranks[received],
            squared_norms=learned.squared_norms,
            update_squared_norm=learned.update_squared_norm,
            update_product=learned.update_product,
            losses=learned.losses,
            compute_s=(cohort.waiting_s + cohort.computing_s)[received],
            upload_s=cohort.uploading_s[received],
            duration_s=self._env.now - cohort.start_s,
        )
