"""How updates become the next global model: X' = X + step * f(U), U = sum_n w_n delta_n.

What happens to the updates of a round, in this order: they are sent in fewer bits (`quantise`),
clipped (`privacy`), corrected by what is remembered (`fedvarp`), added up by the method, made noisy
(`privacy`), and turned into a move by the server's optimiser f (`server_optimizer`). With every
option at its default only the sum is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.fedvarp import Memories
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.privacy import Privacy
from wirelessfl.learning.quantise import encode
from wirelessfl.learning.server_optimizer import server_optimizer
from wirelessfl.scenario.strategy import ServerStep, UplinkDtype

if TYPE_CHECKING:
    from wirelessfl.learning.methods.base import Method

Floats = NDArray[np.float64]


def weighted_sum(deltas: Sequence[Vector], weights: Floats, parameters: int) -> Floats:
    """sum_n w_n delta_n in float64, added in the order given `[parameters]`.

    Args:
        deltas: Updates of the participants, each `[parameters]`; possibly none.
        weights: Their weights `[participants]`, e.g. a_n / q_n; they need not sum to one.
        parameters: Length of the result.

    Raises:
        ValueError: As many weights as updates were not given.
    """
    total = np.zeros(parameters, np.float64)
    for weight, delta in zip(weights, deltas, strict=True):
        total += weight * delta
    return total


def apply(model: Vector, change: Floats, step: float = 1.0) -> Vector:
    """The model after `step` times a change of it."""
    return (model + step * change).astype(np.float32)


@dataclass(frozen=True)
class Sampling:
    """How the participants of a round were drawn.

    Attributes:
        round: Which round.
        shares: a_n of each participant. [participants]
        largest_weight: Largest a_n / q_n of all who could have been drawn.
        largest_probability: Largest q_n.
    """

    round: int
    shares: Floats
    largest_weight: float
    largest_probability: float


@dataclass(frozen=True)
class Aggregated:
    """What the updates of a round came to.

    Attributes:
        change: step * f(U), which is to be added to the model. [parameters]
        squared_norms: Squared norm of each update as it was added, so of its correction if updates
            are remembered, and before any clipping. [m]
        total_squared_norm: ||U||^2.
    """

    change: Floats
    squared_norms: Floats
    total_squared_norm: float


class Aggregation:
    """The server's side of learning, over the rounds of one run.

    Optimisers, memories and privacy are about a sum, and go with linear methods only.

    Args:
        method: How clients share the adapter, and how their updates add up.
        server: The `strategy.server` section.
        uplink_dtype: How updates are sent.
        privacy: What makes the sum private; None for nothing.
    """

    def __init__(
        self,
        method: Method,
        server: ServerStep,
        uplink_dtype: UplinkDtype = "float32",
        privacy: Privacy | None = None,
    ) -> None:
        self.method, self._uplink_dtype, self._privacy = method, uplink_dtype, privacy
        self._optimizer = server_optimizer(server)
        self._remembers = server.variance_reduction == "fedvarp"
        self._memories: Memories | None = None

    def aggregate(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        deltas: Sequence[Vector],
        weights: Floats,
        step: float,
        sampling: Sampling,
    ) -> Aggregated:
        """The change that a round's updates ask for; possibly none arrived.

        Args:
            model: Global model. [parameters]
            jobs: Whose updates arrived. [m]
            deltas: The updates, as the clients computed them.
            weights: Their weights a_n / q_n. [m]
            step: The server's step.
            sampling: How the participants were drawn, with the shares of these. [m]
        """
        deltas = [self._received(job, delta) for job, delta in zip(jobs, deltas, strict=True)]
        expected: Floats | None = None  # of all clients, by what is remembered of them
        if self._remembers:
            if self._memories is None:
                self._memories = Memories(len(model))
            expected = self._memories.total.copy()
            deltas = self._corrected(self._memories, jobs, deltas, sampling.shares)
        squared_norms = np.array([np.square(d, dtype=np.float64).sum() for d in deltas])
        if self._privacy is not None:
            weights = weights * self._privacy.factors(squared_norms)
        if not self.method.linear:  # a step is more of everybody, not more of what came out
            change = self.method.combine(model, jobs, deltas, weights * step)
            return Aggregated(change, squared_norms, float(np.square(change).sum()))
        total = self.method.combine(model, jobs, deltas, weights)
        if expected is not None:
            total += expected
        if self._privacy is not None:
            places = self._moving_places()
            total[places] += self._privacy.noise(
                sampling.round, sampling.largest_weight, sampling.largest_probability, len(places)
            )
        change = step * self._optimizer.move(total)
        return Aggregated(change, squared_norms, float(np.square(total).sum()))

    def summary(self) -> dict[str, Any]:
        """What the run's summary says about it."""
        return {} if self._privacy is None else {"privacy": self._privacy.summary()}

    def _moving_places(self) -> NDArray[np.int64]:
        """Where updates can differ from zero at all; elsewhere noise would protect nothing."""
        whole = GradientJob(version=0, client=0, round=0, rank=self.method.layout.rank)
        return np.sort(self.method.support(whole).places)

    def _received(self, job: GradientJob, delta: Vector) -> Vector:
        """What the server makes of an update in `uplink_dtype`."""
        if self._uplink_dtype == "float32":
            return delta
        support = self.method.support(job)
        message = encode(
            delta[support.places], support.rows, self._uplink_dtype, self.method.seed, job
        )
        received = np.zeros_like(delta)
        received[support.places] = message.decode()
        return received

    def _corrected(
        self,
        memories: Memories,
        jobs: Sequence[GradientJob],
        deltas: Sequence[Vector],
        shares: Floats,
    ) -> list[Vector]:
        """The updates without what was remembered of their clients, who are remembered anew."""
        corrections = []
        for job, delta, share in zip(jobs, deltas, shares.tolist(), strict=True):
            support = self.method.support(job)
            corrections.append(memories.correction(job.client, delta, support))
            memories.remember(job.client, share, delta, support)
        return corrections
