"""Clients by the cell that serves them."""

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
