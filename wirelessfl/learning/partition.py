"""Who holds which training samples: every sample has one owner and every client owns some.

`dirichlet` follows Hsu, Qi and Brown (arXiv 1909.06335): client n draws class proportions
p_n ~ Dirichlet(alpha, ..., alpha) and fills its size from what is left of each class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.learning import DirichletPartition, Partition, ShardsPartition

Rows = NDArray[np.int64]


def partition(config: Partition, labels: NDArray[np.int64], clients: int, seed: int) -> list[Rows]:
    """Rows of the training set that each client holds, sorted.

    Args:
        config: Kind of partition.
        labels: Class of every training sample `[samples]`.
        clients: Number of clients.
        seed: The scenario's seed.

    Raises:
        InputError: There are fewer samples (or shards' worth of samples) than clients.
    """
    needed = clients * (config.per_client if isinstance(config, ShardsPartition) else 1)
    if needed > len(labels):
        raise InputError(
            f"learning.partition: {len(labels)} training samples cannot give each of {clients} "
            f"clients {needed // clients}; use at most {len(labels) * clients // needed} clients"
        )
    rng = randomness.generator(seed, "partition")
    if isinstance(config, ShardsPartition):
        owned = _shards(labels, clients, config.per_client, rng)
    else:
        sigma = config.size_sigma if config.sizes == "lognormal" else 0.0
        sizes = _sizes(len(labels), rng.lognormal(sigma=sigma, size=clients))
        if isinstance(config, DirichletPartition):
            owned = _dirichlet(labels, sizes, config.alpha, rng)
        else:
            owned = np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])
    return [np.sort(rows) for rows in owned]


def _sizes(total: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole sizes in proportion to `shares` that add up to `total`, each at least 1."""
    edges = np.cumsum(shares) / np.sum(shares) * (total - len(shares))
    edges[-1] = total - len(shares)
    whole = np.rint(edges).astype(np.int64)
    return 1 + whole - np.concatenate(([0], whole[:-1]))


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


def _shards(
    labels: NDArray[np.int64], clients: int, per_client: int, rng: np.random.Generator
) -> list[Rows]:
    """McMahan et al. (AISTATS 2017): sort by class, cut into equal shards, deal them out."""
    shards = np.array_split(np.argsort(labels, kind="stable"), clients * per_client)
    dealt = rng.permutation(len(shards)).reshape(clients, per_client)
    return [np.concatenate([shards[shard] for shard in hand]) for hand in dealt]
