"""Which k of the gamma rank-one components of B A a client trains in a round.

The sketch S is a diagonal gamma x gamma matrix with k entries gamma / k at places drawn uniformly
without replacement, so E[S] = I (FSLoRA, arXiv 2501.19389). The forward pass uses B S A: one set
for A and B, drawn once per client and round, hence the gradient lives on k rows of A and k columns
of B. Sets of one client and round are nested: fewer components are a subset of more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness


def active_components(
    seed: int, client: int, round: int, k: int, gamma: int, modules: int, per_module: bool
) -> NDArray[np.int64]:
    """Components that a client trains, sorted, `[modules, k]`; all rows agree unless per_module."""
    module = np.arange(modules) if per_module else np.zeros(modules, np.int64)
    draws = randomness.uniform(seed, "sketch", client, round, module[:, None], np.arange(gamma))
    return np.sort(np.argsort(draws, axis=1)[:, :k], axis=1)


def sketch_diagonal(active: NDArray[np.int64], gamma: int) -> NDArray[np.float32]:
    """Diagonals of S `[modules, gamma]`: gamma / k at the active components, zero elsewhere."""
    diagonal = np.zeros((len(active), gamma), np.float32)
    np.put_along_axis(diagonal, active, np.float32(gamma / active.shape[1]), axis=1)
    return diagonal
