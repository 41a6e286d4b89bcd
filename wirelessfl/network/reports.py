"""What the base station believes of each flow's rate, the same all through a coherence slot.

A report is a mean over many slots, while events come in numbers within a slot: where rates are
proportional to the share, one report per Hz serves them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wirelessfl.network.fading import Direction, Index
from wirelessfl.network.flows import Flows, RateSource
from wirelessfl.network.sharing import Floats


class Remembered:
    """Values of rows `[n] -> [n]`, each of them asked for once, when somebody first looks at it.

    Args:
        rows: How many rows there are.
        ask: The values, never NaN, of rows that are not known yet.
    """

    def __init__(self, rows: int, ask: Callable[[Index], Floats]) -> None:
        self._known = np.full(rows, np.nan)
        self._ask = ask

    def __call__(self, rows: Index) -> Floats:
        """Values of some rows `[n]`."""
        new = rows[np.isnan(self._known[rows])]
        if new.size:
            self._known[new] = self._ask(new)
        return self._known[rows]


@dataclass
class Reports:
    """Reported rates of one link's flows; remembers those of one table of flows and one slot."""

    source: RateSource
    direction: Direction
    _flows: Flows | None = None
    _time_s: float = 0.0
    _per_hz: Remembered | None = None

    def rate_bps(self, flows: Flows, rows: Index, time_s: float, share_hz: Floats) -> Floats:
        """Bit/s of some rows with given shares `[rows]`, as of `time_s`."""
        if not self.source.proportional(self.direction):
            return self._ask(flows, rows, time_s, share_hz)
        if self._per_hz is None or self._flows is not flows or self._time_s != time_s:
            self._flows, self._time_s = flows, time_s
            self._per_hz = Remembered(
                len(flows.client), lambda new: self._ask(flows, new, time_s, np.ones(new.size))
            )
        return self._per_hz(rows) * share_hz

    def _ask(self, flows: Flows, rows: Index, time_s: float, share_hz: Floats) -> Floats:
        return self.source.reported_rate_bps(self.direction, flows.client[rows], time_s, share_hz)
