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

Memories grow stale, and then correcting by all of them adds noise: with little in common between a
client's updates FedVARP is noisier than no memory. Fitted memories (ours) are scaled by a factor b,

    U = sum_n a_n b h_n + sum_{n in S} w_n (delta_n - b H_n h_n),   b = C / V in [0, 1],

where C and V are running means of sum w_n^2 <delta_n, H_n h_n> and sum w_n^2 ||H_n h_n||^2 in the
rounds before: the regression that would have left least of the noise. b is older than the round,
so U is unbiased as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import Vector
from wirelessfl.learning.state import State, by_client, named, of_clients, part

if TYPE_CHECKING:
    from wirelessfl.learning.methods.base import Support


# Weight of the past in what the factor of fitted memories is fitted to.
MEMORY = 0.9


class Memories:
    """What the server remembers of the clients it has heard from; of the others, zero.

    Args:
        parameters: Length of an update.
        fitted: Whether memories are scaled by a fitted factor; else the factor is 1.
    """

    def __init__(self, parameters: int, fitted: bool) -> None:
        self._of: dict[int, Vector] = {}
        self._total: NDArray[np.float64] = np.zeros(parameters)
        self._fitted, self._factor = fitted, 1.0
        self._common, self._remembered = 0.0, 0.0

    def expected(self) -> NDArray[np.float64]:
        """sum_n a_n b h_n; a round begins with it, and its factor b holds until the next.

        [parameters]
        """
        if self._fitted:
            self._factor = 0.0
            if self._remembered > 0:
                self._factor = float(np.clip(self._common / self._remembered, 0.0, 1.0))
            self._common *= MEMORY
            self._remembered *= MEMORY
        return self._factor * self._total

    def correction(self, client: int, weight: float, delta: Vector, support: Support) -> Vector:
        """delta_n - b H_n h_n of a client of weight w_n; zero outside the sketch. [parameters]"""
        if (memory := self._of.get(client)) is None:
            return delta
        believed = memory
        if support.inverse is not None:
            believed, places = np.zeros_like(delta), support.places
            believed[places] = support.inverse * memory[places]
        if self._fitted:
            self._common += weight**2 * float(believed @ delta)
            self._remembered += weight**2 * float(believed @ believed)
        return np.asarray(delta - np.float32(self._factor) * believed, np.float32)

    def remember(self, client: int, share: float, delta: Vector, support: Support) -> None:
        """Takes what a client sent into its memory; its share a_n is the same every time."""
        if client not in self._of:
            self._of[client] = np.zeros(len(self._total), np.float32)
        memory = self._of[client]
        places: NDArray[np.int64] | slice = slice(None)
        new = delta
        if support.inverse is not None:
            places = support.places
            new = delta[places] / support.inverse
        self._total[places] += share * (new.astype(np.float64) - memory[places])
        memory[places] = new

    def state(self) -> State:
        """See `wirelessfl.learning.state`."""
        fit = np.array([self._factor, self._common, self._remembered])
        return {"total": self._total, "fit": fit, **named("of", by_client(self._of))}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._of, self._total = of_clients(part(state, "of")), state["total"]
        self._factor, self._common, self._remembered = state["fit"].tolist()
