"""Where the real tokens of a padded batch are, and attention between them without the padding.

Sequences of unequal length are padded to a batch `[samples, tokens]`. Packed, its real tokens lie
below each other `[rows, width]`, sample after sample, client after client. Only attention needs to
know which of them are one sequence: it takes the sequences in groups of about one length, the
longest first, cut where that costs least (`groups`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from wirelessfl.learning import products
from wirelessfl.learning.cheapest_cut import cheapest_cut

GROUP_STEP = 8
"""Lengths of groups are multiples of this, in tokens: less variety, and whole vectors."""

GROUP_PAIRS = 2 * 64**2
"""What a group costs besides its pairs of tokens, as many pairs as two sequences of 64 (x86)."""


@dataclass(frozen=True)
class Rearrangement:
    """Rows in another order, some left out, and new ones of zeros.

    Autograd would add up gradients row by row, where here each row gets that of its own place.
    Zeros, and not any row, because a client's numbers that are not finite must stay its own.

    Attributes:
        there: For each new row the old one that it is.
        void: New rows that are zero instead.
        back: For each old row the new one that it is.
        lost: Old rows that are left out.
    """

    there: Tensor
    void: Tensor
    back: Tensor
    lost: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The new rows of `x` `[rows, width]`."""
        y: Tensor = _Rows.apply(x, self)  # type: ignore[no-untyped-call]
        return y

    @property
    def inverse(self) -> Rearrangement:
        """The way back."""
        return Rearrangement(self.back, self.lost, self.there, self.void)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, way: Rearrangement) -> Tensor:
        ctx.way = way
        return x.index_select(0, way.there).index_fill_(0, way.void, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        way = ctx.way
        return gradients[0].index_select(0, way.back).index_fill_(0, way.lost, 0.0), None


class Packing:
    """One padded batch, packed.

    Attributes:
        shape: Samples and tokens of the padded batch.
        sizes: Rows of each client; None if every one has as many. With oneDNN the last one's are a
            few more than its tokens, so that few numbers of rows occur (see `products`); what is
            computed with them is dropped.
        rows: Their sum.
        longest: Tokens of the longest sample.
    """

    def __init__(self, mask: NDArray[np.bool_], clients: int, device: torch.device):
        """Finds the places.

        Args:
            mask: Whether a token is real, which is before where none is; a sample may have none
                `[samples, tokens]`.
            clients: How many clients the samples belong to, as many to each, one after another.
            device: Where the batch is.
        """

        def on_device(places: NDArray[Any]) -> Tensor:
            return torch.from_numpy(places).to(device)

        self.shape, real = mask.shape, mask.ravel()
        lengths, packed = mask.sum(1), np.flatnonzero(real)
        tokens, self.longest = len(packed), int(lengths.max())
        self._whole = tokens == len(real)
        self.rows = tokens if self._whole or not products.ONEDNN else _rounded(tokens)
        sizes: list[int] = lengths.reshape(clients, -1).sum(1).tolist()
        sizes[-1] += self.rows - tokens
        self.sizes = sizes if min(sizes) < max(sizes) else None
        places = np.where(real, real.cumsum() - 1, 0).reshape(self.shape)
        found = groups(lengths, self.shape[1])
        self._groups = [(len(samples), length) for samples, length in found]
        order = np.concatenate([samples for samples, _ in found])
        self._firsts, self._empty = on_device(places[:, 0]), on_device(np.flatnonzero(lengths == 0))
        self._order, self._reorder = on_device(order), on_device(_inverse(order, len(mask)))
        self._shut: list[Tensor | None] = [None] * len(found)
        if self._whole:
            return
        spare = on_device(np.arange(tokens, self.rows))
        self._pack = Rearrangement(
            there=on_device(np.pad(packed, (0, self.rows - tokens))),
            void=spare,
            back=on_device(places.ravel()),
            lost=on_device(np.flatnonzero(~real)),
        )
        seen = [mask[samples, :length] for samples, length in found]
        self._shut = [None if own.all() else on_device(_shut(own)) for own in seen]
        known = np.concatenate([own.ravel() for own in seen])
        grouped = np.concatenate([places[samples, :length].ravel() for samples, length in found])
        back = np.zeros(self.rows, np.int64)
        back[grouped[known]] = np.flatnonzero(known)
        self._group = Rearrangement(
            there=on_device(grouped),
            void=on_device(np.flatnonzero(~known)),
            back=on_device(back),
            lost=spare,
        )

    def pack(self, x: Tensor) -> Tensor:
        """The real tokens of `[samples or 1, tokens, ...]`, as `[1, rows, ...]`."""
        every = x.expand(*self.shape, *x.shape[2:]).flatten(0, 1)
        return every[None] if self._whole else self._pack(every)[None]

    def unpack(self, x: Tensor) -> Tensor:
        """The padded batch `[samples, tokens, ...]` of `[1, rows, ...]`; padding is zero."""
        rows = x.squeeze(0) if self._whole else self._pack.inverse(x.squeeze(0))
        return rows.view(*self.shape, *x.shape[2:])

    def firsts(self, x: Tensor) -> Tensor:
        """The samples' first tokens `[1, samples, ...]` of `[1, rows, ...]`; zero without any."""
        return x.index_select(1, self._firsts).index_fill(1, self._empty, 0.0)

    def unpack_firsts(self, x: Tensor) -> Tensor:
        """The padded batch of the samples' first tokens `[1, samples, width]`; the rest is zero."""
        return F.pad(x[0][:, None], (0, 0, 0, self.shape[1] - 1))

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None,
        causal: bool,
        firsts: bool = False,
    ) -> Tensor:
        """Scaled dot-product attention of every sequence to itself.

        Args:
            query: `[1, heads, rows, width of a head]`.
            key: Likewise; its heads may be fewer, and serve as many of the query's each.
            value: Likewise.
            scaling: What products are multiplied by; None is 1 / sqrt(width of a head).
            causal: Whether tokens see only those before them.
            firsts: Whether the query is that of `firsts` alone.

        Returns:
            `[1, rows of the query, heads, width of a head]`
        """
        heads = query.shape[1]
        keys, values = self._in_groups(key, heads), self._in_groups(value, heads)
        queries = self._firsts_in_groups(query) if firsts else self._in_groups(query, heads)
        outs = []
        for q, k, v, shut in zip(queries, keys, values, self._shut, strict=True):
            # With padding on the right no real token of a causal model sees any.
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=None if causal else shut, is_causal=causal, scale=scaling
            )
            outs.append(out.transpose(1, 2).flatten(0, 1).flatten(1))
        every = outs[0] if len(outs) == 1 else torch.cat(outs)
        if firsts:
            every = every.index_select(0, self._reorder).index_fill(0, self._empty, 0.0)
        elif not self._whole:
            every = self._group.inverse(every)
        return every.view(1, len(every), heads, -1)

    def _in_groups(self, x: Tensor, heads: int) -> list[Tensor]:
        """`[1, heads, rows, width]` as `[sequences, heads, length, width]` of every group."""
        own, width = x.shape[1], x.shape[3]
        rows = x.squeeze(0).transpose(0, 1).flatten(1)
        if not self._whole:
            rows = self._group(rows)
        parts = torch.split_with_sizes(rows, [count * length for count, length in self._groups])
        shaped = [
            part.view(count, length, own, width).transpose(1, 2)
            for part, (count, length) in zip(parts, self._groups, strict=True)
        ]
        if own == heads:
            return shaped
        return [part.repeat_interleave(heads // own, dim=1) for part in shaped]

    def _firsts_in_groups(self, x: Tensor) -> list[Tensor]:
        """`[1, heads, samples, width]` as `[sequences, heads, 1, width]` of every group."""
        own, width = x.shape[1], x.shape[3]
        rows = x.squeeze(0).transpose(0, 1).flatten(1).index_select(0, self._order)
        parts = torch.split_with_sizes(rows, [count for count, _ in self._groups])
        return [part.view(-1, own, 1, width) for part in parts]


def groups(lengths: NDArray[np.int64], longest: int) -> list[tuple[NDArray[np.int64], int]]:
    """The sequences that have tokens, in the groups that cost least, and the groups' lengths.

    A group costs `GROUP_PAIRS` + sequences x length^2.

    Args:
        lengths: Of all sequences `[samples]`.
        longest: Tokens of the padded batch, beyond which no length is rounded up.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    rounded = np.minimum(-(-lengths[order] // GROUP_STEP) * GROUP_STEP, longest)
    steps, firsts = np.unique(-rounded, return_index=True)  # the first of each length, descending
    bounds = np.append(firsts, len(order))
    runs = cheapest_cut(
        len(steps),
        lambda begin, end: GROUP_PAIRS + (bounds[end] - bounds[begin]) * steps[begin] ** 2,
    )
    return [(order[bounds[run.start] : bounds[run.stop]], int(-steps[run.start])) for run in runs]


def _shut(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What is added to products with keys `[sequences, 1, 1, length]`: -inf for padding."""
    return np.where(seen, np.float32(0.0), np.float32(-np.inf))[:, None, None]


def _inverse(order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Where each of so many things is in an order of some of them; 0 if it is not."""
    places = np.zeros(count, np.int64)
    places[order] = np.arange(len(order))
    return places


def _rounded(rows: int) -> int:
    """At most a 16th more."""
    step = 1 << max(0, rows.bit_length() - 5)
    return -(-rows // step) * step
