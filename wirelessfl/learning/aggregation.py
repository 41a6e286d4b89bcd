"""How updates become the next global model: X' = X + step * f(U), U = sum_n w_n delta_n.

What happens to the updates of a round, in this order: they are sent in fewer bits (`quantise`), the
method makes of each the change it asks for, which is corrected by what is remembered (`fedvarp`)
and clipped (`privacy`); the method adds them up, noise is added (`privacy`), and the server's
optimiser f turns the sum into a move (`server_optimizer`). With every option at its default only
the sum is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.fedvarp import Memories
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.privacy import Privacy
from wirelessfl.learning.quantise import encode
from wirelessfl.learning.server_optimizer import server_optimizer
from wirelessfl.learning.state import State, named, part
from wirelessfl.scenario.adapter import UplinkDtype
from wirelessfl.scenario.server_step import ServerStep

if TYPE_CHECKING:
    from wirelessfl.learning.methods.base import Method

Floats = NDArray[np.float64]


def weighted_sum(deltas: Iterable[Vector], weights: Floats, parameters: int) -> Floats:
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
        product: <U, U of the round before>; NaN in the first.
    """

    change: Floats
    squared_norms: Floats
    total_squared_norm: float
    product: float


class Aggregation:
    """The server's side of learning, over the rounds of one run.

    Optimisers, memories and privacy are about a sum, and go with some methods only (`SUMS` in
    `wirelessfl.scenario.adapter`).

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
        self._server = server
        self._reduction = server.variance_reduction
        self.restart()

    def restart(self) -> None:
        """Forget all updates so far; what they cost in privacy is spent."""
        self._optimizer = server_optimizer(self._server)
        self._memories: Memories | None = None
        self._last: Floats | None = None

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
        expected: Floats | None = None  # of all clients, by what is remembered of them
        if self._reduction != "none":
            if self._memories is None:
                self._memories = self._no_memories(len(model))
            expected = self._memories.expected()
        squared_norms = np.zeros(len(jobs))

        def changes() -> Iterator[Vector]:
            for n, (job, delta) in enumerate(zip(jobs, deltas, strict=True)):
                change = self.method.change(model, job, self._received(job, delta))
                if self._memories is not None:
                    share, weight = float(sampling.shares[n]), float(weights[n])
                    change = self._corrected(self._memories, job, change, share, weight)
                squared_norms[n] = np.square(change, dtype=np.float64).sum()
                if self._privacy is not None:
                    clipped = self._privacy.factors(squared_norms[n]) * change
                    change = clipped.astype(np.float32)
                yield change

        total = self.method.combine(model, jobs, changes(), weights)
        if expected is not None:
            total += expected
        if self._privacy is not None:
            places = self._moving_places()
            total[places] += self._privacy.noise(
                sampling.round, sampling.largest_weight, sampling.largest_probability, len(places)
            )
        change = step * self._optimizer.move(total)
        product = math.nan if self._last is None else float(self._last @ total)
        self._last = total
        return Aggregated(change, squared_norms, float(np.square(total).sum()), product)

    def _no_memories(self, parameters: int) -> Memories:
        return Memories(parameters, fitted=self._reduction == "fitted")

    def state(self) -> State:
        """What it remembers of earlier rounds (see `wirelessfl.learning.state`)."""
        parts = {
            "method": self.method,
            "optimizer": self._optimizer,
            "memories": self._memories,
            "privacy": self._privacy,
        }
        state: State = {}
        for name, owner in parts.items():
            state |= {} if owner is None else named(name, owner.state())
        if self._last is not None:
            state["last"] = self._last
        return state

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._last = state.get("last")
        self.method.load(part(state, "method"))
        self._optimizer.load(part(state, "optimizer"))
        if memories := part(state, "memories"):
            self._memories = self._no_memories(len(memories["total"]))
            self._memories.load(memories)
        if self._privacy is not None:
            self._privacy.load(part(state, "privacy"))

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
        self, memories: Memories, job: GradientJob, change: Vector, share: float, weight: float
    ) -> Vector:
        """The change without what was remembered of its client, who is remembered anew."""
        support = self.method.support(job)
        correction = memories.correction(job.client, weight, change, support)
        memories.remember(job.client, share, change, support)
        return correction
