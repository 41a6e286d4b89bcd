"""What every server does, however it paces its clients: evaluate, know when to stop, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
import simpy

from wirelessfl.learning.jobs import DivergedError
from wirelessfl.learning.workload import Workload
from wirelessfl.scenario import Scenario, Target
from wirelessfl.simulation.client import Bools, Floats, Hardware, Ints, Work
from wirelessfl.simulation.journal import Journal
from wirelessfl.simulation.merges import Merges
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.training import Training
from wirelessfl.strategy import Strategy
from wirelessfl.strategy.observation import Observation


@dataclass(frozen=True)
class Progress:
    """How far a run has come, for whoever watches it."""

    round: int
    rounds: int
    time_s: float
    limit_s: float | None
    participants: int
    metrics: dict[str, float]


class BaseServer(ABC):
    """One federated run.

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

    @abstractmethod
    def _rounds(self) -> Generator[simpy.Event, object, None]:
        """The run itself."""

    def _observed(self, round: int, available: Bools) -> Observation:
        """What the server has measured, and what it knows of clients by what it was sent."""
        seen = self._observer.observe(round - 1, self._env.now, available)
        return replace(
            seen,
            max_rank=self._training.capped(seen.max_rank),
            download_missed_bits=self._merges.missed_bits(),
        )

    def _work_of(self, round: int, clients: Ints, ranks: Ints, expected_ready_s: Floats) -> Work:
        """What the clients are asked to do, given the rank each trains. [n]"""
        load, missed_bits = self._workload, self._merges.missed_bits(clients)
        self._merges.send(clients)
        return Work(
            round=round,
            clients=clients,
            ranks=ranks,
            download_bits=load.download_bits(ranks) + missed_bits,
            upload_bits=load.upload_bits(ranks),
            flops=load.local_flops(clients, ranks),
            memory_traffic_bytes=load.local_bytes(clients, ranks),
            expected_ready_s=expected_ready_s,
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
