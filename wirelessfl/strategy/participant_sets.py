"""Who may take part together: participant sets with their probabilities.

Client n takes part with probability q_n, independently of the others. Few clients are enumerated;
above that sets are sampled, always from the same draws (common random numbers), so that plans are
compared on equal terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wirelessfl.randomness import generator
from wirelessfl.strategy.observation import Floats, Ints

# From this probability on a client is drawn by itself in every set of a crowd.
_OFTEN = 0.5


@dataclass(frozen=True)
class Sets:
    """Participant sets with their probabilities.

    Attributes:
        members: 1 where the client takes part, else 0. [clients, sets]
        weight: Probability of each set, sums to 1. [sets]
    """

    members: Floats
    weight: Floats


@lru_cache(maxsize=8)
def strata(clients: int, sets: int) -> Floats:
    """Fixed uniform draws, one a set in each of `sets` strata (Latin hypercube). [clients, sets]"""
    random = generator(0, "planner-sets", clients, sets)
    cells = np.tile(np.arange(sets, dtype=np.float64), (clients, 1))
    return (random.permuted(cells, axis=1) + random.random((clients, sets))) / sets


def sampled_sets(q: Floats, uniforms: Floats) -> Sets:
    """Equally likely sets in which client n takes part where its draw is below q_n."""
    count = uniforms.shape[1]
    return Sets((uniforms < q[:, None]).astype(np.float64), np.full(count, 1.0 / count))


def every_set(q: Floats) -> Sets:
    """All 2^clients sets with their exact probabilities."""
    clients = len(q)
    members = (np.arange(2**clients) >> np.arange(clients)[:, None] & 1).astype(np.float64)
    return Sets(members, np.prod(np.where(members > 0, q[:, None], 1 - q[:, None]), axis=0))


def drawn_members(q: Floats, sets: int) -> list[Ints]:
    """Members of equally likely sets of a crowd, in time that grows with the members.

    Clients that seldom take part are the points of a Poisson process of intensity -log(1 - q_n),
    each counted once: client n is hit with probability 1 - exp(log(1 - q_n)) = q_n.
    """
    often = np.flatnonzero(q >= _OFTEN)
    seldom = np.flatnonzero((q > 0) & (q < _OFTEN))
    reach = np.cumsum(-np.log1p(-q[seldom]))
    total = float(reach[-1]) if seldom.size else 0.0
    drawn = []
    for number in range(sets):
        random = generator(0, "planner-crowd", number)
        points = np.sort(random.random(random.poisson(total))) * total
        hit = np.searchsorted(reach, points)
        hit = seldom[hit[np.flatnonzero(np.diff(hit, prepend=-1))]]
        drawn.append(np.concatenate([often[random.random(often.size) < q[often]], hit]))
    return drawn
