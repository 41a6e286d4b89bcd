"""What every room does with arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wirelessfl.compiled import compiled


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
    _order_equals(values[order], order)
    return order


@compiled
def _order_equals(ordered: NDArray[np.float64], order: NDArray[np.int64]) -> None:
    first = 0
    for row in range(1, ordered.size + 1):
        if row == ordered.size or ordered[row] != ordered[first]:
            if row - first == 2:  # by far the most
                a, b = order[first], order[first + 1]
                order[first], order[first + 1] = min(a, b), max(a, b)
            elif row - first > 2:
                order[first:row] = np.sort(order[first:row])
            first = row
