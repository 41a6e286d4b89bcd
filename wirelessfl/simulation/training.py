"""The global model of a run: who trains it from where, and how their updates become the next one.

Deferred gradients: a participant's job is registered when it starts and costs nothing. Torch runs
when the round is over, for the updates that arrived, all of them in one pass.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import Aggregation, Sampling, apply
from wirelessfl.learning.jobs import GradientJob, Update, Vector
from wirelessfl.learning.state import State, named, part
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
        squared_norms: ||delta_n||^2 of each useful one, as the server added it up.
        update_squared_norm: ||U||^2 of their sum, before the server's optimiser.
        losses: Mean local training loss of each useful one.
        update_product: <U, U of the round before>.
    """

    useful: Bools
    squared_norms: Floats
    update_squared_norm: float
    losses: Floats
    update_product: float = math.nan


class Training(Protocol):
    """A global model that advances by rounds.

    Attributes:
        version: How many aggregations have changed it.
    """

    version: int

    def capped(self, ranks: Ints) -> Ints:
        """These ranks of all clients, or fewer of those that have pruned theirs. [clients]"""

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """The clients' jobs of a round, all from the model of now."""

    def restart(self) -> None:
        """Go back to the first model, and forget everything that was learnt since."""

    def finish(
        self,
        jobs: list[GradientJob],
        received: Bools,
        weights: Floats,
        step: float,
        sampling: Sampling | None,
    ) -> Learned:
        """Train what was received, forget the rest, and advance the model.

        Args:
            jobs: What `begin` returned. [participants]
            received: Whose update arrived. [participants]
            weights: Aggregation weight of each. [participants]
            step: Server step.
            sampling: How the participants were drawn; None if the round was cut short and nothing
                is to be aggregated.
        """

    def true_norms(
        self, round: int, clients: Ints, rank: int, shares: Floats
    ) -> tuple[Floats, float]:
        """What clients would send from the model of now: ||D_n||^2 [n] and ||sum a_n D_n||^2."""

    def evaluate(self) -> dict[str, float]:
        """Quality of the model by metric; nothing if nothing is learnt."""

    def adapter_files(self) -> dict[str, bytes]:
        """The model as the files of a PEFT adapter; none if nothing is learnt."""

    def diagnostics(self) -> dict[str, float]:
        """Work done and host seconds it took."""

    def summary(self) -> dict[str, Any]:
        """What else the summary of the run says."""


