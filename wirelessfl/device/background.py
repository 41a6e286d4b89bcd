"""Other work on the devices: jobs that arrive at random and stand in the same queue as training.

Arrivals are Poisson and times are independent: M/G/c for c workers. What a training job finds is
computed by walking the arrivals since the device was last looked at, all clients side by side
(Kiefer and Wolfowitz, Trans. AMS 78, 1955): the job goes to the worker that is free first,

    free_w = max(free_w, arrival) + duration,   w = argmin free.

How far back one must walk is bounded: of the state at t - L nothing is left at t but a part
exp(-L / tau), with tau = S / (1 - sqrt(rho))^2 the relaxation time of an M/M/1 queue with mean job
S and load rho (1 / (sqrt(mu) - sqrt(lambda))^2; Cohen, The Single Server Queue, 1982). L = 20 tau,
so the part is 2e-9. Several workers and fixed times forget sooner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.device.poisson import PoissonPoints
from wirelessfl.scenario.availability import BackgroundConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RELAXATIONS = 20.0
_BLOCK = 2**17  # (client, arrival) pairs walked at once


class BackgroundWork:
    """The other jobs of all clients, a pure function of (seed, client, time).

    Attributes:
        look_back_s: Arrivals longer ago than this are forgotten.
    """

    def __init__(self, config: BackgroundConfig, fewest_workers: int, seed: int) -> None:
        self._config = config
        self._arrivals = PoissonPoints(seed, "background", 3600.0 / config.jobs_per_hour)
        relaxation_s = config.duration_s / (1.0 - np.sqrt(config.load / fewest_workers)) ** 2
        self.look_back_s = float(_RELAXATIONS * relaxation_s)

    def after(self, clients: Ints, free_s: Floats, since_s: Floats, until_s: Floats) -> Floats:
        """When each worker is free of the jobs that have arrived by `until_s`.

        Args:
            clients: Whose workers. [n]
            free_s: When each is free of the jobs that had arrived by `since_s`; infinity for a
                worker that a device does not have. [n, workers]
            since_s: -infinity if nothing is known yet. [n]
            until_s: [n]
        """
        begin_s = np.maximum(since_s, until_s - self.look_back_s)
        arrivals = self._config.jobs_per_hour / 3600.0 * self.look_back_s
        block = max(1, int(_BLOCK / (1.0 + arrivals)))
        parts = [
            self._walk(clients[part], free_s[part], begin_s[part], until_s[part])
            for part in (slice(i, i + block) for i in range(0, len(clients), block))
        ]
        return np.concatenate(parts) if parts else free_s

    def _walk(self, clients: Ints, free_s: Floats, begin_s: Floats, until_s: Floats) -> Floats:
        arrival_s, mark = self._arrivals.between(clients, begin_s, until_s)
        scale = -np.log(mark) if self._config.distribution == "exponential" else np.ones_like(mark)
        duration_s = self._config.duration_s * scale
        free_s = free_s.copy()
        for job in range(arrival_s.shape[1]):
            rows = np.flatnonzero(np.isfinite(arrival_s[:, job]))
            worker = free_s[rows].argmin(axis=1)
            start_s = np.maximum(free_s[rows, worker], arrival_s[rows, job])
            free_s[rows, worker] = start_s + duration_s[rows, job]
        return free_s
