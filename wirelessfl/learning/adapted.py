"""The adapted linear layers that read one input, for many clients, with their own backward pass.

Autograd would keep and re-read every intermediate of y_n = x_n W^T + g_n (x_n A_n^T) B_n^T, where
g_n is a number. Written as one operation it is done in the cheaper of two ways:

    apart     y_n = x_n W^T + g_n L_n B_n^T with L_n = x_n A_n^T, dx_n = dy_n W + D_n A_n,
              dA_n = D_n^T x_n with D_n = g_n dy_n B_n, dB_n^T = g_n L_n^T dy_n
    merged    y_n = x_n M_n^T with M_n = W + g_n B_n A_n, dx_n = dy_n M_n,
              dA_n = B_n^T G_n, dB_n = G_n A_n^T with G_n = g_n dy_n^T x_n

Apart takes 4 d_in d_out + 6 k (d_in + d_out) operations a row, of which the first are one product
for all clients (see `products`); merged takes 6 d_in d_out in products of a client's own, and keeps
M_n, so it is for matrices that are small beside the rank and the rows. The frozen W never gets a
gradient. The choice follows the shapes alone, so it is the same on every machine.

Layers that read the same input, as queries, keys and values do, are one operation too: their A_n
(apart) or M_n (merged) lie below each other, which makes few larger products of many thin ones, and
their parts of dx_n are added up where they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wirelessfl.learning.products import linear
from wirelessfl.learning.ragged import Sizes, add_times_, times, transposed_times

_RANKS = 3.0
"""A matrix as large as this many ranks' factors is merged (measured, an Intel Xeon)."""


@dataclass(frozen=True)
class Adapted:
    """One layer for all clients, in float32.

    Attributes:
        weight: Frozen W `[d_out, d_in]`.
        bias: Frozen, `[d_out]`, or None.
        a: A `[clients, k, d_in]`.
        b: B^T `[clients, k, d_out]`.
        gain: Never with a gradient, `[clients, 1, 1]`.
    """

    weight: Tensor
    bias: Tensor | None
    a: Tensor
    b: Tensor
    gain: Tensor


def adapted_linears(
    x: Tensor, layers: Sequence[Adapted], sizes: Sizes = None
) -> tuple[Tensor, ...]:
    """x W^T + bias + gain (x A^T) B^T of every layer and client.

    Args:
        x: Inputs `[rows, d_in]`, client after client.
        layers: Of as many inputs and one k.
        sizes: Rows of each client; None if all have as many.

    Returns:
        `[rows, d_out]` of each layer, maybe with a gap after each row; x, A and B can have
        gradients.
    """
    frozen = [(layer.weight, layer.bias, layer.gain) for layer in layers]
    factors = [factor for layer in layers for factor in (layer.a, layer.b)]
    ys: tuple[Tensor, ...] = _AdaptedLinears.apply(  # type: ignore[no-untyped-call]
        x, sizes, frozen, *factors
    )
    return ys


Frozen = tuple[Tensor, Tensor | None, Tensor]
"""W, bias and gain of a layer."""


