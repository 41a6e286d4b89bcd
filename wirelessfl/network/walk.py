"""Movements that go step by step, yet can be read at any step in any order.

A walk's state at tick k follows from its state at tick k - 1 and draws numbered k, so it has one
value however one gets there. Kept for each client and each level l = 0, 1, ... are the states at
the two multiples of 8^l visited last: going on costs a tick, going back by d ticks fewer than 16 d,
and memory does not grow with time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from wirelessfl.network.fading import Array, Index

_BASE = 8
_LEVELS = 5  # beyond 8^4 ticks back, all the way from the start


class Walk(ABC):
    """State of every client at every tick, computed where it is asked for.

    Args:
        clients: Number of clients.
        fields: Numbers in one client's state; a client takes 80 B (fields + 1) once asked for.
    """

    def __init__(self, clients: int, fields: int) -> None:
        self._kept_tick = np.full((2 * _LEVELS, clients), -1, dtype=np.int64)
        self._kept = np.empty((2 * _LEVELS, clients, fields))

    @abstractmethod
    def start(self, clients: Index) -> Array:
        """States at tick 0, [n, fields]."""

    @abstractmethod
    def advance(self, clients: Index, tick: Index, state: Array) -> Array:
        """States [n, fields] at `tick` + 1 from those at `tick`, which differs by client, [n]."""

    def state(self, clients: Index, tick: int) -> Array:
        """States at one tick (0 or later), [n, fields]; clients may be named more than once."""
        who, back = np.unique(clients, return_inverse=True)
        kept = self._kept_tick[:, who]
        level = np.where(kept <= tick, kept, -1).argmax(axis=0)
        at = kept[level, np.arange(len(who))]
        state = self._kept[level, who]
        new = np.flatnonzero((at < 0) | (at > tick))
        if new.size:
            state[new], at[new] = self.start(who[new]), 0
            self._keep(who[new], at[new], state[new])
        while (rows := np.flatnonzero(at < tick)).size:
            state[rows] = self.advance(who[rows], at[rows], state[rows])
            at[rows] += 1
            self._keep(who[rows], at[rows], state[rows])
        states: Array = state[back]
        return states

    def _keep(self, clients: Index, tick: Index, state: Array) -> None:
        for level in range(_LEVELS):
            last, one_before = 2 * level, 2 * level + 1
            new = self._kept_tick[last, clients] != tick
            who = clients[new]
            self._kept_tick[one_before, who] = self._kept_tick[last, who]
            self._kept[one_before, who] = self._kept[last, who]
            self._kept_tick[last, who] = tick[new]
            self._kept[last, who] = state[new]
            higher = np.flatnonzero(tick % _BASE ** (level + 1) == 0)
            if not higher.size:
                break
            clients, tick, state = clients[higher], tick[higher], state[higher]
