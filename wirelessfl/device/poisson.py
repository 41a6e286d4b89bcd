"""Poisson processes, one a client, that can be read in any window of time, past or future.

Time is cut into cells that hold `_MEAN` points on average. How many points a cell holds, where they
lie and what mark each carries are hashes of (client, cell, index). Counts are Poisson and, given
the count, points are uniform: that is a Poisson process exactly, and reading it in another order
or another batch gives the same points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc

from wirelessfl.randomness import uniform

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MEAN = 4.0  # points in a cell: enough that the neighbouring point is mostly in the same cell
# P(count <= k), k = 0, 1, ..., up to where it is one in double precision.
_CUMULATIVE = gammaincc(np.arange(1, 40), _MEAN)


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
            Points and marks, [n, most points of a client]; after a client's last one, infinity.
        """
        first = self._cell(after_s)
        cells = first[:, None] + np.arange(max(0, int((self._cell(until_s) - first).max() + 1)))
        points_s, marks = self._points(clients[:, None], cells)
        points_s, marks = (a.reshape(len(clients), -1) for a in (points_s, marks))
        inside = (points_s > after_s[:, None]) & (points_s <= until_s[:, None])
        points_s = np.where(inside, points_s, np.inf)
        most = int(inside.sum(axis=1).max(initial=0))
        order = np.argsort(points_s, axis=1)[:, :most]
        return np.take_along_axis(points_s, order, 1), np.take_along_axis(marks, order, 1)

    def _cell(self, t_s: Floats) -> Ints:
        return np.floor(t_s / self.cell_s).astype(np.int64)

    def _points(self, clients: Ints, cells: Ints) -> tuple[Floats, Floats]:
        """Points of each cell in no order, padded with infinity, and marks. [..., most]"""
        count = np.searchsorted(
            _CUMULATIVE, uniform(self.seed, f"{self.stream}.count", clients, cells)
        )
        index = np.arange(int(count.max(initial=0)))
        where = (clients[..., None], cells[..., None], index)
        place = cells[..., None] + uniform(self.seed, f"{self.stream}.place", *where)
        points_s = np.where(index < count[..., None], place * self.cell_s, np.inf)
        return points_s, uniform(self.seed, f"{self.stream}.mark", *where)

    def _nearest(self, clients: Ints, t_s: ArrayLike, way: int) -> tuple[Floats, Floats]:
        """The nearest point on one side, cell by cell for those who have not met one yet."""
        t = np.broadcast_to(np.asarray(t_s, dtype=np.float64), np.shape(clients))
        point_s, mark = np.empty(t.shape), np.empty(t.shape)
        rows, cells = np.arange(len(t)), self._cell(t)
        while rows.size:
            points_s, marks = self._points(clients[rows], cells[rows])
            ahead_s = (points_s - t[rows, None]) * way
            beyond = (ahead_s > 0) if way > 0 else (ahead_s >= 0)
            ahead_s = np.where(beyond & np.isfinite(points_s), ahead_s, np.inf)
            if ahead_s.shape[1]:
                pick = ahead_s.argmin(axis=1)[:, None]
                found = np.isfinite(np.take_along_axis(ahead_s, pick, 1)[:, 0])
                point_s[rows[found]] = np.take_along_axis(points_s, pick, 1)[found, 0]
                mark[rows[found]] = np.take_along_axis(marks, pick, 1)[found, 0]
                rows = rows[~found]
            cells[rows] += way
        return point_s, mark
