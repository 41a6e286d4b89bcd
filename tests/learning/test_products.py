from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from torch.profiler import ProfilerActivity, profile

from wirelessfl.learning import products


@pytest.fixture(params=[False, True], ids=["mkl", "onednn"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this processor is better off with."""
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "ONEDNN", request.param)


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


def test_only_large_products_go_to_onednn():
    if not products.ONEDNN:
        assert not any("_linear_pointwise" in name for name in operators(200))
        return
    assert any("_linear_pointwise" in name for name in operators(200))
    assert not any("_linear_pointwise" in name for name in operators(10))


@pytest.mark.parametrize("biased", [True, False])
def test_memory_that_is_there_is_filled_where_it_can_be(biased: bool):
    x, weight, bias = tensors(700)
    own, room = bias if biased else None, torch.full((700, 80), torch.nan)
    y = products.linear(x[0], weight, own, out=room)
    assert (y.data_ptr() == room.data_ptr()) != products.ONEDNN
    torch.testing.assert_close(y, F.linear(x[0], weight, own), rtol=0, atol=3e-5)


@pytest.mark.parametrize(
    ("cpuinfo", "named", "expected"),
    [
        ("vendor_id\t: GenuineIntel\n", "", True),
        ("vendor_id\t: AuthenticAMD\n", "GenuineIntel", False),
        (None, "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", True),
        (None, "arm", False),
    ],
)
def test_a_processor_of_intels_is_told_by_its_vendor(
    cpuinfo: str | None,
    named: str,
    expected: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    known = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        known.write_text(cpuinfo)
    monkeypatch.setattr(products, "_CPUINFO", known)
    monkeypatch.setattr(products.platform, "processor", lambda: named)
    assert products._intel() is expected


def test_other_precisions_are_left_to_torch():
    x, weight, bias = (tensor.double() for tensor in tensors(200))
    assert torch.equal(products.linear(x, weight, bias), F.linear(x, weight, bias))
