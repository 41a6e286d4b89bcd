"""What the base station believes of each flow's rate, the same all through a coherence slot.

A report is a mean over many slots, while events come in numbers within a slot: where rates are
proportional to the share, one report per Hz serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wirelessfl.network.fading import Direction
from wirelessfl.network.flows import Flows, RateSource
from wirelessfl.network.sharing import Floats, Ints


@dataclass
class Reports:
    """Reported rates of one link's flows; remembers those of one table of flows and one slot."""

    source: RateSource
    direction: Direction
    _flows: Flows | None = None
    _time_s: float = 0.0
    _per_hz: Floats = field(default_factory=lambda: np.zeros(0))  # negative: not asked yet

    def rate_bps(self, flows: Flows, rows: Ints, time_s: float, share_hz: Floats) -> Floats:
        """Bit/s of some rows with given shares `[rows]`, as of `time_s`."""
        if not self.source.proportional(self.direction):
            return self._ask(flows, rows, time_s, share_hz)
        if self._flows is not flows or self._time_s != time_s:
            self._flows, self._time_s = flows, time_s
            self._per_hz = np.full(len(flows.client), -1.0)
        new = rows[self._per_hz[rows] < 0]
        if new.size:
            self._per_hz[new] = self._ask(flows, new, time_s, np.ones(new.size))
        return self._per_hz[rows] * share_hz

    def _ask(self, flows: Flows, rows: Ints, time_s: float, share_hz: Floats) -> Floats:
        return self.source.reported_rate_bps(self.direction, flows.client[rows], time_s, share_hz)
