"""Matrix products of many clients, each with its own rows and its own matrix.

The rows of all lie below each other `[rows, width]`, client after client. With as many rows for
every client a product is one batched one; else `sizes` says how many rows each has, and it is one
product after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Sizes = Sequence[int] | None
"""Rows of each client; None if all have as many."""


def times(x: Tensor, matrices: Tensor, sizes: Sizes, bias: Tensor | None = None) -> Tensor:
    """x_n M_n + bias: `[rows, p]` by `[clients, p, q]` gives `[rows, q]`."""
    if sizes is None:
        stacked = _stacked(x, matrices.shape[0])
        if bias is None:
            return torch.bmm(stacked, matrices).flatten(0, 1)
        return torch.baddbmm(bias, stacked, matrices).flatten(0, 1)
    out = x.new_empty(x.shape[0], matrices.shape[2])
    each = zip(_each(x, sizes), matrices.unbind(), _each(out, sizes), strict=True)
    for own, matrix, place in each:
        if bias is None:
            torch.mm(own, matrix, out=place)
        else:
            torch.addmm(bias, own, matrix, out=place)
    return out


def add_times_(y: Tensor, x: Tensor, matrices: Tensor, sizes: Sizes) -> Tensor:
    """Adds x_n M_n to y `[rows, q]`, in place."""
    if sizes is None:
        clients = matrices.shape[0]
        _stacked(y, clients).baddbmm_(_stacked(x, clients), matrices)
        return y
    for place, own, matrix in zip(_each(y, sizes), _each(x, sizes), matrices.unbind(), strict=True):
        place.addmm_(own, matrix)
    return y


def transposed_times(x: Tensor, y: Tensor, clients: int, sizes: Sizes) -> Tensor:
    """x_n^T y_n: `[rows, p]` and `[rows, q]` give `[clients, p, q]`."""
    if sizes is None:
        return torch.bmm(_stacked(x, clients).mT, _stacked(y, clients))
    out = x.new_empty(clients, x.shape[1], y.shape[1])
    for own, other, place in zip(_each(x, sizes), _each(y, sizes), out.unbind(), strict=True):
        torch.mm(own.T, other, out=place)
    return out


def _stacked(x: Tensor, clients: int) -> Tensor:
    return x.view(clients, -1, x.shape[1])


def _each(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    return torch.split_with_sizes(x, sizes)  # `Tensor.split` without its 2 us of Python
