"""Measured rates: a file of what real links carried, in place of a model of the air.

A file has the columns `time_s,client,dl_mbps,ul_mbps[,snr_db]`. Each row's rates hold until the
next row of its client, so with rows every `step_s` the rate at t after the first row is that of
row floor(t / step_s) mod rows: a trace starts again after its end. `snr_db` is for the reader.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wirelessfl.errors import InputError
from wirelessfl.scenario.datafile import client_cell, csv_table, line_error, number_cell

_COLUMNS = ("time_s", "client", "dl_mbps", "ul_mbps")
_OPTIONAL = ("snr_db",)
_MOST = 1e300  # of any number, so that it stays finite in any unit
_JITTER = 0.01  # of a step, by which a printed time may be off


@dataclass(frozen=True, eq=False)
class RateTrace:
    """What one client's links carried with the whole bandwidth, from time 0 on.

    Attributes:
        step_s: Time each rate holds; inf if there is only one.
        downlink_mbps: Rate to the client, Mbit/s, [steps].
        uplink_mbps: Rate from the client, Mbit/s, [steps].
    """

    step_s: float
    downlink_mbps: NDArray[np.float64]
    uplink_mbps: NDArray[np.float64]


def read_traces(path: Path, clients: int, sha256: str | None = None) -> list[RateTrace]:
    """Read the traces of clients 0, 1, 2, ... from a file; all have the same step.

    Args:
        path: The file, UTF-8.
        clients: How many clients there are; the file may have fewer.
        sha256: What the file's hash must be, if that is known.

    Raises:
        InputError: If the file cannot be used; names the line.
    """
    reader = _Reader(path, clients)
    for line, cells in csv_table(path, _COLUMNS, sha256, _OPTIONAL):
        reader.row(line, cells)
    return reader.traces()


def write_traces(path: Path, traces: Sequence[RateTrace]) -> None:
    """Write traces, the first as client 0's, such that `read_traces` reads them back.

    Raises:
        InputError: If the traces' steps differ.
    """
    steps = {trace.step_s for trace in traces}
    if len(steps) > 1:
        raise InputError(f"{path}: traces of one file need the same step, these have {steps} s")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for client, trace in enumerate(traces):
            rates = zip(trace.downlink_mbps.tolist(), trace.uplink_mbps.tolist(), strict=True)
            for row, (down, up) in enumerate(rates):
                time_s = row * trace.step_s if row else 0.0  # the step may be infinite
                writer.writerow((f"{time_s:.12g}", client, down, up))


@dataclass
class _Rows:
    """The rows of one client so far."""

    first_line: int
    start_s: float
    last_s: float
    down: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)


class _Reader:
    """Checks rows one by one, so that every complaint names a line."""

    def __init__(self, path: Path, clients: int) -> None:
        self._path = path
        self._clients = clients
        self._rows: dict[int, _Rows] = {}
        self._step_s = math.inf
        self._step_line = 0

    def row(self, line: int, cells: list[str]) -> None:
        client = client_cell(self._path, line, cells[1], self._clients)
        time_s, down, up = (self._number(line, column, cells[column]) for column in (0, 2, 3))
        if len(cells) > len(_COLUMNS):
            self._number(line, 4, cells[4])
        rows = self._rows.setdefault(client, _Rows(line, time_s, -math.inf))
        self._check_time(line, rows, time_s)
        rows.last_s = time_s
        rows.down.append(down)
        rows.up.append(up)

    def traces(self) -> list[RateTrace]:
        for number, (client, rows) in enumerate(sorted(self._rows.items())):
            if client != number:
                message = f"client {client} without a client {number}; number them 0, 1, 2, ..."
                raise line_error(self._path, rows.first_line, message)
            for name, rates in (("dl_mbps", rows.down), ("ul_mbps", rows.up)):
                if not any(rates):
                    message = f"{name} of client {client} is 0 throughout; nothing gets through"
                    raise line_error(self._path, rows.first_line, message)
        return [
            RateTrace(self._step_s, np.array(rows.down), np.array(rows.up))
            for _, rows in sorted(self._rows.items())
        ]

    def _number(self, line: int, column: int, cell: str) -> float:
        name = (_COLUMNS + _OPTIONAL)[column]
        least = 0.0 if name in ("dl_mbps", "ul_mbps") else -math.inf
        return number_cell(self._path, line, name, cell, least, _MOST)

    def _check_time(self, line: int, rows: _Rows, time_s: float) -> None:
        """Rows of a client must be in order and, after the first, a step apart."""
        if time_s <= rows.last_s:
            message = f"time_s {time_s:.12g} is not after the client's last, {rows.last_s:.12g}"
            raise line_error(self._path, line, message)
        if not rows.down:
            return
        if math.isinf(self._step_s):
            self._step_s, self._step_line = time_s - rows.last_s, line
        due_s = rows.start_s + len(rows.down) * self._step_s
        if abs(time_s - due_s) > _JITTER * self._step_s:
            what = "a gap: " if time_s > due_s else ""
            message = (
                f"{what}time_s is {time_s:.12g}, must be {due_s:.12g}; rows of a client are "
                f"{self._step_s:.12g} s apart, as in line {self._step_line}"
            )
            raise line_error(self._path, line, message)
