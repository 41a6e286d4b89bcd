"""Poisson processes, one a client, that can be read in any window of time, past or future.

Time is cut into cells that hold `_MEAN` points on average. How many points a cell holds, where they
lie and what mark each carries are hashes of (client, cell, index). Counts are Poisson and, given
the count, points are uniform: that is a Poisson process exactly, and reading it in another order
or another batch gives the same points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.errors import InputError
from wirelessfl.randomness import uniform

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MEAN = 2.0  # points in a cell: few to draw, and the neighbouring point is mostly not far
_MOST_CELLS = 2.0**52  # beyond, a place in a cell is lost to rounding


@dataclass(frozen=True)
class PoissonPoints:
    """Independent Poisson processes of one rate.

    Attributes:
        seed: The scenario's seed.
        stream: Name of the process; different names are independent.
        interval_s: Mean time between points, positive.
    """

    seed: int
    stream: str
    interval_s: float

    @property
    def cell_s(self) -> float:
        """Length of a cell."""
        return _MEAN * self.interval_s

    def last(self, clients: Ints, t_s: ArrayLike) -> tuple[Floats, Floats]:
        """Each client's last point up to a time.

        Args:
            clients: Whose process. [n]
            t_s: The time. [n] or one for all.

        Returns:
            The point and its mark, uniform on (0, 1). [n], [n]
        """
        return self._nearest(clients, t_s, -1)

    def next(self, clients: Ints, t_s: ArrayLike) -> tuple[Floats, Floats]:
        """Each client's first point after a time; arguments and result as for `last`."""
        return self._nearest(clients, t_s, 1)

    def between(self, clients: Ints, after_s: Floats, until_s: Floats) -> tuple[Floats, Floats]:
        """Each client's points in (after, until], in order, and their marks.

        Returns:
            Points and marks, [n, most points of a client]; after a client's last one, infinity
            (and marks of no meaning).
        """
        first = self._cell(after_s)
        span = np.maximum(self._cell(until_s) - first + 1, 0)
        row = np.repeat(np.arange(len(clients)), span)
        cell = first[row] + _running_index(span)
        owner, index, points_s = self._points(clients[row], cell)
        inside = (points_s > after_s[row[owner]]) & (points_s <= until_s[row[owner]])
        owner, index, points_s = owner[inside], index[inside], points_s[inside]
        order = np.lexsort((points_s, row[owner]))
        owner, index, points_s = owner[order], index[order], points_s[order]
        count = np.bincount(row[owner], minlength=len(clients))
        place = (row[owner], _running_index(count))
        table_s = np.full((len(clients), int(count.max(initial=0))), np.inf)
        marks = np.ones_like(table_s)
        table_s[place] = points_s
        marks[place] = self._mark(clients[row[owner]], cell[owner], index)
        return table_s, marks

    def _cell(self, t_s: Floats) -> Ints:
        cell = np.floor(t_s / self.cell_s)
        if not (np.abs(cell) < _MOST_CELLS).all():
            raise InputError(
                f"the simulation has come to {np.max(np.abs(t_s)):.3g} s, beyond what can be told "
                f"in steps of {self.interval_s:.3g} s ({self.stream}): a round takes far too long "
                "for how often something happens to a device in devices"
            )
        return cell.astype(np.int64)

    def _points(self, clients: Ints, cells: Ints) -> tuple[Ints, Ints, Floats]:
        """All points of m cells: which of the cells each is in, its index there, and where it is.

        Those of a cell follow one another, in no order of time. [points], [points], [points]
        """
        draw = uniform(self.seed, f"{self.stream}.count", clients, cells)
        count = np.searchsorted(_cumulative(), draw)
        owner, index = np.repeat(np.arange(len(cells)), count), _running_index(count)
        where = (clients[owner], cells[owner], index)
        place = cells[owner] + uniform(self.seed, f"{self.stream}.place", *where)
        return owner, index, place * self.cell_s

    def _mark(self, clients: Ints, cells: Ints, index: Ints) -> Floats:
        return uniform(self.seed, f"{self.stream}.mark", clients, cells, index)

    def _nearest(self, clients: Ints, t_s: ArrayLike, way: int) -> tuple[Floats, Floats]:
        """The nearest point on one side, cell by cell for those who have not met one yet."""
        t = np.broadcast_to(np.asarray(t_s, dtype=np.float64), np.shape(clients))
        point_s, index = np.empty(t.shape), np.empty(t.shape, dtype=np.int64)
        rows, cells = np.arange(len(t)), self._cell(t)
        while rows.size:
            owner, at, points_s = self._points(clients[rows], cells[rows])
            ahead_s = (points_s - t[rows[owner]]) * way
            beyond = (ahead_s > 0) if way > 0 else (ahead_s >= 0)
            least_s = np.full(len(rows), np.inf)
            np.minimum.at(least_s, owner[beyond], ahead_s[beyond])
            nearest = beyond & (ahead_s == least_s[owner])
            found = rows[owner[nearest]]
            point_s[found], index[found] = points_s[nearest], at[nearest]
            rows = rows[np.isinf(least_s)]
            cells[rows] += way
        return point_s, self._mark(clients, cells, index)


def _running_index(count: Ints) -> Ints:
    """0, 1, ... count - 1 for each of `count`, one after the other."""
    return np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)


@cache
def _cumulative() -> Floats:
    """P(count <= k), k = 0, 1, ..., up to where it is one in double precision."""
    from scipy.special import gammaincc  # slow to import

    return np.asarray(gammaincc(np.arange(1, 33), _MEAN))
