"""Packed tokens and their attention against the padded batch, sequence by sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from wirelessfl.learning import products
from wirelessfl.learning.packing import GROUP_PAIRS, GROUP_STEP, Packing, groups

HEADS, WIDTH = 4, 3
CPU = torch.device("cpu")


def mask_of(lengths: list[int], tokens: int | None = None) -> np.ndarray:
    return np.arange(tokens or max(lengths)) < np.array(lengths)[:, None]


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[int], int]:
    """Lengths of the samples of some clients, as many to each, not all without a token."""
    clients, each = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    longest = draw(st.sampled_from([1, 3, 9, 20, 90]))
    count = clients * each
    lengths = draw(st.lists(st.integers(0, longest), min_size=count, max_size=count))
    lengths[draw(st.integers(0, count - 1))] = longest
    return lengths, clients


@given(batch=batches(), extra=st.integers(0, 4))
def test_every_real_token_is_packed_and_comes_back(batch: tuple[list[int], int], extra: int):
    lengths, clients = batch
    mask = mask_of(lengths, max(lengths) + extra)
    packing = Packing(mask, clients, CPU)
    x = torch.randn(*mask.shape, 2, requires_grad=True)
    packed = packing.pack(x)
    assert packed.shape == (1, packing.rows, 2)
    tokens = sum(lengths)
    real = torch.from_numpy(mask)
    assert torch.equal(packed[0, :tokens], x[real])
    assert tokens <= packing.rows <= tokens * 17 / 16
    back = packing.unpack(packed)
    assert torch.equal(back[real], x[real])
    assert not back[~real].any()
    upward = torch.randn(back.shape) * real[..., None]
    [gradient] = torch.autograd.grad(back, x, upward)
    assert torch.equal(gradient, upward)
    own = np.array(lengths).reshape(clients, -1).sum(1)
    own[-1] += packing.rows - tokens
    assert (packing.sizes or [own[0]] * clients) == own.tolist()


@settings(deadline=None)
@given(
    batch=batches(),
    causal=st.booleans(),
    serves=st.sampled_from([1, 2]),
    scaling=st.sampled_from([None, 0.3]),
)
def test_attention_is_that_of_each_sequence_alone(
    batch: tuple[list[int], int], causal: bool, serves: int, scaling: float | None
):
    lengths, clients = batch
    packing = Packing(mask_of(lengths), clients, CPU)
    q, k, v = (
        torch.randn(1, heads, packing.rows, WIDTH, requires_grad=True)
        for heads in (HEADS, HEADS // serves, HEADS // serves)
    )
    y = packing.attention(q, k, v, scaling, causal)
    assert y.shape == (1, packing.rows, HEADS, WIDTH)
    expected = alone(q, k, v, lengths, scaling, causal)
    tokens = sum(lengths)
    torch.testing.assert_close(y[0, :tokens], expected, rtol=1e-4, atol=1e-5)
    upward = torch.randn_like(expected)
    padded = F.pad(upward, (0, 0, 0, 0, 0, packing.rows - tokens))
    own = torch.autograd.grad(y, (q, k, v), padded[None])
    for gradient, other in zip(own, torch.autograd.grad(expected, (q, k, v), upward), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(batch=batches())
def test_first_tokens_alone_attend_to_their_whole_sequence(batch: tuple[list[int], int]):
    lengths, clients = batch
    packing = Packing(mask_of(lengths), clients, CPU)
    q, k, v = (torch.randn(1, HEADS, packing.rows, WIDTH, requires_grad=True) for _ in range(3))
    firsts = packing.firsts(q.transpose(1, 2)).transpose(1, 2)
    y = packing.attention(firsts, k, v, None, causal=False, firsts=True)
    assert y.shape == (1, len(lengths), HEADS, WIDTH) and y.isfinite().all()
    starts = np.cumsum([0, *lengths])[:-1]
    there = torch.tensor([n for n, length in enumerate(lengths) if length])
    expected = alone(q, k, v, lengths, None, False)[torch.from_numpy(starts)[there]]
    torch.testing.assert_close(y[0, there], expected, rtol=1e-4, atol=1e-5)
    own = torch.autograd.grad(y[0, there].square().sum(), (q, k, v))
    other = torch.autograd.grad(expected.square().sum(), (q, k, v))
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
    batch_ = packing.unpack_firsts(y.flatten(2))
    assert batch_.shape == (len(lengths), max(lengths), HEADS * WIDTH)
    assert torch.equal(batch_[:, 0], y[0].flatten(1)) and not batch_[:, 1:].any()


def alone(
    q: Tensor, k: Tensor, v: Tensor, lengths: list[int], scaling: float | None, causal: bool
) -> Tensor:
    """The tokens' outputs `[tokens, heads, width]`, by torch for one sequence after another."""
    serves = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(serves, dim=1) for x in (k, v))
    ends = np.cumsum(lengths)
    outs = [
        F.scaled_dot_product_attention(
            *(x[:, :, end - length : end] for x in (q, k, v)), is_causal=causal, scale=scaling
        )
        for end, length in zip(ends, lengths, strict=True)
        if length
    ]
    return torch.cat(outs, dim=2)[0].transpose(0, 1)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=7).filter(any))
def test_no_other_groups_cost_less(lengths: list[int]):
    found = groups(np.array(lengths), max(lengths))
    in_order = np.concatenate([samples for samples, _ in found]).tolist()
    real = [n for n, length in enumerate(lengths) if length]
    assert sorted(in_order) == real
    rounded = [min(-(-lengths[n] // GROUP_STEP) * GROUP_STEP, max(lengths)) for n in in_order]
    assert rounded == sorted(rounded, reverse=True)
    assert all(length == rounded[in_order.index(samples[0])] for samples, length in found)
    cost = sum(GROUP_PAIRS + len(samples) * length**2 for samples, length in found)
    assert cost == pytest.approx(least(rounded))


def least(descending: list[int]) -> float:
    """The cheapest cut, by trying all."""
    if not descending:
        return 0.0
    return min(
        GROUP_PAIRS + size * descending[0] ** 2 + least(descending[size:])
        for size in range(1, len(descending) + 1)
    )


def test_few_numbers_of_rows_occur_where_onednn_would_make_a_kernel_for_each(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(products, "ONEDNN", False)
    assert Packing(mask_of([2001, 1], 4000), 1, CPU).rows == 2002
    monkeypatch.setattr(products, "ONEDNN", True)
    rows = {Packing(mask_of([n, 1], 4000), 1, CPU).rows for n in range(2000, 3999)}
    assert len(rows) <= 17
