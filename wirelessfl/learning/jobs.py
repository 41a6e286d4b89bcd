"""The currency between a simulation and its learning: jobs in, updates out, no torch needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class GradientJob:
    """One client's local training in one round; its result depends on nothing else.

    Attributes:
        version: Key of the global model it starts from.
        client: Client whose data it uses.
        round: Round whose batches and sketch it draws.
        rank: k_n, the number of rank-one components per module that it trains, 1..gamma.
    """

    version: int
    client: int
    round: int
    rank: int


@dataclass(frozen=True)
class Update:
    """What a client sends back.

    Attributes:
        delta: Local minus global model `[parameters]`; exactly zero outside the client's sketch.
        loss: Mean training loss over the local steps.
        samples: Training samples processed (steps x batch).
    """

    delta: Vector
    loss: float
    samples: int


class DivergedError(ArithmeticError):
    """A client's local training left the finite numbers; a smaller learning rate usually helps."""

    def __init__(self, client: int, round: int):
        super().__init__(client, round)
        self.client = client
        self.round = round

    def __str__(self) -> str:
        return (
            f"training diverged: client {self.client} met a non-finite loss in round {self.round};"
            " lower learning.local.lr or set learning.local.clip_norm"
        )
