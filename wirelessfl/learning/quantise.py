"""What the server receives of an update whose numbers are sent with fewer bits.

    float16, bfloat16   the nearest number of that type (ties to even); float16 ends at 65504
    int8                s = max |x| / 127 for each row, sent in float32, and
                        q = floor(x / s + u), u uniform on [0, 1), so that E[s q] = x

int8 is QSGD's stochastic rounding (arXiv 1610.02132, section 3.1) with 127 levels and the largest
magnitude of a row in the place of its norm. The draws follow from (seed, client, round).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.scenario.adapter import UplinkDtype

_LEVELS = 127
_HALF_MAX = np.float32(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Message:
    """An update as it goes over the air.

    Attributes:
        numbers: Its numbers: int8, float16 or float32, and for bfloat16 their bits in uint16.
            [sent]
        scales: Scale of each row of int8; None of the other types. [rows]
        rows: Lengths of the rows, known to both sides. [rows]
    """

    numbers: NDArray[np.generic]
    scales: NDArray[np.float32] | None
    rows: NDArray[np.int64]

    @property
    def bits(self) -> int:
        """Bits on the air."""
        return 8 * (self.numbers.nbytes + (0 if self.scales is None else self.scales.nbytes))

    def decode(self) -> Vector:
        """The update that the server makes of it. [sent]"""
        if self.scales is not None:
            return self.numbers.astype(np.float32) * np.repeat(self.scales, self.rows)
        if self.numbers.dtype == np.uint16:
            return (self.numbers.astype(np.uint32) << 16).view(np.float32)
        return self.numbers.astype(np.float32)


def encode(
    update: Vector, rows: NDArray[np.int64], dtype: UplinkDtype, seed: int, job: GradientJob
) -> Message:
    """An update in the numbers of `dtype`.

    Args:
        update: What is to be sent, row after row. [sent]
        rows: Lengths of the rows, none of them 0. [rows]
        dtype: The type.
        seed: The scenario's seed.
        job: Whose update it is, and when.
    """
    if dtype == "int8":
        return _stochastic(update, rows, seed, job)
    if dtype == "bfloat16":
        word = update.view(np.uint32)
        even = (word >> 16) & 1
        return Message(((word + 0x7FFF + even) >> 16).astype(np.uint16), None, rows)
    if dtype == "float16":
        return Message(np.clip(update, -_HALF_MAX, _HALF_MAX).astype(np.float16), None, rows)
    return Message(update, None, rows)


def _stochastic(update: Vector, rows: NDArray[np.int64], seed: int, job: GradientJob) -> Message:
    starts = np.cumsum(rows) - rows
    largest = np.maximum.reduceat(np.abs(update), starts).astype(np.float64)
    scales = (largest / _LEVELS).astype(np.float32)
    short = scales * float(_LEVELS) < largest  # rounded down: the largest would need level 128
    scales[short] = np.nextafter(scales[short], np.float32(np.inf))
    levels = update.astype(np.float64)
    levels /= np.repeat(np.where(scales > 0, scales, 1.0).astype(np.float64), rows)
    draws = randomness.generator(seed, "quantise", job.client, job.round).random(len(update))
    return Message(np.floor(levels + draws).astype(np.int8), scales, rows)
