"""What decoders compute between their products, each in one pass over memory.

transformers writes these as five to eight torch operations, each of which reads and writes all rows
and is kept for the backward pass; in small models that takes longer than the products. Arrays are
contiguous float32. A row's results depend on that row alone, so clients are not mixed up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.compiled import reordered

Array = NDArray[np.float32]


@reordered
def rms_norm(x: Array, weight: Array, eps: float, y: Array, scale: Array) -> None:
    """y = x s weight with s = 1 / sqrt(mean(x^2) + eps) of each row (arXiv 1910.07467, eq. 4).

    Args:
        x: `[rows, width]`.
        weight: `[width]`.
        eps: Added to the mean.
        y: Filled with the result `[rows, width]`.
        scale: Filled with s `[rows]`.
    """
    one, width = np.float32(1.0), np.float32(x.shape[1])
    for i in range(x.shape[0]):
        total = np.float32(0.0)
        for j in range(x.shape[1]):
            total += x[i, j] * x[i, j]
        s = one / np.sqrt(total / width + np.float32(eps))
        scale[i] = s
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] * s * weight[j]


@reordered
def rms_norm_backward(x: Array, weight: Array, scale: Array, dy: Array, dx: Array) -> None:
    """dx = s (dy weight - x s^2 mean(dy weight x)); arguments as those of `rms_norm`."""
    width = np.float32(x.shape[1])
    for i in range(x.shape[0]):
        total, s = np.float32(0.0), scale[i]
        for j in range(x.shape[1]):
            total += dy[i, j] * weight[j] * x[i, j]
        along = total * s * s / width
        for j in range(x.shape[1]):
            dx[i, j] = s * (dy[i, j] * weight[j] - x[i, j] * along)


@reordered
def rotate(x: Array, apart: int, cos: Array, sin: Array, y: Array) -> None:
    """y = x cos + (-x_2, x_1) sin, where x_1 and x_2 are a head's halves.

    As transformers pairs them; arXiv 2104.09864, eq. 34, pairs neighbours.

    Args:
        x: Rows of `[heads x width of a head]`, one after another.
        apart: Numbers from the start of one row to that of the next.
        cos: Of the first rows, which those after them repeat `[tokens, width of a head]`.
        sin: Likewise.
        y: Filled with the result `[rows, heads, width of a head]`.
    """
    width, half = y.shape[2], y.shape[2] // 2
    for i in range(y.shape[0]):
        own_cos, own_sin = cos[i % len(cos)], sin[i % len(cos)]
        for m in range(y.shape[1]):
            start = i * apart + m * width
            head, turned = x[start : start + width], y[i, m]
            for j in range(half):
                first, second = head[j], head[half + j]
                turned[j] = first * own_cos[j] - second * own_sin[j]
                turned[half + j] = second * own_cos[half + j] + first * own_sin[half + j]


@reordered
def rotate_backward(dy: Array, cos: Array, sin: Array, dx: Array) -> None:
    """dx = dy cos + (d_2, -d_1) with d = dy sin; `dy` and `dx` are as `y` in `rotate`."""
    half = dy.shape[2] // 2
    for i in range(dy.shape[0]):
        own_cos, own_sin = cos[i % len(cos)], sin[i % len(cos)]
        for m in range(dy.shape[1]):
            turned, head = dy[i, m], dx[i, m]
            for j in range(half):
                first, second = turned[j], turned[half + j]
                head[j] = first * own_cos[j] + second * own_sin[half + j]
                head[half + j] = second * own_cos[half + j] - first * own_sin[j]


@reordered
def gated(gate: Array, gate_apart: int, up: Array, up_apart: int, open_: Array, y: Array) -> None:
    """y = gate open up, where open = 1 / (1 + exp(-gate)) (arXiv 2002.05202, eq. 5, SwiGLU).

    The exponential is 2^n exp(r) with |r| <= ln(2) / 2 and six terms of exp's series, fitted as in
    Cephes: numba's own is no vector code.

    Args:
        gate: Rows of the width of `y`, one after another.
        gate_apart: Numbers from the start of one row to that of the next.
        up: Likewise.
        up_apart: Likewise.
        open_: Filled with the sigmoid of `gate` `[rows, width]`.
        y: Filled with the result `[rows, width]`.
    """
    width = y.shape[1]
    exponents = np.empty(width, np.int32)
    powers = exponents.view(np.float32)
    half, one, most = np.float32(0.5), np.float32(1.0), np.float32(87.0)
    log2_e, ln_2, ln_2_rest = (
        np.float32(1.44269504),
        np.float32(0.693359375),
        np.float32(2.12194e-4),
    )
    for i in range(y.shape[0]):
        own_gate = gate[i * gate_apart : i * gate_apart + width]
        own_up, own_open = up[i * up_apart : i * up_apart + width], open_[i]
        for j in range(width):
            x = min(max(-own_gate[j], -most), most)
            n = np.floor(x * log2_e + half)
            r = x - n * ln_2 + n * ln_2_rest
            series = np.float32(1.9875691e-4)
            series = series * r + np.float32(1.3981999e-3)
            series = series * r + np.float32(8.3334519e-3)
            series = series * r + np.float32(4.1665796e-2)
            series = series * r + np.float32(1.6666667e-1)
            series = series * r + half
            own_open[j] = series * r * r + r + one
            exponents[j] = (np.int32(n) + np.int32(127)) << np.int32(23)
        for j in range(width):
            own_open[j] = one / (one + own_open[j] * powers[j])
        for j in range(width):
            y[i, j] = own_gate[j] * own_open[j] * own_up[j]


@reordered
def gated_backward(
    gate: Array,
    gate_apart: int,
    up: Array,
    up_apart: int,
    open_: Array,
    dy: Array,
    d_gate: Array,
    d_up: Array,
) -> None:
    """d_up = dy gate open, d_gate = dy up open (1 + gate (1 - open)); arguments as of `gated`."""
    one, width = np.float32(1.0), dy.shape[1]
    for i in range(dy.shape[0]):
        own_gate = gate[i * gate_apart : i * gate_apart + width]
        own_up, own_open = up[i * up_apart : i * up_apart + width], open_[i]
        for j in range(width):  # two loops, for LLVM gives up on vectors of so many arrays
            d_up[i, j] = dy[i, j] * own_gate[j] * own_open[j]
        for j in range(width):
            slope = own_open[j] * (one + own_gate[j] * (one - own_open[j]))
            d_gate[i, j] = dy[i, j] * own_up[j] * slope
