"""Products B A of an adapter's factors: what the model's layers see of it, and the way back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.jobs import Vector
from wirelessfl.learning.layout import Layout

Floats = NDArray[np.float64]

_ROUNDING = 1e-7  # of the largest singular value: below it there is nothing but float32's rounding


def products(layout: Layout, vector: Vector | Floats) -> list[Floats]:
    """scaling B A of each module, in float64 `[d_out, d_in]`.

    Args:
        layout: Places of the adapter's parameters.
        vector: The adapter `[layout.size]`, perhaps with more behind it.
    """
    made = []
    for module in layout.modules:
        rows = layout.components(vector, module).astype(np.float64)
        a, b = np.split(rows, [module.d_in], axis=1)
        made.append(module.scaling * b.T @ a)
    return made


def product_norm(layout: Layout, vector: Vector, first: int = 0) -> float:
    """||scaling B A|| (Frobenius) over all modules, of the components from `first` on.

    By ||B A||^2 = tr(B^T B A A^T), which takes no product of the size of a layer.
    """
    total = 0.0
    for module in layout.modules:
        rows = layout.components(vector, module)[first:].astype(np.float64)
        a, b = np.split(rows, [module.d_in], axis=1)
        total += module.scaling**2 * float(np.sum((a @ a.T) * (b @ b.T)))
    return float(np.sqrt(max(total, 0.0)))


def nearest_factors(layout: Layout, wanted: Sequence[Floats], fallback: Vector) -> Vector:
    """The adapter whose products are nearest to given ones: the best of rank gamma, by SVD.

    (Eckart and Young 1936.) A = sqrt(S) V^T and B = U sqrt(S), largest first. Where there is
    nothing to hold, A is the fallback's and B zero, so that training can begin there.

    Returns:
        `[layout.size]`, the fallback's head.
    """
    vector = fallback.copy()
    for module, product in zip(layout.modules, wanted, strict=True):
        u, s, vt = _svd(product / module.scaling)
        kept = min(layout.rank, _rank(s))
        rows = layout.components(vector, module)
        root = np.sqrt(s[:kept])
        rows[:kept, : module.d_in] = root[:, None] * vt[:kept]
        rows[:kept, module.d_in :] = (u[:, :kept] * root).T
        rows[kept:, module.d_in :] = 0.0
    return vector


def exact_factors(
    layout: Layout, wanted: Sequence[Floats]
) -> tuple[int, dict[str, tuple[Vector, Vector]]]:
    """An adapter of scaling 1 whose products are given ones, but for float32's rounding.

    Returns:
        Its rank, the largest that a module needs, which may be that of a whole layer; and A
        `[rank, d_in]` and B `[d_out, rank]` by the name of each module.
    """
    found = [_svd(product) for product in wanted]
    rank = max(1, *(_rank(s) for _, s, _ in found))
    factors = {}
    for module, (u, s, vt) in zip(layout.modules, found, strict=True):
        kept = min(rank, len(s))
        a = np.zeros((rank, module.d_in), np.float32)
        b = np.zeros((module.d_out, rank), np.float32)
        a[:kept], b[:, :kept] = vt[:kept], u[:, :kept] * s[:kept]
        factors[module.name] = (a, b)
    return rank, factors


def _svd(product: Floats) -> tuple[Floats, Floats, Floats]:
    """The singular value decomposition; NaN, of rank one, of what is not finite."""
    if np.isfinite(product).all():
        u, s, vt = np.linalg.svd(product, full_matrices=False)
        return u, s, vt
    d_out, d_in = product.shape
    return np.full((d_out, 1), np.nan), np.ones(1), np.full((1, d_in), np.nan)


def _rank(s: Floats) -> int:
    """How many singular values count; they fall."""
    return int((s > _ROUNDING * max(s[0], 1e-30)).sum())
