"""What a method decides: where a client starts, what it sends back, how updates become a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.aggregation import weighted_sum
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart

Weights = NDArray[np.float64]
Change = NDArray[np.float64]


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
    adapter's `[layout.size]`. What a client sends is a flat vector too. Weights are a_n / q_n,
    which are 1 together on average only, so methods work on changes of the present global model.

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed: every draw follows from it, the client and the round.

    Attributes:
        linear: Whether `combine` is sum_n w_n delta_n; then optimisers of the server make sense of
            it, and it is unbiased under independent sampling.
        shifts_base: Whether global models carry a change of the frozen weights (see `residual`).
    """

    linear = True
    shifts_base = False

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.seed = layout, seed

    def initial(self, adapter: Vector) -> Vector:
        """The first global model, from PEFT's fresh adapter `[layout.size]`."""
        return adapter

    @abstractmethod
    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """The adapter that a client begins its round with."""

    @abstractmethod
    def update(self, model: Vector, job: GradientJob, result: LocalResult) -> Vector:
        """What the client sends, from what its training did."""

    def support(self, job: GradientJob) -> Support:
        """Where the client's update lies: by default in the first components, as many as its rank.

        Components that are never sent count as unchanged.
        """
        first = np.tile(np.arange(job.rank), (len(self.layout.modules), 1))
        rows = np.array(self.layout.row_sizes(job.rank))
        return Support(self.layout.compact_index(first), rows)

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """The change of the global model that updates ask for, for a server step of 1."""
        return weighted_sum(updates, weights, len(model))

    def adapter(self, model: Vector) -> Vector:
        """The adapter of a global model, as it is evaluated `[layout.size]`."""
        return model

    def residual(self, model: Vector) -> Vector | None:
        """Change of the frozen weights, module after module `[d_out, d_in]`, if there is one."""
        return None

    def saved(self, model: Vector) -> Vector:
        """The adapter that comes nearest to a global model, as it is saved `[layout.size]`."""
        return self.adapter(model)


class FirstComponents(Method):
    """A `Method` in which a client of k components has the first k, and sends no others."""

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        return LocalStart(model[self._places(job.rank)], job.rank)

    def update(self, model: Vector, job: GradientJob, result: LocalResult) -> Vector:
        """See `Method.update`."""
        delta = np.zeros(self.layout.size, np.float32)
        delta[self._places(job.rank)] = result.change
        return delta

    def _places(self, rank: int) -> NDArray[np.int64]:
        return self.layout.compact_index(np.tile(np.arange(rank), (len(self.layout.modules), 1)))
