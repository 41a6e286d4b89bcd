"""One client at work by itself, step after step, while others come and go.

What a synchronous round knows when it begins is found out here as it happens: a transfer takes
longer when somebody joins it. So training is queued when the download is over, and the upload is
submitted when the training is.
"""

from __future__ import annotations

from collections.abc import Generator

import simpy

from wirelessfl.learning.jobs import GradientJob
from wirelessfl.network.link import timeout_at
from wirelessfl.simulation.client import Cohort, Hardware, Work


class Attempt(Cohort):
    """A `Cohort` of one.

    Args:
        env: The simulation's clock.
        hardware: Links and devices it passes through.
        work: What one client is asked to do.
        version: Version of the model that it starts from.
        jobs: Its deferred gradients, if anything is learnt.
        weight: Of its update, if that is fresh.
    """

    def __init__(
        self,
        env: simpy.Environment,
        hardware: Hardware,
        work: Work,
        version: int,
        jobs: list[GradientJob],
        weight: float,
    ) -> None:
        self.version, self.jobs, self.weight = version, jobs, weight
        self.client = int(work.clients[0])
        self.settled = False
        super().__init__(env, hardware, work)

    def _go(self) -> simpy.Event:
        return self._env.process(self._steps())

    def _steps(self) -> Generator[simpy.Event, object, None]:
        yield self._download.done
        if self.settled:
            return
        self._train()
        leaves = self.leave_s[0] <= self.compute_end_s[0]
        until_s = float(self.leave_s[0] if leaves else self.compute_end_s[0])
        if until_s > self._env.now:
            yield timeout_at(self._env, until_s)
        if leaves or self.settled:
            return
        self._upload = self._send()
        self.cell = self._upload.cell
        yield self._upload.done

    def settle(self) -> None:
        """See `Cohort.settle`: once, when it is over or the server gives it up."""
        self.settled = True
        super().settle()
