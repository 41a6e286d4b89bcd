"""Draws for many clients in many slots, from a compiled loop: fading needs millions a round.

They are those of `wirelessfl.randomness`, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.compiled import compiled

_GOLDEN, _SPARE_BITS = randomness.GOLDEN, np.uint64(12)
_finalise = compiled(randomness.finalise)
_FEW = 8  # slots; loops over fewer do not fill a vector register


def uniform(
    seed: int, stream: str, clients: NDArray[np.integer], slots: NDArray[np.integer]
) -> NDArray[np.float64]:
    """`randomness.uniform(seed, stream, clients[:, None], slots)`, [clients, slots]."""
    state = randomness.absorbed(seed, stream, clients)
    word = np.ascontiguousarray(slots, np.int64).view(np.uint64)
    if len(word) < _FEW:
        return _table(word, state).T
    return _table(state, word)


def exponential(
    seed: int, stream: str, clients: NDArray[np.integer], slots: NDArray[np.integer]
) -> NDArray[np.float64]:
    """`randomness.exponential(seed, stream, clients[:, None], slots)`, [clients, slots]."""
    draws = uniform(seed, stream, clients, slots)
    np.log(draws, out=draws)
    return np.negative(draws, out=draws)


def _table(rows: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.float64]:
    table = np.empty((len(rows), len(columns)))
    _fill(rows, columns, table)
    return table


@compiled
def _fill(
    rows: NDArray[np.uint64], columns: NDArray[np.uint64], table: NDArray[np.float64]
) -> None:
    """What `randomness.uniform` makes of a state and the last counter; either may be either."""
    for row in range(rows.size):
        for column in range(columns.size):
            state = _finalise((rows[row] ^ columns[column]) + _GOLDEN)
            bits = _finalise(state + _GOLDEN) >> _SPARE_BITS
            table[row, column] = (np.float64(np.int64(bits)) + 0.5) * 2.0**-52
