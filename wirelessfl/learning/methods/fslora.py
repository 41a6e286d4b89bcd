"""FSLoRA (arXiv 2501.19389): a fresh random sketch of the adapter for every client and round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.methods.base import Method, Support
from wirelessfl.learning.sketch import active_components


class FsLora(Method):
    """Clients compute with B S A and train the k components that S keeps; E[S] = I.

    Updates add up with weights a_n / q_n, which leaves the expected step that of full participation
    at B S A.

    With `whole_forward` clients compute with all of B A and train only what S keeps; what they send
    counts gamma / k times. A single step is then unbiased for the model itself, with no change of
    the objective, but everything has to be downloaded and computed (an ablation of ours).

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed.
        per_module: Whether each module has a sketch of its own.
        whole_forward: See above.
    """

    def __init__(
        self, layout: Layout, seed: int, per_module: bool = False, whole_forward: bool = False
    ) -> None:
        super().__init__(layout, seed)
        self._per_module, self._whole = per_module, whole_forward

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        if self._whole:
            places = self.layout.first_index(self.layout.rank)
            trained = np.zeros(self.layout.size, bool)
            trained[self._places(job)] = True
            return LocalStart(model[places], self.layout.rank, trained=trained[places])
        return LocalStart(model[self._places(job)], job.rank, self.layout.rank / job.rank)

    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """See `Method.update`: exactly zero outside the sketch."""
        delta = np.zeros(self.layout.size, np.float32)
        if not self._whole:
            delta[self._places(job)] = result.change
            return delta
        delta[self.layout.first_index(self.layout.rank)] = result.change
        lora = self.layout.size - self.layout.head_size
        delta[:lora] *= self.layout.rank / job.rank
        return delta

    def support(self, job: GradientJob) -> Support:
        """See `Method.support`: the k components of the sketch, each with probability k/gamma."""
        places = self._places(job)
        inverse = np.full(len(places), self.layout.rank / job.rank, np.float32)
        inverse[len(places) - self.layout.head_size :] = 1.0
        return Support(places, np.array(self.layout.row_sizes(job.rank)), inverse)

    def active(self, job: GradientJob) -> NDArray[np.int64]:
        """Components that a job trains `[modules, k]`."""
        return active_components(
            self.seed,
            job.client,
            job.round,
            job.rank,
            self.layout.rank,
            len(self.layout.modules),
            self._per_module,
        )

    def _places(self, job: GradientJob) -> NDArray[np.int64]:
        return self.layout.compact_index(self.active(job))
