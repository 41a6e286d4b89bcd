"""What clients have to download because others changed the frozen weights while they were away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.workload import NUMBER_BITS, Workload


class Merges:
    """Numbers merged into the frozen weights so far, and how far each client has come.

    Only methods that change the frozen weights merge anything (`flora`, `fedex`). A client that is
    far behind gets the whole change of the weights instead, if that is less. Who is sent what it
    missed counts as having it, even if it leaves before the end.

    Args:
        workload: What a round of clients merges.
    """

    def __init__(self, workload: Workload) -> None:
        self._workload, self._merged = workload, 0
        self._known = np.zeros(len(workload.samples), np.int64)

    def download_bits(self, clients: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bits that bring clients up to date, who are then. [n]"""
        missed = np.minimum(self._merged - self._known[clients], self._workload.dense_size)
        self._known[clients] = self._merged
        return np.asarray(NUMBER_BITS * missed, np.float64)

    def add(self, ranks: NDArray[np.int64]) -> None:
        """A round has merged the adapters of clients with these ranks."""
        if len(ranks):
            self._merged += self._workload.merged_numbers(ranks)
