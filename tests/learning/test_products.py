from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.profiler import ProfilerActivity, profile

from wirelessfl.learning import products


def tensors(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(rows)
    shapes = ((3, rows, 96), (80, 96), (80,))
    x, weight, bias = (torch.randn(*shape, generator=rng) for shape in shapes)
    return x, weight, bias


def operators(rows: int) -> set[str]:
    x, weight, bias = tensors(rows)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        products.linear(x, weight, bias)
    return {event.name for event in seen.events()}


@pytest.mark.parametrize("rows", [7, 70, 700])
@pytest.mark.parametrize("biased", [True, False])
def test_it_is_torchs_linear_layer(rows: int, biased: bool):
    x, weight, bias = tensors(rows)
    own = bias if biased else None
    expected = F.linear(x.double(), weight.double(), None if own is None else own.double())
    y = products.linear(x, weight, own)
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=3e-5)
    back = products.linear(y, weight.mT)  # strides of a transposed matrix
    torch.testing.assert_close(back.double(), y.double() @ weight.double(), rtol=0, atol=1e-3)


@pytest.mark.skipif(not products.ONEDNN, reason="this torch has no oneDNN")
def test_only_large_products_go_to_onednn():
    assert any("_linear_pointwise" in name for name in operators(200))
    assert not any("_linear_pointwise" in name for name in operators(10))


def test_a_torch_without_onednn_computes_the_same(monkeypatch: pytest.MonkeyPatch):
    x, weight, bias = tensors(200)
    with_it = products.linear(x, weight, bias)
    monkeypatch.setattr(products, "ONEDNN", False)
    torch.testing.assert_close(products.linear(x, weight, bias), with_it, rtol=0, atol=3e-5)


def test_other_precisions_are_left_to_torch():
    x, weight, bias = (tensor.double() for tensor in tensors(200))
    assert torch.equal(products.linear(x, weight, bias), F.linear(x, weight, bias))
