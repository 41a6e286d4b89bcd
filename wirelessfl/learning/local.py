"""What a job means before any model runs: its start, its sketch and its batches.

Both engines train the same `LocalWork`, so they can differ in nothing but how they compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.learning.jobs import GradientJob, Vector


@dataclass(frozen=True)
class LocalWork:
    """A job with all its draws made.

    Attributes:
        job: The job.
        start: Global model it starts from `[parameters]`.
        active: Components it trains `[modules, k]`.
        rows: Training samples of each local step `[steps, batch]`.
    """

    job: GradientJob
    start: Vector
    active: NDArray[np.int64]
    rows: NDArray[np.int64]


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
