from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.learning.partition import partition
from wirelessfl.scenario.partition import (
    DirichletPartition,
    IidPartition,
    NaturalPartition,
    Partition,
    ShardsPartition,
)

LABELS = np.random.default_rng(0).integers(10, size=1200)

kinds = st.one_of(
    st.builds(
        DirichletPartition,
        alpha=st.sampled_from([1e-3, 0.1, 0.3, 100.0]),
        sizes=st.sampled_from(["lognormal", "balanced"]),
        size_sigma=st.sampled_from([0.1, 3.0]),
    ),
    st.builds(IidPartition, sizes=st.sampled_from(["lognormal", "balanced"])),
    st.builds(ShardsPartition, per_client=st.integers(1, 4)),
)


@given(kinds, st.integers(1, 300), st.integers(0, 2**32))
def test_every_sample_has_one_owner_and_every_client_owns_some(
    config: Partition, clients: int, seed: int
):
    owned = partition(config, LABELS, clients, seed)
    assert len(owned) == clients
    assert min(len(rows) for rows in owned) >= 1
    assert np.array_equal(np.sort(np.concatenate(owned)), np.arange(len(LABELS)))


def test_the_same_seed_gives_the_same_partition():
    first, again, other = (partition(DirichletPartition(), LABELS, 40, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def largest_class_share(config: Partition) -> float:
    owned = partition(config, LABELS, 40, 0)
    return float(np.mean([np.bincount(LABELS[rows]).max() / len(rows) for rows in owned]))


def test_a_smaller_alpha_is_less_even():
    shares = [largest_class_share(DirichletPartition(alpha=a)) for a in (0.05, 0.3, 3.0)]
    assert shares == sorted(shares, reverse=True)
    assert largest_class_share(IidPartition()) < shares[-1]


def test_balanced_sizes_differ_by_at_most_one():
    sizes = [len(rows) for rows in partition(IidPartition(sizes="balanced"), LABELS, 7, 0)]
    assert max(sizes) - min(sizes) <= 1


def test_a_client_of_two_shards_holds_few_classes():
    owned = partition(ShardsPartition(per_client=2), LABELS, 60, 0)
    assert max(len(set(LABELS[rows])) for rows in owned) <= 4  # a shard may straddle two classes


@pytest.mark.parametrize("config", [IidPartition(), ShardsPartition(per_client=3)])
def test_more_clients_than_samples_are_refused_with_the_limit(config: Partition):
    most = 1200 // getattr(config, "per_client", 1)
    partition(config, LABELS, most, 0)
    with pytest.raises(InputError, match=f"at most {most} clients"):
        partition(config, LABELS, most + 1, 0)


owner_sizes = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(owner_sizes, st.integers(1, 40), st.integers(0, 2**32))
def test_natural_holdings_keep_owners_whole_and_sizes_even(
    sizes: list[int], clients: int, seed: int
):
    owners = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    labels = np.zeros(len(owners), np.int64)
    if clients > len(sizes):
        with pytest.raises(InputError, match=f"has {len(sizes)} natural owners .* at most"):
            partition(NaturalPartition(), labels, clients, seed, owners)
        return
    owned = partition(NaturalPartition(), labels, clients, seed, owners)
    assert np.array_equal(np.sort(np.concatenate(owned)), np.arange(len(labels)))
    holders = [set(owners[rows]) for rows in owned]
    assert min(map(len, holders)) >= 1
    assert sum(map(len, holders)) == len(sizes)  # nobody's samples are at two clients
    held = np.array([len(rows) for rows in owned])
    for rows, mine in zip(owned, holders, strict=True):
        if len(mine) > 1:  # its last and smallest owner came when it had least of all
            smallest = min(int((owners == owner).sum()) for owner in mine)
            assert len(rows) - smallest <= held.min()


def test_the_seed_says_which_client_is_which_owner():
    owners = np.repeat(np.arange(8), np.arange(1, 9))
    labels = np.zeros(len(owners), np.int64)
    sizes = [
        [len(rows) for rows in partition(NaturalPartition(), labels, 8, seed, owners)]
        for seed in (0, 0, 1)
    ]
    assert sizes[0] == sizes[1] != sizes[2]
    assert sorted(sizes[0]) == sorted(sizes[2]) == list(range(1, 9))


def test_without_owners_nothing_is_natural():
    with pytest.raises(InputError, match="this task has none"):
        partition(NaturalPartition(), LABELS, 3, 0)
