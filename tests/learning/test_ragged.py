from __future__ import annotations

import pytest
import torch

from wirelessfl.learning.ragged import add_times_, times, transposed_times

SIZES = [3, 0, 5, 1]


@pytest.mark.parametrize("sizes", [SIZES, [7], None])
def test_products_are_each_clients_own(sizes: list[int] | None):
    clients = 4 if sizes is None else len(sizes)
    each = [6] * clients if sizes is None else sizes
    x, y = torch.randn(sum(each), 3), torch.randn(sum(each), 2)
    matrices = torch.randn(clients, 3, 2)
    xs, ys = x.split(each), y.split(each)
    products = torch.cat([own @ m for own, m in zip(xs, matrices, strict=True)])
    torch.testing.assert_close(times(x, matrices, sizes), products)
    grams = torch.stack([a.T @ b for a, b in zip(xs, ys, strict=True)])
    torch.testing.assert_close(transposed_times(x, y, clients, sizes), grams)
    expected = y + products
    added = add_times_(y, x, matrices, sizes)
    assert added is y
    torch.testing.assert_close(y, expected)
