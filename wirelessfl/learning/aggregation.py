"""How updates become the next global model: X' = X + step * sum_n w_n delta_n."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import Vector


def weighted_sum(
    deltas: Sequence[Vector], weights: NDArray[np.float64], parameters: int
) -> NDArray[np.float64]:
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


def apply(model: Vector, total: NDArray[np.float64], step: float) -> Vector:
    """The model after one aggregation of updates, whose `weighted_sum` is `total`."""
    return (model + step * total).astype(np.float32)
