"""What a method decides: where a client starts, what it sends back, how updates become a model.

A round goes `start` (what a client downloads), training, `update` (what it sends), `change` (what
the server makes of that), `combine` (of all), and, once the server has taken its step, `settled`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import weighted_sum
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.state import State

Weights = NDArray[np.float64]
Change = NDArray[np.float64]
Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class Support:
    """Where a client's update may differ from zero, and in which order it is sent.

    Attributes:
        places: Places in the flat vector. [sent]
        rows: Lengths of the rows that they are sent in, which add up to their number. [rows]
        inverse: 1 / probability that a round of this rank sends the place, so that the mean over
            sketches of `inverse` times what is sent is the whole; None if nothing is drawn, and
            what is not sent has not changed. [sent]
    """

    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    inverse: NDArray[np.float32] | None = None

    def only(self, kept: NDArray[np.bool_]) -> Support:
        """Some rows of it, with all their places; `kept` `[sent]`. For what is not drawn."""
        starts = np.cumsum(self.rows) - self.rows
        return Support(self.places[kept], self.rows[kept[starts]])


class Method(ABC):
    """One way to share an adapter among clients, for one run.

    A global model is a flat float32 vector whose meaning is the method's own; it begins as the
    adapter's `[layout.size]`, behind which there may be more. What a client sends is a flat vector
    `[layout.size]`. Weights are a_n / q_n, which are 1 together on average only, so methods work
    on changes of the present global model.

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed: every draw follows from it, the client and the round.

    Attributes:
        shifts_base: Whether global models carry a change of the frozen weights (see `residual`).
    """

    shifts_base = False

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.seed = layout, seed

    def initial(self, adapter: Vector) -> Vector:
        """The first global model, from PEFT's fresh adapter `[layout.size]`; forgets all others."""
        return adapter

    def capped(self, ranks: Ranks) -> Ranks:
        """These ranks of all clients, or fewer of those that have decided so. [clients]"""
        return ranks

    @abstractmethod
    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """The adapter that a client begins its round with."""

    @abstractmethod
    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """What the client sends `[layout.size]`, from where it began and what its training did."""

    def support(self, job: GradientJob) -> Support:
        """Where the client's update lies: by default in the first components, as many as its rank.

        Components that are never sent count as unchanged.
        """
        rows = np.array(self.layout.row_sizes(job.rank))
        return Support(self.layout.first_index(job.rank), rows)

    def change(self, model: Vector, job: GradientJob, sent: Vector) -> Vector:
        """The change of the global model that a client's message asks for: by default, itself.

        Args:
            model: The global model.
            job: Whose message it is.
            sent: What `update` returned, as it came over the air.
        """
        return sent

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        changes: Iterable[Vector],
        weights: Weights,
    ) -> Change:
        """The change that all of them ask for together: by default their weighted sum.

        Twice the weights make twice the change.

        Args:
            model: The global model.
            jobs: Whose changes they are. [m]
            changes: What `change` returned, made one after another as they are asked for: each may
                be as large as the frozen weights. [m]
            weights: Their weights. [m]
        """
        return weighted_sum(changes, weights, len(model))

    def settled(self, model: Vector) -> Vector:
        """The global model that is meant, when a step has led to this vector."""
        return model

    def adapter(self, model: Vector) -> Vector:
        """The adapter of a global model, as it is evaluated `[layout.size]`."""
        return model

    def residual(self, model: Vector) -> Vector | None:
        """Change of the frozen weights, module after module `[d_out, d_in]`, if there is one."""
        return None

    def state(self) -> State:
        """What it remembers of clients (see `wirelessfl.learning.state`); by default nothing."""
        return {}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        assert not state


class FirstComponents(Method):
    """A `Method` in which a client of k components has the first k, and sends no others.

    What a client does not have counts as unchanged.
    """

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        return LocalStart(model[self.layout.first_index(job.rank)], job.rank)

    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """See `Method.update`."""
        return self._placed(job, result.change)

    def _placed(self, job: GradientJob, compact: Vector) -> Vector:
        """A client's components at their places, zero elsewhere `[layout.size]`."""
        whole = np.zeros(self.layout.size, np.float32)
        whole[self.layout.first_index(job.rank)] = compact
        return whole
