"""Places from a file, `time_s,client,x_m,y_m`: straight lines between a client's rows.

Before its first row a client stands at the first place, after its last row at the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wirelessfl.network.fading import Array, Index
from wirelessfl.scenario.datafile import client_cell, csv_table, line_error, number_cell

_COLUMNS = ("time_s", "client", "x_m", "y_m")
_FARTHEST_M = 1e7  # from the origin; beyond, it is no plane
_LATEST_S = 1e9


class PositionTrace:
    """Places of all clients over time.

    Args:
        path: The file, UTF-8. A client's rows must be in order of time; clients may be mixed.
        clients: How many clients there are; the file must have each of them.
        max_gap_s: Most time between two rows of a client.
        sha256: What the file's hash must be, if that is known.

    Raises:
        InputError: If the file cannot be used; names the line.

    Attributes:
        mean_speed_mps: Length of all paths over the time that clients move; 0 if nobody does.
    """

    def __init__(self, path: Path, clients: int, max_gap_s: float, sha256: str | None) -> None:
        table = np.array(list(_rows(path, clients, max_gap_s, sha256)))
        table = table[np.argsort(table[:, 0], kind="stable")]  # by client, then time
        client, self._time_s, self._xy_m = table[:, 0].astype(np.int64), table[:, 1], table[:, 2:]
        numbers = np.arange(clients)
        self._first = np.searchsorted(client, numbers)
        self._last = np.searchsorted(client, numbers, side="right") - 1
        length_m = np.hypot(*np.diff(self._xy_m, axis=0).T)
        moves = (np.diff(client) == 0) & (length_m > 0)
        travel_s = np.diff(self._time_s)[moves].sum()
        self.mean_speed_mps = float(length_m[moves].sum() / travel_s) if travel_s else 0.0

    @property
    def corners_m(self) -> Array:
        """All places written in the file, [rows, 2]."""
        return self._xy_m

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """Ground coordinates at `t_s`, [n, 2]."""
        row = self._row(clients, t_s)
        then = np.minimum(row + 1, self._last[clients])
        passed_s, leg_s = t_s - self._time_s[row], self._time_s[then] - self._time_s[row]
        part = np.clip(passed_s / np.where(leg_s > 0, leg_s, 1.0), 0.0, 1.0)[:, None]
        there: Array = self._xy_m[row] + part * (self._xy_m[then] - self._xy_m[row])
        return there

    def _row(self, clients: Index, t_s: float) -> Index:
        """Each client's last row up to `t_s`, or its first: a binary search for all at once."""
        low, high = self._first[clients], self._last[clients] + 1
        while (high - low > 1).any():
            middle = (low + high) // 2
            past = self._time_s[middle] > t_s
            low, high = np.where(past, low, middle), np.where(past, middle, high)
        return low


def _rows(
    path: Path, clients: int, max_gap_s: float, sha256: str | None
) -> Iterator[tuple[float, ...]]:
    """Client, time and place of every row, each checked."""
    last_s = np.full(clients, np.nan)
    for line, cells in csv_table(path, _COLUMNS, sha256):
        client = client_cell(path, line, cells[1], clients)
        time_s = number_cell(path, line, "time_s", cells[0], -_LATEST_S, _LATEST_S)
        if time_s <= last_s[client]:
            message = (
                f"time_s {time_s:.12g} is not after the last of client {client}, "
                f"{last_s[client]:.12g}"
            )
            raise line_error(path, line, message)
        if time_s - last_s[client] > max_gap_s:
            message = (
                f"a gap: client {client} was last seen at {last_s[client]:.12g} s, "
                f"{time_s - last_s[client]:.12g} s before; fill it or raise "
                f"network.mobility.max_gap, {max_gap_s:.12g} s"
            )
            raise line_error(path, line, message)
        last_s[client] = time_s
        x_m, y_m = (
            number_cell(path, line, name, cell, -_FARTHEST_M, _FARTHEST_M)
            for name, cell in zip(_COLUMNS[2:], cells[2:], strict=True)
        )
        yield client, time_s, x_m, y_m
    missing = np.flatnonzero(np.isnan(last_s))
    if missing.size:
        message = (
            f"has no rows for client {missing[0]}"
            + (f" and {missing.size - 1} more" if missing.size > 1 else "")
            + f"; the scenario has clients 0 to {clients - 1}"
        )
        raise line_error(path, 1, message)
