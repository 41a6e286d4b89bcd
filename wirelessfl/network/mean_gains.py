"""Mean gains between clients and base stations, step by step, computed where they are asked for.

A value costs one or two shadowing fields (a few microseconds), so it is kept: for each (station,
step) a row of all clients, empty until somebody asks, and the rows used longest ago forgotten.
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
        self._config, self._seed = config, seed
        self._association: Literal["nearest", "strongest"] = config.association
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
        cell = np.empty(len(clients), np.int64)
        rows = max(1, _BATCH // len(self.stations))
        for start in range(0, len(clients), rows):
            some = slice(start, start + rows)
            cell[some] = self._best(clients[some], step)
        return cell

    def _best(self, clients: Index, step: int) -> Index:
        if self._association == "nearest":
            xy = self.steps.positions_m(clients, step)
            distance_m = np.array([station.distance_m(xy) for station in self.stations])
            nearest: Index = distance_m.argmin(axis=0)
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
        self._shape = (columns, clients)
        self._compute = compute
        self._most = max(stations, _MOST_BYTES // (8 * columns * clients))
        self._rows: OrderedDict[tuple[int, int], Array] = OrderedDict()

    def read(self, station: int, clients: Index, steps: Index, column: int) -> Array:
        """One column's values, [n, steps]."""
        if len(steps) == 1:
            return self._row(station, int(steps[0]), clients, column)[:, None]
        rows = [self._row(station, int(step), clients, column) for step in steps]
        return np.stack(rows, axis=1)

    def _row(self, station: int, step: int, clients: Index, column: int) -> Array:
        row = self._rows.get((station, step))
        if row is None:
            row = self._rows[station, step] = np.full(self._shape, np.nan)
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)
        else:
            self._rows.move_to_end((station, step))
        values: Array = row[column].take(clients)
        if np.isnan(values.sum()):
            new = np.unique(clients[np.isnan(values)])
            row[:, new] = self._compute(station, step, new)
            values = row[column].take(clients)
        return values
