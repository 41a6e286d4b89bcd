"""What clients have to download because others changed the frozen weights while they were away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.workload import Workload

Ints = NDArray[np.int64]


class Merges:
    """Components merged into the frozen weights so far, and how far each client has come.

    Only methods that change the frozen weights merge anything (`flora`, `fedex`). Who is sent what
    it missed counts as having it, even if it leaves before the end.

    Args:
        workload: What a round of clients merges, and what that takes to send.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload, self._merged = workload, 0
        self._known = np.zeros(len(workload.samples), np.int64)

    def missed_bits(self, clients: Ints | slice = slice(None)) -> NDArray[np.float64]:
        """Bits that would bring each of the clients up to date, everybody by default. [n]"""
        known = self._known[clients]
        if not self._merged:  # most methods merge nothing
            return np.zeros(len(known))
        return self._workload.missed_bits(self._merged - known)

    def send(self, clients: Ints) -> None:
        """These clients are sent what they missed."""
        self._known[clients] = self._merged

    def add(self, ranks: Ints) -> None:
        """A round has merged the adapters of clients with these ranks."""
        if len(ranks):
            self._merged += self._workload.merged_components(ranks)
