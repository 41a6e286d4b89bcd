from __future__ import annotations

import pytest
import torch

from wirelessfl.learning.ragged import add_times_, times, transposed_times

SIZES = [3, 0, 5, 1]


@pytest.mark.parametrize("sizes", [SIZES, [7], None])
def test_products_are_each_clients_own(sizes: list[int] | None):
    clients = 4 if sizes is None else len(sizes)
    shape = (clients, 6) if sizes is None else (sum(sizes),)
    x, y = torch.randn(*shape, 3), torch.randn(*shape, 2)
    matrices = torch.randn(clients, 3, 2)
    xs, ys = (z.unbind() if sizes is None else z.split(sizes) for z in (x, y))
    together = torch.stack if sizes is None else torch.cat
    products = together([own @ m for own, m in zip(xs, matrices, strict=True)])
    torch.testing.assert_close(times(x, matrices, sizes), products)
    grams = torch.stack([a.T @ b for a, b in zip(xs, ys, strict=True)])
    torch.testing.assert_close(transposed_times(x, y, sizes), grams)
    expected = y + products
    added = add_times_(y, x, matrices, sizes)
    assert added is y
    torch.testing.assert_close(y, expected)
