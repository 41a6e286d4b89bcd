from __future__ import annotations

import pytest
import torch

from wirelessfl.learning.adapted import adapted_linear

SHAPES = [(3, 9, 4, 5, 2), (2, 20, 6, 9, 1), (3, 2, 7, 8, 2), (1, 5, 4, 4, 3)]  # two of each way


def tensors(n: int, rows: int, d_in: int, d_out: int, k: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(n * rows)
    shapes = [(n, rows, d_in), (d_out, d_in), (d_out,), (n, k, d_in), (n, k, d_out), (n, 1, 1)]
    return [torch.randn(*shape, generator=rng, dtype=torch.float64) for shape in shapes]


def test_a_small_matrix_is_merged_and_a_large_one_is_not():
    kept = []
    for shape in SHAPES:
        x, weight, bias, a, b, gain = tensors(*shape)
        y = adapted_linear(x, weight, bias, a.requires_grad_(), b, gain)
        assert y.grad_fn is not None
        kept.append(len(y.grad_fn.saved_tensors))  # type: ignore[attr-defined]
    assert kept == [5, 6, 6, 5]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_frozen_layer_plus_b_a_with_the_gradients_of_that(
    shape: tuple[int, ...], biased: bool
):
    x, weight, bias, a, b, gain = tensors(*shape)
    own = bias if biased else None
    low = gain * torch.einsum("nri,nki->nrk", x, a)
    expected = x @ weight.T + torch.einsum("nrk,nko->nro", low, b)
    expected = expected + bias if biased else expected
    torch.testing.assert_close(adapted_linear(x, weight, own, a, b, gain), expected)
    inputs = [tensor.requires_grad_() for tensor in (x, a, b)]
    assert torch.autograd.gradcheck(
        lambda x, a, b: adapted_linear(x, weight, own, a, b, gain), inputs
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_goes_back_to_an_input_below_the_first_adapter(shape: tuple[int, ...]):
    x, weight, bias, a, b, gain = tensors(*shape)
    y = adapted_linear(x, weight, bias, a.requires_grad_(), b.requires_grad_(), gain)
    y.sum().backward()
    assert x.grad is None
    assert a.grad is not None and a.grad.shape == a.shape
    assert b.grad is not None and b.grad.shape == b.shape


@pytest.mark.parametrize("shape", SHAPES)
def test_clients_with_unequal_rows_compute_the_same(shape: tuple[int, ...]):
    x, weight, bias, a, b, gain = tensors(*shape)
    sizes = [max(1, shape[1] - n) for n in range(len(x))]
    rows = torch.cat([own[:size] for own, size in zip(x, sizes, strict=True)])
    expected = adapted_linear(x, weight, bias, a, b, gain)
    y = adapted_linear(rows, weight, bias, a, b, gain, sizes)
    parts = [own[:size] for own, size in zip(expected, sizes, strict=True)]
    torch.testing.assert_close(y, torch.cat(parts))
    inputs = [tensor.requires_grad_() for tensor in (rows, a, b)]
    assert torch.autograd.gradcheck(
        lambda x, a, b: adapted_linear(x, weight, bias, a, b, gain, sizes), inputs
    )