def jobs_of(version: int, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
    """The jobs of clients that begin with one version of the model."""
    return [
        GradientJob(version=version, round=round, client=client, rank=rank)
        for client, rank in zip(clients.tolist(), ranks.tolist(), strict=True)
    ]


class RealTraining:
    """See `Training`: real gradients of a real model.

    Args:
        learner: Trains and evaluates.
        aggregation: The server's side, with the method by which clients share the adapter.
        mixes_models: Whether an update is the model that came of it, and so takes back what has
            changed since it began (FedAsync); of methods that add up what clients send.
    """

    def __init__(
        self, learner: Learner, aggregation: Aggregation, mixes_models: bool = False
    ) -> None:
        self._learner, self._aggregation = learner, aggregation
        self._mixes_models = mixes_models
        self._method = aggregation.method
        self._pool = GradientPool(learner, self._method)
        self._model = self._method.initial(learner.initial)
        self._evaluation_s = 0.0
        self._halvings_before = learner.memory_halvings  # of other runs of the process
        self.version = 0

    @property
    def data_fingerprint(self) -> str:
        """SHA-256 of the data."""
        return str(self._learner.data["fingerprint"])

    def capped(self, ranks: Ints) -> Ints:
        """See `Training.capped`."""
        return self._method.capped(ranks)

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """See `Training.begin`."""
        jobs = jobs_of(self.version, round, clients, ranks)
        self._pool.register(jobs, self._model)
        return jobs

    def restart(self) -> None:
        """See `Training.restart`."""
        self._aggregation.restart()
        self._model = self._method.initial(self._learner.initial)
        self.version += 1

    def finish(
        self,
        jobs: list[GradientJob],
        received: Bools,
        weights: Floats,
        step: float,
        sampling: Sampling | None,
    ) -> Learned:
        """See `Training.finish`."""
        self._pool.cancel([jobs[i] for i in np.flatnonzero(~received)])
        starts = [self._pool.start(jobs[i]) for i in np.flatnonzero(received)]
        arrived = self._collect([jobs[i] for i in np.flatnonzero(received)])
        useful = np.array([update is not None for update in arrived], bool)
        updates = [update for update in arrived if update is not None]
        losses = np.array([update.loss for update in updates])
        if sampling is None:
            return Learned(useful, np.zeros(0), 0.0, losses)
        added = np.flatnonzero(received)[useful]
        result = self._aggregation.aggregate(
            self._model,
            [jobs[i] for i in added],
            [update.delta for update in updates],
            weights[added],
            step,
            replace(sampling, shares=sampling.shares[added]),
        )
        if updates or result.change.any():
            change = result.change
            if self._mixes_models:
                kept = [starts[i] for i in np.flatnonzero(useful)]
                change += step * self._taken_back([jobs[i] for i in added], kept, weights[added])
            self._model = self._method.settled(apply(self._model, change))
            self.version += 1
        return Learned(
            useful, result.squared_norms, result.total_squared_norm, losses, result.product
        )

    def _collect(self, jobs: list[GradientJob]) -> list[Update | None]:
        """Updates of the jobs, in their order.

        One pass for all, but a client's second job waits for its first: it may start with what that
        left on the device.
        """
        found: dict[GradientJob, Update | None] = {}
        waiting = jobs
        while waiting:
            first = list({job.client: job for job in reversed(waiting)}.values())
            found.update(zip(first, self._pool.collect(first), strict=True))
            waiting = [job for job in waiting if job not in found]
        return [found[job] for job in jobs]

    def _taken_back(self, jobs: list[GradientJob], starts: list[Vector], weights: Floats) -> Floats:
        """sum_n w_n (x_v - x), with x_v what client n started from, where it sent something."""
        back = np.zeros(len(self._model))
        for job, start, weight in zip(jobs, starts, weights, strict=True):
            places = self._method.support(job).places
            back[places] += weight * (start[places] - self._model[places])
        return back

    def true_norms(
        self, round: int, clients: Ints, rank: int, shares: Floats
    ) -> tuple[Floats, float]:
        """See `Training.true_norms`; an update that is not finite counts as zero."""
        method = copy.deepcopy(self._method)  # training may leave something on a device
        jobs = [GradientJob(self.version, client, round, rank) for client in clients.tolist()]
        updates = self._learner.train(jobs, {self.version: self._model}, method)
        squared, total = np.zeros(len(jobs)), np.zeros(len(self._model))
        for n, (job, update) in enumerate(zip(jobs, updates, strict=True)):
            if update is not None:
                change = method.change(self._model, job, update.delta)
                squared[n] = np.square(change, dtype=np.float64).sum()
                total += shares[n] * change
        return squared, float(np.square(total).sum())

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
            "memory_halvings": self._learner.memory_halvings - self._halvings_before,
        }

    def summary(self) -> dict[str, Any]:
        """See `Training.summary`."""
        return self._aggregation.summary()

    def state(self) -> State:
        """Everything that later rounds depend on (see `wirelessfl.learning.state`)."""
        return {
            "model": self._model,
            "version": np.asarray(self.version),
            **named("aggregation", self._aggregation.state()),
            **named("pool", self._pool.state()),
        }

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._model, self.version = state["model"], int(state["version"])
        self._aggregation.load(part(state, "aggregation"))
        self._pool.load(part(state, "pool"))


class TimingOnly:
    """See `Training`: rounds pass and nobody learns."""

    def __init__(self) -> None:
        self.version = 0

    def capped(self, ranks: Ints) -> Ints:
        """See `Training.capped`."""
        return ranks

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """See `Training.begin`."""
        return []

    def restart(self) -> None:
        """See `Training.restart`."""
        self.version += 1

    def finish(
        self,
        jobs: list[GradientJob],
        received: Bools,
        weights: Floats,
        step: float,
        sampling: Sampling | None,
    ) -> Learned:
        """See `Training.finish`."""
        arrived = int(received.sum())
        self.version += arrived > 0
        unknown = np.full(arrived, np.nan)
        return Learned(np.ones(arrived, bool), unknown, np.nan, unknown)

    def true_norms(
        self, round: int, clients: Ints, rank: int, shares: Floats
    ) -> tuple[Floats, float]:
        """See `Training.true_norms`."""
        return np.full(len(clients), np.nan), np.nan

    def evaluate(self) -> dict[str, float]:
        """See `Training.evaluate`."""
        return {}

    def adapter_files(self) -> dict[str, bytes]:
        """See `Training.adapter_files`."""
        return {}

    def diagnostics(self) -> dict[str, float]:
        """See `Training.diagnostics`."""
        return dict.fromkeys(("gradient_jobs", "gradients_s", "evaluation_s", "memory_halvings"), 0)

    def summary(self) -> dict[str, Any]:
        """See `Training.summary`."""
        return {}
