"""FedVARP (arXiv 2207.14130): the server remembers what every client last sent, and corrects that.

With h_n the memory of client n, a_n its share, w_n = a_n/q_n its weight and S the participants,

    U = sum_n a_n h_n + sum_{n in S} w_n (delta_n - H_n h_n),

where H_n is diagonal: 1/P(sent) on what client n sent this round and 0 elsewhere, so E[H_n] = I
over sketches, and I itself where nothing is drawn, which is the paper's case. h_n is older than
this round's draws of S and of the sketches, so whatever it is, E[U] = sum_n a_n E[delta_n]:
unbiased.

Afterwards h_n <- H_n^-1 delta_n where something was sent, and keeps its value elsewhere: component
by component the last known estimate of E[delta_n]. If updates did not change from round to round,
H_n h_n would be delta_n and U would have no variance at all. (The paper has no sketches; with
delta_n itself, zeros included, as the memory, and no H_n, the correction of a client that sends
k < gamma/2 of its components is noisier than no memory: 2 (gamma/k - 1) against gamma/k.
`reconstructed`.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import Vector

if TYPE_CHECKING:
    from wirelessfl.learning.methods.base import Support


class Memories:
    """What the server remembers of the clients it has heard from; of the others, zero.

    Attributes:
        total: sum_n a_n h_n. [parameters]
    """

    def __init__(self, parameters: int) -> None:
        self._of: dict[int, Vector] = {}
        self.total: NDArray[np.float64] = np.zeros(parameters)

    def correction(self, client: int, delta: Vector, support: Support) -> Vector:
        """delta_n - H_n h_n; zero outside the sketch. [parameters]"""
        if (memory := self._of.get(client)) is None:
            return delta
        if support.inverse is None:
            return delta - memory
        correction = np.zeros_like(delta)
        places = support.places
        correction[places] = delta[places] - support.inverse * memory[places]
        return correction

    def remember(self, client: int, share: float, delta: Vector, support: Support) -> None:
        """Takes what a client sent into its memory; its share a_n is the same every time."""
        if client not in self._of:
            self._of[client] = np.zeros(len(self.total), np.float32)
        memory = self._of[client]
        places: NDArray[np.int64] | slice = slice(None)
        new = delta
        if support.inverse is not None:
            places = support.places
            new = delta[places] / support.inverse
        self.total[places] += share * (new.astype(np.float64) - memory[places])
        memory[places] = new
