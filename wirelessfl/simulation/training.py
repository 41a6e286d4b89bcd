"""The global model of a run: who trains it from where, and how their updates become the next one.

Deferred gradients: a participant's job is registered when it starts and costs nothing. Torch runs
when the round is over, for the updates that arrived, all of them in one pass.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import apply
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.scenario.strategy import FixedAdapter
from wirelessfl.simulation.gradients import GradientPool

if TYPE_CHECKING:
    from wirelessfl.learning.learner import Learner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Learned:
    """What the updates of a round showed; NaN where nothing was trained.

    Attributes:
        useful: Which of the updates that arrived are finite numbers. [m]
        squared_norms: ||delta_n||^2 of each useful one.
        update_squared_norm: ||sum of weights * delta||^2.
        losses: Mean local training loss of each useful one.
    """

    useful: Bools
    squared_norms: Floats
    update_squared_norm: float
    losses: Floats


class Training(Protocol):
    """A global model that advances by rounds.

    Attributes:
        version: How many aggregations have changed it.
    """

    version: int

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """The clients' jobs of a round, all from the model of now."""

    def finish(
        self, jobs: list[GradientJob], received: Bools, weights: Floats, step: float
    ) -> Learned:
        """Train what was received, forget the rest, and advance the model.

        Args:
            jobs: What `begin` returned. [participants]
            received: Whose update arrived. [participants]
            weights: Aggregation weight of each. [participants]
            step: Server step.
        """

    def evaluate(self) -> dict[str, float]:
        """Quality of the model by metric; nothing if nothing is learnt."""

    def adapter_files(self) -> dict[str, bytes]:
        """The model as the files of a PEFT adapter; none if nothing is learnt."""

    def diagnostics(self) -> dict[str, float]:
        """Work done and host seconds it took."""


class RealTraining:
    """See `Training`: real gradients of a real model.

    Args:
        learner: Trains and evaluates.
        adapter: The strategy's `adapter` section: how clients share it.
    """

    def __init__(self, learner: Learner, adapter: FixedAdapter) -> None:
        self._learner, self._method = learner, learner.method(adapter)
        self._pool = GradientPool(learner, self._method)
        self._model = self._method.initial(learner.initial)
        self._evaluation_s = 0.0
        self.version = 0

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """See `Training.begin`."""
        jobs = [
            GradientJob(version=self.version, round=round, client=client, rank=rank)
            for client, rank in zip(clients.tolist(), ranks.tolist(), strict=True)
        ]
        self._pool.register(jobs, self._model)
        return jobs

    def finish(
        self, jobs: list[GradientJob], received: Bools, weights: Floats, step: float
    ) -> Learned:
        """See `Training.finish`."""
        self._pool.cancel([jobs[i] for i in np.flatnonzero(~received)])
        arrived = self._pool.collect([jobs[i] for i in np.flatnonzero(received)])
        useful = np.array([update is not None for update in arrived], bool)
        updates = [update for update in arrived if update is not None]
        deltas = [update.delta for update in updates]
        kept = weights[received][useful]
        if self._method.linear:
            total = self._method.combine(self._model, deltas, kept)
        else:  # a step is more of everybody, not more of what came out
            total, step = self._method.combine(self._model, deltas, kept * step), 1.0
        if updates:
            self._model = apply(self._model, total, step)
            self.version += 1
        return Learned(
            useful,
            np.array([np.square(delta, dtype=np.float64).sum() for delta in deltas]),
            float(np.square(total).sum()),
            np.array([update.loss for update in updates]),
        )

    def evaluate(self) -> dict[str, float]:
        """See `Training.evaluate`."""
        started = time.perf_counter()
        metrics = self._learner.evaluate(self._model, self._method)
        self._evaluation_s += time.perf_counter() - started
        return metrics

    def adapter_files(self) -> dict[str, bytes]:
        """See `Training.adapter_files`."""
        return self._learner.adapter_files(self._model, self._method)

    def diagnostics(self) -> dict[str, float]:
        """See `Training.diagnostics`."""
        return {
            "gradient_jobs": self._pool.computed,
            "gradients_s": self._pool.host_s,
            "evaluation_s": self._evaluation_s,
        }


class TimingOnly:
    """See `Training`: rounds pass and nobody learns."""

    def __init__(self) -> None:
        self.version = 0

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """See `Training.begin`."""
        return []

    def finish(
        self, jobs: list[GradientJob], received: Bools, weights: Floats, step: float
    ) -> Learned:
        """See `Training.finish`."""
        arrived = int(received.sum())
        self.version += arrived > 0
        unknown = np.full(arrived, np.nan)
        return Learned(np.ones(arrived, bool), unknown, np.nan, unknown)

    def evaluate(self) -> dict[str, float]:
        """See `Training.evaluate`."""
        return {}

    def adapter_files(self) -> dict[str, bytes]:
        """See `Training.adapter_files`."""
        return {}

    def diagnostics(self) -> dict[str, float]:
        """See `Training.diagnostics`."""
        return {"gradient_jobs": 0, "gradients_s": 0.0, "evaluation_s": 0.0}
