"""A channel whose rates are written down, for tests of what is above it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.network.fading import Direction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class FakeChannel:
    """Rates from a table that repeats for ever; reports are the table's mean.

    quality `[clients, slots]` is bit/s/Hz, or P G / N0 in Hz if `concave`:
    rate = share * quality, or share * log2(1 + quality / share).
    """

    quality: ArrayLike
    slot_s: float = math.inf
    concave: bool = False
    reported: ArrayLike | None = None  # [clients] quality believed instead of the mean rate
    calls: int = 0

    def _rate(self, quality: Floats, share_hz: Floats) -> Floats:
        share = share_hz[:, None]
        if not self.concave:
            return share * quality
        return share * np.log2(1.0 + quality / np.maximum(share, 1e-300))

    def _table(self) -> Floats:
        table = np.asarray(self.quality, float)
        return table[:, None] if table.ndim == 1 else table

    def rate_bps(
        self, direction: Direction, clients: Ints, slots: Ints, share_hz: Floats
    ) -> Floats:
        self.calls += 1
        table = self._table()
        return self._rate(table[clients][:, slots % table.shape[1]], share_hz)

    def reported_rate_bps(
        self, direction: Direction, clients: Ints, t_s: float, share_hz: Floats
    ) -> Floats:
        self.calls += 1
        if self.reported is not None:
            table = np.asarray(self.reported, float)[:, None]
        else:
            table = self._table()
        return self._rate(table[clients], share_hz).mean(axis=1)

    def proportional(self, direction: Direction) -> bool:
        return not self.concave

    def linear(self, direction: Direction) -> bool:
        return math.isinf(self.slot_s) and not self.concave and self.reported is None


@dataclass
class FakeCells:
    """Several stations: whose cell each client is in, and the rates to every station."""

    cell: ArrayLike  # [clients]
    stations: Sequence[FakeChannel]

    def serving(self, clients: Ints, t_s: float) -> Ints:
        return np.asarray(self.cell)[clients]

    def at(self, cell: int) -> FakeChannel:
        return self.stations[cell]
