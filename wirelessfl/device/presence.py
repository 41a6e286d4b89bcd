"""Who can be called upon: on by its availability, and not resting with an empty battery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.device.availability import Availability
from wirelessfl.device.battery import Battery


@dataclass(frozen=True)
class Presence:
    """What heartbeats tell the server, and what the future holds.

    Attributes:
        clients: Number of clients.
        availability: When devices are on.
        battery: Their batteries, if they have any.
    """

    clients: int
    availability: Availability
    battery: Battery | None = None

    def on(self, now_s: float) -> NDArray[np.bool_]:
        """Who can be called upon now; batteries are charged up to now. [clients]"""
        on = self.availability.is_on(np.arange(self.clients), now_s)
        if self.battery is None:
            return on
        self.battery.charge(now_s)
        return on & ~self.battery.resting

    def next_on_s(self, now_s: float) -> NDArray[np.float64]:
        """When each client may next be called upon, or before; infinity if never. [clients]

        Exact for a client that does not rest; for one that does, the earliest time at which it
        could be charged. `on` must have been called at `now_s`.
        """
        on_s = self.availability.next_on_s(np.arange(self.clients), now_s)
        if self.battery is None:
            return on_s
        back_s = np.maximum(self.battery.back_s(now_s), on_s)
        return np.where(self.battery.resting, back_s, on_s)

    def charge_j(self, clients: NDArray[np.int64]) -> NDArray[np.float64]:
        """Energy that each of some clients has left, infinity on mains. [n]"""
        if self.battery is None:
            return np.full(len(clients), np.inf)
        return self.battery.charge_j[clients]
