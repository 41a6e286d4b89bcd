from __future__ import annotations

import pytest
import torch
from torch import Tensor

from wirelessfl.learning.adapted import Adapted, adapted_linears

MERGED = [(3, 9, 4, (5,), 2), (1, 20, 4, (4,), 3), (2, 12, 5, (3, 6, 2), 2)]
APART = [(2, 20, 6, (9,), 1), (3, 2, 7, (8,), 2), (2, 4, 9, (12, 3), 1)]
"""Clients, rows, d_in, d_out of every layer, and k."""


def tensors(
    n: int, rows: int, d_in: int, d_outs: tuple[int, ...], k: int, biased: bool = True
) -> tuple[Tensor, list[Adapted]]:
    rng = torch.Generator().manual_seed(n * rows)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    layers = [
        Adapted(
            draw(d_out, d_in),
            draw(d_out) if biased else None,
            draw(n, k, d_in),
            draw(n, k, d_out),
            draw(n, 1, 1),
        )
        for d_out in d_outs
    ]
    return draw(n * rows, d_in), layers


def written_out(x: Tensor, layer: Adapted) -> Tensor:
    own = x.unflatten(0, (len(layer.a), -1))
    y = own @ layer.weight.T + layer.gain * (own @ layer.a.mT) @ layer.b
    return (y if layer.bias is None else y + layer.bias).flatten(0, 1)


def check_gradients(x: Tensor, layers: list[Adapted], sizes: list[int] | None = None) -> None:
    factors = [factor for layer in layers for factor in (layer.a, layer.b)]
    frozen = [(layer.weight, layer.bias, layer.gain) for layer in layers]

    def function(x: Tensor, *factors: Tensor) -> tuple[Tensor, ...]:
        own = [
            Adapted(weight, bias, factors[2 * n], factors[2 * n + 1], gain)
            for n, (weight, bias, gain) in enumerate(frozen)
        ]
        return adapted_linears(x, own, sizes)

    inputs = [tensor.detach().requires_grad_() for tensor in (x, *factors)]
    assert torch.autograd.gradcheck(function, inputs)


def is_merged(x: Tensor, layers: list[Adapted]) -> bool:
    ys = adapted_linears(x.requires_grad_(), layers)
    return bool(ys[0].grad_fn.merged)  # type: ignore[union-attr]


def test_small_matrices_are_merged_and_large_ones_are_not():
    assert [is_merged(*tensors(*shape)) for shape in MERGED] == [True] * len(MERGED)
    assert [is_merged(*tensors(*shape)) for shape in APART] == [False] * len(APART)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", MERGED + APART)
def test_it_is_the_frozen_layers_plus_b_a_with_the_gradients_of_that(shape, biased: bool):
    x, layers = tensors(*shape, biased)
    for y, layer in zip(adapted_linears(x, layers), layers, strict=True):
        torch.testing.assert_close(y, written_out(x, layer))
    check_gradients(x, layers)


@pytest.mark.parametrize("shape", MERGED + APART)
def test_nothing_goes_back_to_an_input_below_the_first_adapter(shape):
    x, layers = tensors(*shape)
    for layer in layers:
        layer.a.requires_grad_()
        layer.b.requires_grad_()
    sum(y.sum() for y in adapted_linears(x, layers)).backward()  # type: ignore[union-attr]
    assert x.grad is None
    for layer in layers:
        assert layer.a.grad is not None and layer.a.grad.shape == layer.a.shape
        assert layer.b.grad is not None and layer.b.grad.shape == layer.b.shape


@pytest.mark.parametrize("shape", [MERGED[2], APART[2]])
def test_a_layer_that_nothing_reads_has_no_gradient_and_the_others_have_theirs(shape):
    x, layers = tensors(*shape)
    inputs = [x, *(layer.a for layer in layers), *(layer.b for layer in layers)]
    for tensor in inputs:
        tensor.requires_grad_()
    one, *_ = adapted_linears(x, layers)
    found = torch.autograd.grad(one.square().sum(), inputs, allow_unused=True)
    first = [x, layers[0].a, layers[0].b]
    expected = torch.autograd.grad(written_out(x, layers[0]).square().sum(), first)
    count = len(layers)
    torch.testing.assert_close([found[0], found[1], found[1 + count]], list(expected))
    assert all(found[n] is None and found[n + count] is None for n in range(2, 1 + count))


@pytest.mark.parametrize("shape", MERGED + APART)
def test_what_it_gives_may_be_changed_in_place(shape):
    x, layers = tensors(*shape)
    ys = adapted_linears(x.requires_grad_(), layers)
    expected = [2 * y.detach() for y in ys]
    for y, doubled in zip(ys, expected, strict=True):
        torch.testing.assert_close(y.mul_(2).detach(), doubled)


@pytest.mark.parametrize("shape", MERGED + APART)
def test_clients_with_unequal_rows_compute_the_same(shape):
    x, layers = tensors(*shape)
    clients, most = shape[:2]
    sizes = [max(1, most - n) for n in range(clients)]
    kept = torch.cat([n * most + torch.arange(size) for n, size in enumerate(sizes)])
    rows = x[kept]
    ys = adapted_linears(rows, layers, sizes)
    for y, expected in zip(ys, adapted_linears(x, layers), strict=True):
        torch.testing.assert_close(y, expected[kept])
    check_gradients(rows, layers, sizes)
