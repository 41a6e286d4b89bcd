"""Recorded availability: a file of the times at which each client was on.

The file has the columns `client,on_s,off_s`, one row for each time a client is on, from `on_s` up
to but not at `off_s`. Rows may be in any order, every client of the scenario has at least one, and
no two of a client overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wirelessfl.scenario.datafile import client_cell, csv_table, line_error, number_cell

_COLUMNS = ("client", "on_s", "off_s")


@dataclass(frozen=True, eq=False)
class Intervals:
    """Times at which clients are on; a client's rows are in order and do not touch.

    Attributes:
        first: First row of each client, then the number of rows. [clients + 1]
        on_s: When each interval begins. [rows]
        off_s: When it ends. [rows]
    """

    first: NDArray[np.int64]
    on_s: NDArray[np.float64]
    off_s: NDArray[np.float64]


def read_intervals(path: Path, clients: int, sha256: str | None = None) -> Intervals:
    """Read the intervals of clients 0 to `clients - 1`.

    Args:
        path: The file, UTF-8.
        clients: How many clients there are.
        sha256: What the file's hash must be, if that is known.

    Raises:
        InputError: If the file cannot be used; names the line.
    """
    table: list[tuple[int, float, float, int]] = []
    for line, cells in csv_table(path, _COLUMNS, sha256):
        client = client_cell(path, line, cells[0], clients)
        on_s = number_cell(path, line, "on_s", cells[1], 0.0)
        off_s = number_cell(path, line, "off_s", cells[2], 0.0)
        if off_s <= on_s:
            raise line_error(path, line, f"off_s {off_s:.12g} is not after on_s {on_s:.12g}")
        table.append((client, on_s, off_s, line))
    table.sort()
    columns = np.array(table, dtype=np.float64)
    owner = columns[:, 0].astype(np.int64)
    same = owner[1:] == owner[:-1]
    overlap = same & (columns[1:, 1] < columns[:-1, 2])
    if overlap.any():
        _, on_s, off_s, line = table[int(overlap.argmax())]
        message = f"overlaps the client's time from {on_s:.12g} to {off_s:.12g} in line {line}"
        raise line_error(path, table[int(overlap.argmax()) + 1][3], message)
    missing = np.setdiff1d(np.arange(clients), owner)
    if missing.size:
        message = f"client {missing[0]} has no row; every client of the scenario needs one"
        raise line_error(path, 1, message)
    touches = same & (columns[1:, 1] == columns[:-1, 2])
    begins, ends = np.append(True, ~touches), np.append(~touches, True)
    return Intervals(
        first=np.searchsorted(owner[begins], np.arange(clients + 1)),
        on_s=columns[begins, 1],
        off_s=columns[ends, 2],
    )
