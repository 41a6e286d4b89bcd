"""The adapted linear layer of many clients, with its own backward pass.

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
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wirelessfl.learning.products import linear
from wirelessfl.learning.ragged import Sizes, add_times_, times, transposed_times

_RANKS = 1.5
"""A matrix as large as this many ranks' factors costs the same both ways (measured, Zen 5)."""


def adapted_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    a: Tensor,
    b: Tensor,
    gain: Tensor,
    sizes: Sizes = None,
) -> Tensor:
    """x W^T + bias + gain (x A^T) B^T of every client, all in float32.

    Args:
        x: Inputs `[clients, rows, d_in]`, or `[rows, d_in]` client after client.
        weight: Frozen W `[d_out, d_in]`.
        bias: Frozen, `[d_out]`, or None.
        a: A `[clients, k, d_in]`.
        b: B^T `[clients, k, d_out]`.
        gain: Never with a gradient, `[clients, 1, 1]`.
        sizes: Rows of each client, if they lie below each other.

    Returns:
        `[..., d_out]`; x, A and B can have gradients.
    """
    y: Tensor = _AdaptedLinear.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, a, b, gain, sizes
    )
    return y


class _AdaptedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        gain: Tensor,
        sizes: Sizes,
    ) -> Tensor:
        ctx.sizes = sizes
        clients, k, (d_out, d_in) = len(a), a.shape[1], weight.shape
        rows = x.numel() // (clients * d_in)
        scaled = b * gain
        if d_in * d_out <= min(rows, _RANKS * k) * (d_in + d_out):
            merged = torch.baddbmm(weight.expand(clients, -1, -1), scaled.mT, a)
            ctx.save_for_backward(x, merged, a, b, gain)
            y = times(x, merged.mT, sizes)
            return y if bias is None else y.add_(bias)
        low = times(x, a.mT, sizes)
        ctx.save_for_backward(x, weight, a, b, gain, low)
        return add_times_(linear(x, weight, bias), low, scaled, sizes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dy, sizes = gradients[0].contiguous(), ctx.sizes
        x, weight, a, b, gain, *kept = ctx.saved_tensors
        inward = ctx.needs_input_grad[0]
        if not kept:
            dx = times(dy, weight, sizes) if inward else None
            full = transposed_times(dy, x, sizes).mul_(gain)
            da, db = torch.bmm(b, full), torch.bmm(a, full.mT)
        else:
            (low,), d_low = kept, times(dy, (b * gain).mT, sizes)
            dx = add_times_(linear(dy, weight.mT), d_low, a, sizes) if inward else None
            da, db = transposed_times(d_low, x, sizes), transposed_times(low, dy, sizes).mul_(gain)
        return dx, None, None, da, db, None, None
