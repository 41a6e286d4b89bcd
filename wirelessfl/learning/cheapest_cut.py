"""A sequence cut into runs at the least total price."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Price = Callable[[NDArray[np.int64], int], NDArray[np.generic]]
"""Of the runs from each of some first places to just before one end `[firsts]`."""


def cheapest_cut(count: int, price: Price, most: int | None = None) -> list[slice]:
    """The runs that cost least in all, by dynamic programming.

    Args:
        count: Places to cut.
        price: See `Price`.
        most: Places that a run can have; None is any number.
    """
    cost, start = [0.0], [0]
    for end in range(1, count + 1):
        firsts = np.arange(max(0, end - (most or count)), end)
        total = np.array(cost)[firsts] + price(firsts, end)
        start.append(int(firsts[total.argmin()]))
        cost.append(float(total.min()))
    runs, end = [], count
    while end:
        runs.append(slice(start[end], end))
        end = start[end]
    return runs[::-1]
