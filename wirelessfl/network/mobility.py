"""How clients move: a place for every client at every time, as a pure function of (seed, client).

Times before the start of the simulation have the places of time 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from wirelessfl.network.fading import Array, Index
from wirelessfl.network.gauss_markov import GaussMarkov
from wirelessfl.network.geometry import area, positions
from wirelessfl.network.position_trace import PositionTrace
from wirelessfl.network.random_waypoint import RandomWaypoint
from wirelessfl.scenario.mobility import (
    GaussMarkovMobility,
    RandomWaypointMobility,
    TraceMobility,
)
from wirelessfl.scenario.network import NetworkConfig


class Mobility(Protocol):
    """Where clients are."""

    @property
    def mean_speed_mps(self) -> float:
        """Mean speed of those that move; 0 if nobody does."""

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """Ground coordinates of clients [n] at a time, 0 or later, [n, 2]."""


@dataclass(frozen=True, eq=False)
class Still:
    """Clients that never move.

    Attributes:
        xy_m: Where each stands, [clients, 2].
    """

    xy_m: Array
    mean_speed_mps = 0.0

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """See `Mobility.positions_m`."""
        return np.asarray(self.xy_m[clients])


@dataclass(frozen=True, eq=False)
class Steps:
    """A movement as the channel sees it: places held from one update to the next.

    Attributes:
        clients: Number of clients.
        mobility: The movement.
        step_s: Time a place is held; infinity if nobody moves.
    """

    clients: int
    mobility: Mobility
    step_s: float

    @property
    def moving(self) -> bool:
        """Whether anybody may move."""
        return math.isfinite(self.step_s)

    def of(self, t_s: float) -> int:
        """Number of the step at a time; 0 for the past before the simulation."""
        return max(0, math.floor(t_s / self.step_s)) if self.moving else 0

    def of_slots(self, slots: Index, slot_s: float) -> tuple[Index, Index]:
        """The steps in the middle of slots [m]: which there are [k], and which of them each is."""
        if not self.moving:
            return np.zeros(1, np.int64), np.zeros(1, np.int64)
        step = np.floor((slots + 0.5) * (slot_s / self.step_s))
        return np.unique(np.maximum(step, 0.0).astype(np.int64), return_inverse=True)

    def positions_m(self, clients: Index, step: int) -> Array:
        """Ground coordinates in a step, [n, 2]."""
        return self.mobility.positions_m(clients, step * self.step_s if step else 0.0)


def build_steps(config: NetworkConfig, clients: int, seed: int, stations_xy: Array) -> Steps:
    """Where clients are, step by step, in the network that `config` describes.

    Raises:
        InputError: If fixed distances do not fit the number of clients, or a file of places cannot
            be used.
    """
    moves = config.mobility
    if isinstance(moves, RandomWaypointMobility):
        roaming = RandomWaypoint(moves, area(config, stations_xy), clients, seed)
        return Steps(clients, roaming, moves.update_s)
    if isinstance(moves, TraceMobility):
        trace = PositionTrace(Path(moves.file), clients, moves.max_gap_s, moves.sha256)
        return Steps(clients, trace, moves.update_s)
    start_xy_m = positions(config.placement, config.cells, clients, seed, stations_xy)
    if isinstance(moves, GaussMarkovMobility):
        driving = GaussMarkov(moves, area(config, stations_xy), start_xy_m, seed)
        return Steps(clients, driving, moves.update_s)
    return Steps(clients, Still(start_xy_m), math.inf)
