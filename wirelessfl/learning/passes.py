"""Which samples of a cohort go through the model together, so that little of it is padding.

Within a pass all sequences are as long as its longest. Every client's samples of a step are
therefore put in order, longest first, and the places cut into the passes that cost least in all:

    sum over passes of  OVERHEAD + clients x samples x longest,

in tokens, where OVERHEAD is what a pass costs besides its tokens. Lengths are rounded up to a
multiple of LENGTHS, because a shape that was computed before is cheaper (see `products`).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wirelessfl.learning.cheapest_cut import cheapest_cut

OVERHEAD_TOKENS = 256
"""Measured: 3 to 6 ms of operators a pass, 6 to 30 us a token in the smallest models (x86)."""

LENGTHS = 8
"""Lengths of passes are multiples of this, in tokens."""


def longest_first(rows: Tensor, valid: Tensor, mask: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
    """The rows of each client and step in order of length, and the longest at each place.

    Args:
        rows: Samples `[clients, steps, batch]`.
        valid: 1 where they are real, which is before where they are not `[clients, batch]`.
        mask: The samples' attention mask `[samples, length]`.

    Returns:
        Rows, what is not real being the shortest that is, and lengths `[steps, batch]`.
    """
    lengths = torch.where(valid[:, None] > 0, mask[rows].sum(-1), 0)
    lengths, order = lengths.sort(dim=2, descending=True, stable=True)
    last = valid.sum(1).long()[:, None, None] - 1
    places = torch.minimum(torch.arange(rows.shape[2], device=rows.device), last)
    places = places.expand(rows.shape)
    ordered = rows.gather(2, order).gather(2, places)
    return ordered, lengths.gather(2, places).amax(0).cpu().numpy()


def cut(longest: NDArray[np.int64], clients: int, most: int) -> list[slice]:
    """The cheapest passes.

    Args:
        longest: Longest sequence of the clients at each place `[batch]`, not increasing.
        clients: Clients in the cohort.
        most: Samples of a client in one pass.
    """
    longest = -(-longest // LENGTHS) * LENGTHS
    return cheapest_cut(
        len(longest),
        lambda firsts, end: OVERHEAD_TOKENS + clients * (end - firsts) * longest[firsts],
        most,
    )
