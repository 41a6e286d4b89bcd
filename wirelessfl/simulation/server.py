"""The synchronous server: plan, send, wait, aggregate, evaluate, repeat until told to stop.

The server is one SimPy process. Simulated time passes only while a cohort is on its way, in the
server's configured overheads, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
import simpy
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import Sampling
from wirelessfl.learning.jobs import DivergedError
from wirelessfl.learning.workload import Workload
from wirelessfl.randomness import uniform
from wirelessfl.scenario import Scenario, Target
from wirelessfl.simulation.client import Bools, Cohort, Floats, Hardware, Ints, Work
from wirelessfl.simulation.journal import Journal
from wirelessfl.simulation.merges import Merges
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.training import Learned, Training
from wirelessfl.strategy import Plan, RoundFeedback, Strategy
from wirelessfl.strategy.observation import Observation, TrueUpdates
from wirelessfl.strategy.round_model import expected_ready_s


@dataclass(frozen=True)
class Progress:
    """How far a run has come, for whoever watches it."""

    round: int
    rounds: int
    time_s: float
    limit_s: float | None
    participants: int
    metrics: dict[str, float]


class Server:
    """One synchronous federated run.

    Args:
        env: The simulation's clock.
        scenario: What to run.
        hardware: Links and devices the participants' work passes through.
        workload: What a round costs each client.
        training: The global model.
        strategy: What decides.
        observer: What the server can measure.
        journal: Where everything that happened is written down.
        on_progress: Called after each round.
    """

    def __init__(
        self,
        env: simpy.Environment,
        scenario: Scenario,
        hardware: Hardware,
        workload: Workload,
        training: Training,
        strategy: Strategy,
        observer: Observer,
        journal: Journal,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._env, self._scenario, self._hardware = env, scenario, hardware
        self._workload, self._training = workload, training
        self._strategy, self._observer = strategy, observer
        self._journal, self._on_progress = journal, on_progress
        stop = scenario.stop
        self._time_limit_s = np.inf if stop.time_s is None else stop.time_s
        self._recent: list[float] = []
        self._merges = Merges(workload)
        self.target_reached = False
        self.nobody_left = False
        self.diverged: str | None = None

    def serve(self) -> Generator[simpy.Event, object, None]:
        """The server's SimPy process: the initial evaluation, then rounds until the end."""
        try:
            yield from self._rounds()
        except DivergedError as error:  # the rounds before are a trace all the same
            self.diverged = str(error)

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
        if self._strategy.oracle:
            observation = self._with_truth(observation)
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
        self._journal.round(cohort, env.now, on, plan, weights, feedback, version, metrics)
        self._report(round, len(participants), metrics)
        return not cut_short

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
        ranks = plan.k[participants]
        return Work(
            round=round,
            clients=participants,
            download_bits=self._workload.download_bits(ranks)
            + self._merges.download_bits(participants),
            upload_bits=self._workload.upload_bits(ranks),
            flops=self._workload.local_flops(participants, ranks),
            memory_traffic_bytes=self._workload.local_bytes(participants, ranks),
            expected_ready_s=self._env.now + expected_ready_s(observation, participants, plan.k),
        )

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
            asked=cohort.work.clients,
            clients=clients,
            weights=weights[received],
            q=plan.q[clients],
            k=plan.k[clients],
            squared_norms=learned.squared_norms,
            update_squared_norm=learned.update_squared_norm,
            losses=learned.losses,
            compute_s=(cohort.waiting_s + cohort.computing_s)[received],
            upload_s=cohort.uploading_s[received],
            duration_s=self._env.now - cohort.start_s,
        )

    def _evaluate(self) -> dict[str, float]:
        metrics = self._training.evaluate()
        target = self._scenario.stop.target
        if target is not None:
            self._recent = [*self._recent, metrics[target.metric]][-target.smooth :]
            if len(self._recent) == target.smooth:
                self.target_reached = _passed(target, sum(self._recent) / target.smooth)
        return metrics

    def _evaluation_due(self, round: int) -> bool:
        every, last = self._scenario.evaluate.every, self._scenario.stop.rounds
        return round % every == 0 or round == last

    def _report(self, round: int, participants: int, metrics: dict[str, float]) -> None:
        if self._on_progress is not None:
            stop = self._scenario.stop
            self._on_progress(
                Progress(round, stop.rounds, self._env.now, stop.time_s, participants, metrics)
            )


def _passed(target: Target, value: float) -> bool:
    if target.below is not None:
        return value <= target.below
    return target.above is not None and value >= target.above
