from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.learning.passes import LENGTHS, OVERHEAD_TOKENS, cut, longest_first
from wirelessfl.learning.task import Samples


def cost(parts: Sequence[slice], longest: Sequence[int], clients: int) -> int:
    return sum(
        OVERHEAD_TOKENS
        + clients * (part.stop - part.start) * math.ceil(longest[part.start] / LENGTHS) * LENGTHS
        for part in parts
    )


def ways(batch: int, most: int) -> list[list[slice]]:
    """All ways to cut `batch` places."""
    if batch == 0:
        return [[]]
    return [
        [*before, slice(batch - size, batch)]
        for size in range(1, min(most, batch) + 1)
        for before in ways(batch - size, most)
    ]


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=7),
    clients=st.integers(1, 20),
    most=st.integers(1, 8),
)
def test_no_other_cut_costs_less(lengths: list[int], clients: int, most: int):
    longest = sorted(lengths, reverse=True)
    parts = cut(np.array(longest), clients, most)
    every = ways(len(longest), most)
    assert parts in every
    assert cost(parts, longest, clients) == min(cost(way, longest, clients) for way in every)


def test_passes_are_cut_to_a_multiple_of_tokens_if_the_samples_are_as_long():
    mask = (torch.arange(21) < torch.tensor([3, 9, 18])[:, None]).long()
    samples = Samples({"input_ids": mask * 5, "attention_mask": mask}, torch.tensor([0, 1, 2]))
    widths = [samples.take(torch.tensor([row]), 8).inputs["input_ids"].shape[1] for row in range(3)]
    assert widths == [8, 16, 21]


def test_samples_are_ordered_by_length_and_filled_up_with_the_shortest():
    mask = (torch.arange(9) < torch.tensor([3, 9, 5, 7])[:, None]).long()
    rows = torch.tensor([[[0, 1, 2, 3]], [[2, 1, 2, 2]]])
    valid = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]])
    ordered, longest = longest_first(rows, valid, mask)
    assert ordered.tolist() == [[[1, 3, 2, 0]], [[1, 2, 2, 2]]]
    assert longest.tolist() == [[9, 7, 5, 5]]
