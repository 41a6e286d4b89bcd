"""A client's round of local training: where it starts, what it may change, what it sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.learning.jobs import Vector


@dataclass(frozen=True)
class LocalStart:
    """The adapter that a client begins with.

    Attributes:
        compact: Its parameters: A `[k, d_in]` and B^T `[k, d_out]` of each module, then the head
            `[compact]`.
        rank: Its components per module, k.
        gain: Factor on B A besides LoRA's own scaling, such as the gamma / k of a sketch.
        trained: Which of the parameters it may change `[compact]`; None for all.
    """

    compact: Vector
    rank: int
    gain: float = 1.0
    trained: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class LocalWork:
    """A round of local training with all its draws made.

    Attributes:
        client: Who trains.
        round: When.
        start: The adapter it begins with.
        rows: Training samples of each local step `[steps, batch]`.
    """

    client: int
    round: int
    start: LocalStart
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class LocalResult:
    """What local training did.

    Attributes:
        change: Trained minus starting parameters `[compact]`.
        loss: Mean training loss over the local steps.
    """

    change: Vector
    loss: float


def local_batches(
    owned: NDArray[np.int64], seed: int, client: int, round: int, steps: int, batch: int
) -> NDArray[np.int64]:
    """Samples of each step `[steps, min(batch, owned)]`: no repeats within an epoch.

    An epoch is a fresh permutation of the client's samples; one too short for a whole batch is
    followed by the next.
    """
    batch = min(batch, len(owned))
    per_epoch = len(owned) // batch
    rng = randomness.generator(seed, "batches", client, round)
    epochs = [rng.permutation(owned)[: per_epoch * batch] for _ in range(-(-steps // per_epoch))]
    return np.concatenate(epochs).reshape(-1, batch)[:steps]
