"""Who holds which training samples: every sample has one owner and every client owns some.

`dirichlet` follows Hsu, Qi and Brown (arXiv 1909.06335): client n draws class proportions
p_n ~ Dirichlet(alpha, ..., alpha) and fills its size from what is left of each class. `natural`
keeps what one owner has together: the largest owner first, to the client that has least so far
(Graham's longest-processing-time rule, SIAM J. Appl. Math. 17, 1969).
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.partition import (
    DirichletPartition,
    IidPartition,
    NaturalPartition,
    Partition,
    ShardsPartition,
)

Rows = NDArray[np.int64]


def partition(
    config: Partition,
    labels: NDArray[np.int64],
    clients: int,
    seed: int,
    owners: NDArray[np.int64] | None = None,
) -> list[Rows]:
    """Rows of the training set that each client holds, sorted.

    Args:
        config: Kind of partition.
        labels: Class of every training sample `[samples]`.
        clients: Number of clients.
        seed: The scenario's seed.
        owners: Natural owner of every training sample `[samples]`; None where there is none.

    Raises:
        InputError: There are fewer samples (or shards' worth of samples, or owners) than clients.
    """
    if isinstance(config, NaturalPartition):
        owned = _natural(owners, clients, seed)
    elif isinstance(config, ShardsPartition):
        dealt = _deal(config, len(labels), clients, seed)
        shards = np.array_split(np.argsort(labels, kind="stable"), dealt.size)
        owned = [np.concatenate([shards[shard] for shard in hand]) for hand in dealt]
    else:
        sizes, rng = _sizes(config, len(labels), clients, seed)
        if isinstance(config, DirichletPartition):
            owned = _dirichlet(labels, sizes, config.alpha, rng)
        else:
            owned = np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])
    return [np.sort(rows) for rows in owned]


def holdings(config: Partition, samples: int, clients: int, seed: int) -> Rows:
    """How many of `samples` training samples each client holds, whatever they are `[clients]`.

    The same numbers as `partition` gives; errors as there. Natural holdings are not known without
    the data.
    """
    assert not isinstance(config, NaturalPartition)  # refused where the section is read
    if isinstance(config, ShardsPartition):
        dealt = _deal(config, samples, clients, seed)
        shard, longer = divmod(samples, dealt.size)  # as np.array_split cuts
        return np.asarray(shard * config.per_client + (dealt < longer).sum(axis=1))
    return _sizes(config, samples, clients, seed)[0]


def _natural(owners: Rows | None, clients: int, seed: int) -> list[Rows]:
    """Whole owners, put together to even sizes; the seed decides which client is which."""
    if owners is None:
        raise InputError("learning.partition: natural needs owners, and this task has none")
    names, owner, sizes = np.unique(owners, return_inverse=True, return_counts=True)
    if len(names) < clients:
        raise InputError(
            f"learning.partition: the task has {len(names)} natural owners with training samples, "
            f"not enough for {clients} clients; use at most {len(names)} clients"
        )
    client_of = np.empty(len(names), np.int64)
    least = [(0, client) for client in range(clients)]
    for number in np.argsort(-sizes, kind="stable"):
        held, client = least[0]
        client_of[number] = client
        heapq.heapreplace(least, (held + int(sizes[number]), client))
    place = randomness.generator(seed, "partition").permutation(clients)
    holder = place[client_of][owner]
    by_client = np.argsort(holder, kind="stable")
    return np.split(by_client, np.cumsum(np.bincount(holder, minlength=clients))[:-1])


def _deal(config: ShardsPartition, samples: int, clients: int, seed: int) -> Rows:
    """Shards of each client `[clients, per_client]`.

    McMahan et al. (AISTATS 2017): sort by class, cut into equal shards, deal them out.
    """
    _check(samples, clients, config.per_client)
    rng = randomness.generator(seed, "partition")
    return rng.permutation(clients * config.per_client).reshape(clients, config.per_client)


def _sizes(
    config: DirichletPartition | IidPartition, samples: int, clients: int, seed: int
) -> tuple[Rows, np.random.Generator]:
    """Whole sizes that add up to `samples`, each at least 1, and the generator that goes on."""
    _check(samples, clients, 1)
    rng = randomness.generator(seed, "partition")
    shares = rng.lognormal(
        sigma=config.size_sigma if config.sizes == "lognormal" else 0.0, size=clients
    )
    edges = np.cumsum(shares) / np.sum(shares) * (samples - clients)
    edges[-1] = samples - clients
    whole = np.rint(edges).astype(np.int64)
    return 1 + whole - np.concatenate(([0], whole[:-1])), rng


def _check(samples: int, clients: int, each: int) -> None:
    if clients * each > samples:
        raise InputError(
            f"learning.partition: {samples} training samples cannot give each of {clients} "
            f"clients {each}; use at most {samples // each} clients"
        )


def _dirichlet(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], alpha: float, rng: np.random.Generator
) -> list[Rows]:
    """Fills the clients in random order: whoever comes last takes what is left."""
    pools = [rng.permutation(np.flatnonzero(labels == c)) for c in range(labels.max() + 1)]
    left = np.array([len(pool) for pool in pools])
    owned: list[Rows] = [np.empty(0, np.int64)] * len(sizes)
    for client in rng.permutation(len(sizes)):
        proportions = rng.dirichlet(np.full(len(pools), alpha))
        taken = np.zeros_like(left)
        while (missing := sizes[client] - taken.sum()) > 0:
            wanted = np.where(left > taken, proportions, 0.0)
            if wanted.sum() == 0.0:  # its classes are used up
                wanted = (left - taken).astype(np.float64)
            draw = rng.multinomial(missing, wanted / wanted.sum())
            taken = np.minimum(taken + draw, left)
        left = left - taken
        owned[client] = np.concatenate(
            [pool[a : a + n] for pool, a, n in zip(pools, left, taken, strict=True)]
        )
    return owned
