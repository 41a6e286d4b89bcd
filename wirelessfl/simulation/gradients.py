"""Deferred gradients: a job waits until its result is needed, and then runs with its peers.

A compute event of the simulation registers a `GradientJob` and costs nothing. Torch runs when the
server collects the updates it received, all of them in one pass; the job of a client that dropped
out or was cancelled never runs. A job's result depends only on the job and its model, so when and
with whom it ran cannot change it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

import numpy as np

from wirelessfl.learning.jobs import GradientJob, Update, Vector
from wirelessfl.learning.state import State, named, part

if TYPE_CHECKING:
    from wirelessfl.learning.learner import Learner
    from wirelessfl.learning.methods.base import Method


class GradientPool:
    """The jobs of clients at work, the model versions they started from, and the count of work.

    Attributes:
        computed: Number of jobs whose gradients were computed.
        host_s: Real seconds spent in them (a diagnostic; it never reaches the simulated clock).
    """

    def __init__(self, learner: Learner, method: Method) -> None:
        self._learner, self._method = learner, method
        self._models: dict[int, Vector] = {}
        self._waiting: set[GradientJob] = set()
        self.computed = 0
        self.host_s = 0.0

    def register(self, jobs: Sequence[GradientJob], model: Vector) -> None:
        """Remember jobs that all start from `model`, whose version each of them names."""
        for job in jobs:
            self._models[job.version] = model
        self._waiting.update(jobs)

    def start(self, job: GradientJob) -> Vector:
        """The model that a waiting job starts from."""
        return self._models[job.version]

    def cancel(self, jobs: Sequence[GradientJob]) -> None:
        """Forget jobs whose result will never be needed."""
        self._waiting.difference_update(jobs)
        self._forget_unused_models()

    def collect(self, jobs: Sequence[GradientJob]) -> list[Update | None]:
        """What `Learner.train` gives for `jobs`, in their order; each can be collected once.

        Raises:
            KeyError: If a job was never registered, was cancelled, or was collected before.
        """
        for job in jobs:
            self._waiting.remove(job)
        started = time.perf_counter()
        updates = self._learner.train(jobs, self._models, self._method) if jobs else []
        self.host_s += time.perf_counter() - started
        self.computed += len(jobs)
        self._forget_unused_models()
        return updates

    def state(self) -> State:
        """See `wirelessfl.learning.state`."""
        waiting = sorted(map(astuple, self._waiting))
        models = {str(version): model for version, model in self._models.items()}
        return {
            "waiting": np.array(waiting, np.int64).reshape(-1, 4),
            "computed": np.asarray(self.computed),
            **named("model", models),
        }

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._waiting = {GradientJob(*fields) for fields in state["waiting"].tolist()}
        self._models = {int(version): x for version, x in part(state, "model").items()}
        self.computed = int(state["computed"])

    def _forget_unused_models(self) -> None:
        used = {job.version for job in self._waiting}
        self._models = {version: self._models[version] for version in used}
