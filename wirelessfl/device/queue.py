"""One worker on each device: jobs run one after another, first come, first served.

    start = max(ready, busy_until),  end = start + duration

A whole cohort enters in one call; the queue needs no events because each job's end is known when
it enters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ComputeQueue:
    """When each device's worker becomes free.

    Attributes:
        busy_until_s: Time from which the worker has nothing to do. [clients]
    """

    def __init__(self, clients: int) -> None:
        self.busy_until_s: Floats = np.zeros(clients)
        self._free_before_s: Floats = np.zeros(clients)  # busy_until_s without the newest job

    def enter(self, clients: Ints, ready_s: Floats, duration_s: Floats) -> tuple[Floats, Floats]:
        """Queue one job for each of the clients.

        Args:
            clients: Whose workers; no client twice. [n]
            ready_s: When each job may start. [n]
            duration_s: How long each runs. [n]

        Returns:
            Start and end of each job. [n], [n]
        """
        start_s = np.maximum(ready_s, self.busy_until_s[clients])
        end_s = start_s + duration_s
        self._free_before_s[clients] = self.busy_until_s[clients]
        self.busy_until_s[clients] = end_s
        return start_s, end_s

    def release(self, clients: Ints, at_s: Floats) -> None:
        """Abandon each client's newest job: its worker is free at `at_s`, if not before. [n]

        A job that has ended by then changes nothing; one that has not started leaves the worker
        to the jobs before it.
        """
        free_s = np.maximum(at_s, self._free_before_s[clients])
        self.busy_until_s[clients] = np.minimum(self.busy_until_s[clients], free_s)
