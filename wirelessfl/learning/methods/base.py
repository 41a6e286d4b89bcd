"""What a method decides: where a client starts, what it sends back, how updates become a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart


@dataclass(frozen=True)
class Support:
    """Where a client's update may differ from zero, and in which order it is sent.

    Attributes:
        places: Places in the flat vector. [sent]
        rows: Lengths of the rows that they are sent in, which add up to their number. [rows]
        inverse: 1 / probability that a round of this rank sends the place, so that the mean over
            sketches of `inverse` times what is sent is the whole. [sent]
    """

    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    inverse: NDArray[np.float32]


class Method(ABC):
    """One way to share an adapter.

    A global model is a flat float32 vector whose meaning is the method's own; it begins as the
    adapter's `[layout.size]`. What a client sends is a flat vector too, added up with weights.

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed: every draw follows from it, the client and the round.
    """

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
        """Where the client's update lies: by default anywhere in the adapter."""
        every = np.tile(np.arange(self.layout.rank), (len(self.layout.modules), 1))
        places = self.layout.compact_index(every)
        rows = np.array(self.layout.row_sizes(self.layout.rank))
        return Support(places, rows, np.ones(len(places), np.float32))

    @abstractmethod
    def combine(
        self, model: Vector, updates: Sequence[Vector], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The change of the global model that updates ask for, for a server step of 1."""

    def deployed(self, model: Vector) -> Vector:
        """The adapter `[layout.size]` that a global model stands for."""
        return model
