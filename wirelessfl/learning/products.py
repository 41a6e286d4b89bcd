"""Rows times a frozen matrix, by the faster of the libraries that torch brings.

On CPUs torch multiplies float32 matrices with MKL, which leaves half of a vector unit idle on
processors that are not Intel's; oneDNN, which torch brings too, does not (measured on a Zen 5 core:
217 GFLOP/s against 104). On Intel's own MKL is the faster one (an Intel Xeon: 1.1 to 1.5 times).
A call of oneDNN costs more, so it is for large products only, and its first call with a shape some
0.2 to 1 ms, so shapes should recur.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_LARGE = 5e6
"""Multiplications and additions from which oneDNN is well worth the 10 us its call costs more."""

_CPUINFO = Path("/proc/cpuinfo")  # Linux


def _intel() -> bool:
    """Whether this is a processor of Intel's, for which MKL is made."""
    told = _CPUINFO.read_text() if _CPUINFO.exists() else platform.processor()
    return "GenuineIntel" in told


ONEDNN: bool = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and not _intel()
)
"""Whether this torch brings it, and it is the faster one here."""


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """x W^T + bias, as torch's own `linear` but for rounding; leaves nothing to autograd.

    Args:
        x: Rows `[..., d_in]`.
        weight: W `[d_out, d_in]`, of any strides.
        bias: `[d_out]` or None.
        out: Memory for the result of a matrix `[rows, d_out]`, which MKL uses.

    Returns:
        `[..., d_out]`
    """
    large = 2 * x.numel() * len(weight) >= _LARGE
    if large and ONEDNN and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return y
    if out is None:
        return F.linear(x, weight, bias)
    if bias is None:
        return torch.mm(x, weight.T, out=out)
    return torch.addmm(bias, x, weight.T, out=out)
