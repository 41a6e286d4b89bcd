"""Mean gains between clients and base stations, step by step, computed where they are asked for.

A value costs one or two shadowing fields (a few microseconds), so it is kept: a row for each
(station, step) with those who were asked about; the rows used longest ago are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import numpy as np

from wirelessfl.network.fading import Array, Index
from wirelessfl.network.mobility import Steps
from wirelessfl.network.propagation import Station, propagate
from wirelessfl.scenario.network import NetworkConfig

_MOST_BYTES = 1 << 26  # kept by one table, but at least one step of all stations
_BATCH = 1 << 14  # (client, station) pairs whose distance is computed at once


class MeanGains:
    """Gains without small-scale fading, K factors, and who is served by whom.

    Args:
        config: The network.
        steps: Where clients are.
        stations: The base stations, by number.
        seed: The scenario's seed.

    Attributes:
        stations: The base stations.
        steps: Where clients are.
    """

    def __init__(
        self, config: NetworkConfig, steps: Steps, stations: tuple[Station, ...], seed: int
    ) -> None:
        self.stations, self.steps = stations, steps
        self._x_m, self._y_m = np.array([station.xy_m for station in stations]).T
        self._config, self._seed = config, seed
        self._association: Literal["nearest", "strongest"] = config.association
        self._served_step, self._served = -1, np.empty(0, np.int64)  # of the step asked for last
        self._places = _Table(steps.clients, len(stations), 2, self._compute)
        self._others = _Table(steps.clients, len(stations), 1, self._compute_others)

    def gain(self, station: int, clients: Index, steps: Index) -> Array:
        """Linear power gain of antennas, path loss and shadowing, [n, steps]."""
        return self._places.read(station, clients, steps, 0)

    def k_factor(self, station: int, clients: Index, steps: Index) -> Array:
        """Linear K factor, [n, steps]."""
        return self._places.read(station, clients, steps, 1)

    def other_gain(self, station: int, clients: Index, steps: Index) -> Array:
        """Sum of the gains of all other stations, [n, steps]."""
        return self._others.read(station, clients, steps, 0)

    def serving(self, clients: Index, step: int) -> Index:
        """The station of each client in a step, the first of equals, [n]."""
        if len(self.stations) == 1:
            return np.zeros(len(clients), np.int64)
        if step != self._served_step:
            self._served_step, self._served = step, np.full(self.steps.clients, -1)
        new = np.unique(clients[self._served.take(clients) < 0])
        rows = max(1, _BATCH // len(self.stations))
        for start in range(0, len(new), rows):
            some = new[start : start + rows]
            self._served[some] = self._best(some, step)
        return np.asarray(self._served.take(clients))

    def _best(self, clients: Index, step: int) -> Index:
        if self._association == "nearest":
            x, y = self.steps.positions_m(clients, step).T[:, :, None]
            nearest: Index = np.hypot(x - self._x_m, y - self._y_m).argmin(axis=1)
            return nearest
        steps = np.array([step])
        gain = [self.gain(cell, clients, steps)[:, 0] for cell in range(len(self.stations))]
        strongest: Index = np.array(gain).argmax(axis=0)
        return strongest

    def _compute(self, station: int, step: int, clients: Index) -> Array:
        """Gain and K factor, [2, n]."""
        xy = self.steps.positions_m(clients, step)
        place = propagate(self._config, xy, self._seed, clients, self.stations[station])
        gain = 10.0 ** ((self._config.antenna_gain_db - place.loss_db) / 10.0)
        return np.stack([gain, place.k_factor])

    def _compute_others(self, station: int, step: int, clients: Index) -> Array:
        steps, total = np.array([step]), np.zeros((len(clients), 1))
        for other in range(len(self.stations)):
            if other != station:
                total += self.gain(other, clients, steps)
        return total.T


class _Table:
    """Values by (station, step) and client, computed when first read."""

    def __init__(
        self,
        clients: int,
        stations: int,
        columns: int,
        compute: Callable[[int, int, Index], Array],
    ) -> None:
        self._clients, self._stations, self._columns = clients, stations, columns
        self._compute = compute
        self._rows: OrderedDict[tuple[int, int], _Everybody | _Some] = OrderedDict()
        self._most_bytes, self._bytes = _MOST_BYTES, 0

    def read(self, station: int, clients: Index, steps: Index, column: int) -> Array:
        """One column's values, [n, steps]."""
        if len(steps) == 1:
            return self._row(station, int(steps[0]), clients, column)[:, None]
        rows = [self._row(station, int(step), clients, column) for step in steps]
        return np.stack(rows, axis=1)

    def _row(self, station: int, step: int, clients: Index, column: int) -> Array:
        row, before = self._rows.pop((station, step), None), 0
        if row is not None:
            before = row.values.nbytes
        elif self._stations == 1:
            row = _Everybody(self._columns, self._clients)
        else:
            row = _Some(self._columns)
        self._rows[station, step] = row  # now the last
        new = row.missing(clients)
        if new.size:
            row.add(new, self._compute(station, step, new))
        self._bytes += row.values.nbytes - before
        while self._bytes > self._most_bytes and len(self._rows) > self._stations:
            self._bytes -= self._rows.popitem(last=False)[1].values.nbytes
        return row.read(clients, column)


class _Everybody:
    """A row with a place for each client: all look at an only station."""

    def __init__(self, columns: int, clients: int) -> None:
        self.values = np.full((columns, clients), np.nan)

    def missing(self, clients: Index) -> Index:
        """Those of whom nothing is known, each once."""
        known: Array = self.values[0].take(clients)
        if not np.isnan(known.sum()):
            return clients[:0]
        return np.unique(clients[np.isnan(known)])

    def add(self, clients: Index, values: Array) -> None:
        """Values [columns, n] of clients that were missing."""
        self.values[:, clients] = values

    def read(self, clients: Index, column: int) -> Array:
        """Values of known clients, [n]."""
        return np.asarray(self.values[column].take(clients))


class _Some:
    """A row of those who were asked about, by number: few look at one station of many."""

    def __init__(self, columns: int) -> None:
        self._known = np.empty(0, np.int64)
        self.values = np.empty((columns, 0))

    def missing(self, clients: Index) -> Index:
        """See `_Everybody.missing`."""
        at = self._known.searchsorted(clients)
        if self._known.size:
            new = self._known.take(at, mode="clip") != clients
            clients = clients[new]
        return np.unique(clients)

    def add(self, clients: Index, values: Array) -> None:
        """See `_Everybody.add`."""
        at = self._known.searchsorted(clients)
        self._known = np.insert(self._known, at, clients)
        self.values = np.insert(self.values, at, values, axis=1)

    def read(self, clients: Index, column: int) -> Array:
        """See `_Everybody.read`."""
        return np.asarray(self.values[column].take(self._known.searchsorted(clients)))
