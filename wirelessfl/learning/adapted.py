"""The adapted linear layer of many clients, with its own backward pass.

Autograd would keep and re-read every intermediate of y_n = x_n W^T + g_n (x_n A_n^T) B_n^T, where
g_n is a number. Written as one operation it is done in the cheaper of two ways:

    apart     y_n = x_n W^T + L_n B_n^T with L_n = g_n x_n A_n^T, dx_n = dy_n W + D_n A_n,
              dA_n = D_n^T x_n with D_n = g_n dy_n B_n, dB_n^T = L_n^T dy_n
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

_RANKS = 1.5
"""A matrix as large as this many ranks' factors costs the same both ways (measured, Zen 5)."""


def adapted_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, gain: Tensor
) -> Tensor:
    """x W^T + bias + gain (x A^T) B^T of every client, all in float32.

    Args:
        x: Inputs `[clients, rows, d_in]`.
        weight: Frozen W `[d_out, d_in]`.
        bias: Frozen, `[d_out]`, or None.
        a: A `[clients, k, d_in]`.
        b: B^T `[clients, k, d_out]`.
        gain: Never with a gradient, `[clients, 1, 1]`.

    Returns:
        `[clients, rows, d_out]`; x, A and B can have gradients.
    """
    y: Tensor = _AdaptedLinear.apply(x, weight, bias, a, b, gain)  # type: ignore[no-untyped-call]
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
    ) -> Tensor:
        rows, k, (d_out, d_in) = x.shape[1], a.shape[1], weight.shape
        if d_in * d_out <= min(rows, _RANKS * k) * (d_in + d_out):
            merged = torch.baddbmm(weight.expand(len(x), -1, -1), (b * gain).mT, a)
            ctx.save_for_backward(x, merged, a, b, gain)
            if bias is None:
                return torch.bmm(x, merged.mT)
            return torch.baddbmm(bias, x, merged.mT)
        low = torch.bmm(x, a.mT).mul_(gain)
        ctx.save_for_backward(x, weight, a, b, gain, low)
        return linear(x, weight, bias).baddbmm_(low, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = gradients
        x, weight, a, b, gain, *kept = ctx.saved_tensors
        inward = ctx.needs_input_grad[0]
        if not kept:
            dx = torch.bmm(dy, weight) if inward else None
            full = torch.bmm(dy.mT, x).mul_(gain)
            return dx, None, None, torch.bmm(b, full), torch.bmm(a, full.mT), None
        (low,), d_low = kept, torch.bmm(dy, b.mT).mul_(gain)
        dx = linear(dy, weight.mT).baddbmm_(d_low, a) if inward else None
        return dx, None, None, torch.bmm(d_low.mT, x), torch.bmm(low.mT, dy), None
