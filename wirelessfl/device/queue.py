"""One worker or several on each device: jobs are begun in the order in which they arrive.

    start = max(ready, when the first worker is free),  end = start + duration

A whole cohort enters in one call; the queue needs no events because each job's end is known when
it enters. Background jobs are looked at only then: those that arrived before it are ahead of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.device.background import BackgroundWork

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ComputeQueue:
    """When each device's workers become free.

    Args:
        clients: Number of devices.
        workers: Workers of each device, one if omitted. [clients]
        background: Other jobs on the same workers.
    """

    def __init__(
        self,
        clients: int,
        workers: Ints | None = None,
        background: BackgroundWork | None = None,
    ) -> None:
        has = np.ones(clients, dtype=np.int64) if workers is None else workers
        missing = np.arange(has.max(initial=1)) >= has[:, None]
        self._free_s: Floats = np.where(missing, np.inf, -np.inf)  # [clients, workers]
        self._seen_s = np.full(clients, -np.inf)  # background arrivals up to here are in _free_s
        self._newest = np.zeros(clients, dtype=np.int64)  # worker of the newest job
        self._free_before_s = np.full(clients, -np.inf)  # that worker's, without the newest job
        self._background = background

    @property
    def busy_until_s(self) -> Floats:
        """Time from which some worker has nothing to do, arrivals to come aside. [clients]"""
        return np.asarray(np.maximum(self._free_s.min(axis=1), 0.0), dtype=np.float64)

    def enter(self, clients: Ints, ready_s: Floats, duration_s: Floats) -> tuple[Floats, Floats]:
        """Queue one job for each of the clients.

        Args:
            clients: Whose workers; no client twice. [n]
            ready_s: When each job arrives. [n]
            duration_s: How long each runs. [n]

        Returns:
            Start and end of each job. [n], [n]
        """
        free_s = self._free_s[clients]
        if self._background is not None:
            free_s = self._background.after(clients, free_s, self._seen_s[clients], ready_s)
            self._seen_s[clients] = np.maximum(self._seen_s[clients], ready_s)
        rows, worker = np.arange(len(clients)), free_s.argmin(axis=1)
        self._newest[clients], self._free_before_s[clients] = worker, free_s[rows, worker]
        start_s = np.maximum(ready_s, free_s[rows, worker])
        end_s = start_s + duration_s
        free_s[rows, worker] = end_s
        self._free_s[clients] = free_s
        return start_s, end_s

    def release(self, clients: Ints, at_s: Floats) -> None:
        """Abandon each client's newest job: its worker is free at `at_s`, if not before. [n]

        A job that has ended by then changes nothing; one that has not started leaves the worker
        to the jobs before it.
        """
        worker = self._newest[clients]
        free_s = np.maximum(at_s, self._free_before_s[clients])
        self._free_s[clients, worker] = np.minimum(self._free_s[clients, worker], free_s)

    def block(self, clients: Ints, until_s: Floats) -> None:
        """Let none of the clients' workers begin anything before `until_s`. [n]"""
        self._free_s[clients] = np.maximum(self._free_s[clients], until_s[:, None])
