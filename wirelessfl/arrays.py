"""What every room does with arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def by_cell(cell: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each cell that occurs in `cell` [n], and the rows in which it does, rising."""
    order = np.argsort(cell, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1):
        if rows.size:
            yield int(cell[rows[0]]), rows


def stable_order(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows of `values` [n] from small to large, equals in their own order.

    NumPy's unstable sort is many times as fast; afterwards equals are put in order.
    """
    order = np.argsort(values)
    ordered = values[order]
    equal = ordered[1:] == ordered[:-1]
    if equal.any():
        before, after = np.append(False, equal), np.append(equal, False)
        pair = after & ~before
        pair[:-1] &= ~after[1:]  # by far the most
        first = np.flatnonzero(pair)
        one, other = order[first], order[first + 1]
        order[first], order[first + 1] = np.minimum(one, other), np.maximum(one, other)
        after[first] = before[first + 1] = False
        tied = np.flatnonzero(before | after)
        rows = order[tied]
        order[tied] = rows[np.lexsort((rows, ordered[tied]))]
    return order