class _AdaptedLinears(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        sizes: Sizes,
        frozen: Sequence[Frozen],
        *factors: Tensor,
    ) -> tuple[Tensor, ...]:
        every_a, every_b = factors[::2], factors[1::2]
        clients, k, d_in = every_a[0].shape
        ctx.set_materialize_grads(False)
        ctx.sizes, ctx.frozen = sizes, frozen
        ctx.d_outs = d_outs = [weight.shape[0] for weight, _, _ in frozen]
        scaled = [b * gain for b, (_, _, gain) in zip(every_b, frozen, strict=True)]
        most = min(x.shape[0] / clients, _RANKS * k)
        ctx.merged = d_in * sum(d_outs) <= most * (len(d_outs) * d_in + sum(d_outs))
        if ctx.merged:
            changes = zip(frozen, scaled, every_a, strict=True)
            merged = _joined(
                [torch.baddbmm(w.expand(clients, -1, -1), b.mT, a) for (w, _, _), b, a in changes]
            )
            ctx.save_for_backward(x, merged, *factors)
            y = times(x, merged.mT, sizes, _joined_biases(frozen))
            # "unsafe" only as one memory: each may be changed in place, where a view may not
            return tuple(torch.unsafe_split_with_sizes(y, d_outs, 1))
        joined_a = _joined(every_a)
        low = times(x, joined_a.mT, sizes)
        ctx.save_for_backward(x, low, *factors)
        lows = low.split_with_sizes([k] * len(scaled), 1)
        return tuple(
            add_times_(linear(x, weight, bias), own, b, sizes)
            for (weight, bias, _), own, b in zip(frozen, lows, scaled, strict=True)
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, kept, *factors = ctx.saved_tensors
        count, inward = len(gradients), ctx.needs_input_grad[0]
        # Some may be for nothing: a last block reads all tokens' keys, but few tokens' queries.
        used = [n for n, gradient in enumerate(gradients) if gradient is not None]
        every: list[Tensor | None] = [None] * (2 * count)
        if not used:
            return None, None, None, *every
        own = []
        for n in used:
            weight, bias, gain = ctx.frozen[n]
            own.append(Adapted(weight, bias, factors[2 * n], factors[2 * n + 1], gain))
        dys = [dy.contiguous() for dy in gradients if dy is not None]
        if ctx.merged:
            matrices = kept.split_with_sizes(ctx.d_outs, 1)
            dx, found = _merged(dys, x, [matrices[n] for n in used], own, ctx.sizes, inward)
        else:
            lows = kept.split_with_sizes([kept.shape[1] // count] * count, 1)
            dx, found = _apart(dys, x, [lows[n] for n in used], own, ctx.sizes, inward)
        for n, (da, db) in zip(used, found, strict=True):
            every[2 * n : 2 * n + 2] = da, db
        return dx, None, None, *every


def _merged(
    dys: Sequence[Tensor],
    x: Tensor,
    matrices: Sequence[Tensor],
    layers: Sequence[Adapted],
    sizes: Sizes,
    inward: bool,
) -> tuple[Tensor | None, list[tuple[Tensor, Tensor]]]:
    """Gradients in x, if it needs one, and in A and B^T of every layer."""
    dx: Tensor | None = None
    if inward:
        dx = times(dys[0], matrices[0], sizes)
        for dy, matrix in zip(dys[1:], matrices[1:], strict=True):
            add_times_(dx, dy, matrix, sizes)
    found = []
    for dy, layer in zip(dys, layers, strict=True):
        full = transposed_times(dy, x, layer.a.shape[0], sizes).mul_(layer.gain)
        found.append((torch.bmm(layer.b, full), torch.bmm(layer.a, full.mT)))
    return dx, found


def _apart(
    dys: Sequence[Tensor],
    x: Tensor,
    lows: Sequence[Tensor],
    layers: Sequence[Adapted],
    sizes: Sizes,
    inward: bool,
) -> tuple[Tensor | None, list[tuple[Tensor, Tensor]]]:
    """Likewise."""
    scaled = [(layer.b * layer.gain).mT for layer in layers]
    d_low = _joined([times(dy, b, sizes) for dy, b in zip(dys, scaled, strict=True)])
    clients = scaled[0].shape[0]
    dx: Tensor | None = None
    if inward:
        dx = linear(dys[0], layers[0].weight.mT)
        for dy, layer in zip(dys[1:], layers[1:], strict=True):
            dx += linear(dy, layer.weight.mT)
        add_times_(dx, d_low, _joined([layer.a for layer in layers]), sizes)
    every_da = transposed_times(d_low, x, clients, sizes).chunk(len(dys), 1)
    every_db = [
        transposed_times(low, dy, clients, sizes).mul_(layer.gain)
        for low, dy, layer in zip(lows, dys, layers, strict=True)
    ]
    return dx, list(zip(every_da, every_db, strict=True))


def _joined_biases(frozen: Sequence[Frozen]) -> Tensor | None:
    """`[d_out]` of every layer, one after another; None if none has any."""
    biases = [bias for _, bias, _ in frozen]
    if all(bias is None for bias in biases):
        return None
    every = [w.new_zeros(w.shape[0]) if bias is None else bias for w, bias, _ in frozen]
    return every[0] if len(every) == 1 else torch.cat(every)


def _joined(matrices: Sequence[Tensor]) -> Tensor:
    """`[clients, k, d]` of every layer below each other, or `[rows, k]` beside."""
    return matrices[0] if len(matrices) == 1 else torch.cat(list(matrices), 1)
