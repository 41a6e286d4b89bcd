"""The synchronous server: plan, send, wait, aggregate, evaluate, repeat until told to stop.

The server is one SimPy process. Simulated time passes only while a cohort is on its way, in the
server's configured overheads, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import simpy
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import Sampling
from wirelessfl.randomness import uniform
from wirelessfl.simulation.base_server import BaseServer
from wirelessfl.simulation.client import Bools, Cohort, Floats, Ints, Work
from wirelessfl.simulation.journal import Span
from wirelessfl.simulation.training import Learned
from wirelessfl.strategy import Plan, RoundFeedback
from wirelessfl.strategy.observation import Observation
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
        observation = self._observer.observe(round - 1, env.now, available)
        plan = self._strategy.plan(observation)
        draws = uniform(self._scenario.seed, "participation", np.arange(observation.clients), round)
        chosen = self._strategy.select(plan, draws)
        participants = np.flatnonzero(chosen & available)
        weights = self._strategy.weights(plan, observation, participants)
        cohort = Cohort(env, self._hardware, self._work(round, participants, plan, observation))
        jobs = self._training.begin(round, participants, plan.k[participants])
        deadline_s = np.inf if server.deadline_s is None else server.deadline_s
        left_s = self._time_limit_s - server.overhead_s - env.now
        wait_s = min(deadline_s, left_s)
        yield cohort.done | env.timeout(wait_s) if np.isfinite(wait_s) else cohort.done
        cut_short = not cohort.done.processed and left_s <= deadline_s
        cohort.settle()
        if (battery := self._hardware.presence.battery) is not None:
            battery.spend(participants, cohort.energy.total_j, cohort.emptied)
        received = np.zeros_like(cohort.completed) if cut_short else cohort.completed
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
        self._merges.add(plan.k[participants[received]])
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

    def _work(self, round: int, participants: Ints, plan: Plan, observation: Observation) -> Work:
        ready_s = self._env.now + expected_ready_s(observation, participants, plan.k)
        return self._work_of(round, participants, plan.k[participants], ready_s)

    def _sampling(
        self, round: int, plan: Plan, observation: Observation, participants: Ints
    ) -> Sampling:
        """How the round's participants came to be."""
        drawable = np.flatnonzero(plan.q > 0)
        weights = self._strategy.weights(plan, observation, drawable)
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
            round=cohort.work.round,
            clients=clients,
            weights=weights[received],
            q=plan.q[clients],
            k=plan.k[clients],
            squared_norms=learned.squared_norms,
            update_squared_norm=learned.update_squared_norm,
            losses=learned.losses,
            compute_s=cohort.computing_s[received],
            upload_s=cohort.uploading_s[received],
            duration_s=self._env.now - cohort.start_s,
        )
