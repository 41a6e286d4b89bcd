"""Matrix products of many clients, each with its own rows and its own matrix.

With as many rows for every client, they are stacked `[clients, rows, width]`, and a product is one
batched one. Else the rows of all lie below each other `[rows, width]`, client after client, `sizes`
of them each, and it is one product after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Sizes = Sequence[int] | None
"""Rows of each client; None if they are stacked."""


def times(x: Tensor, matrices: Tensor, sizes: Sizes) -> Tensor:
    """x_n M_n: `[..., p]` by `[clients, p, q]` gives `[..., q]`."""
    if sizes is None:
        return torch.bmm(x, matrices)
    out = x.new_empty(len(x), matrices.shape[2])
    for own, matrix, place in zip(
        _each(x, sizes), matrices.unbind(), _each(out, sizes), strict=True
    ):
        torch.mm(own, matrix, out=place)
    return out


def add_times_(y: Tensor, x: Tensor, matrices: Tensor, sizes: Sizes) -> Tensor:
    """Adds x_n M_n to y `[..., q]`, in place."""
    if sizes is None:
        return y.baddbmm_(x, matrices)
    for place, own, matrix in zip(_each(y, sizes), _each(x, sizes), matrices.unbind(), strict=True):
        place.addmm_(own, matrix)
    return y


def transposed_times(x: Tensor, y: Tensor, sizes: Sizes) -> Tensor:
    """x_n^T y_n: `[..., p]` and `[..., q]` give `[clients, p, q]`."""
    if sizes is None:
        return torch.bmm(x.mT, y)
    out = x.new_empty(len(sizes), x.shape[1], y.shape[1])
    for own, other, place in zip(_each(x, sizes), _each(y, sizes), out.unbind(), strict=True):
        torch.mm(own.T, other, out=place)
    return out


def _each(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    return torch.split_with_sizes(x, sizes)  # `Tensor.split` without its 2 us of Python
