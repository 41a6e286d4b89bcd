"""Random waypoint in a disc, in its stationary state from time 0 on.

A leg leads from one uniformly random place to the next at a speed v uniform on [v0, v1], then comes
a pause. At a random instant long after the start a client rests with probability E[pause] /
(E[pause] + E[D] E[1/v]), with E[D] = 128 R / (45 pi) for the length D of a leg and E[1/v] =
ln(v1/v0) / (v1 - v0); else its leg has density ~ D, its place on the leg is uniform, and its speed
has density ~ 1/v: v = v0 (v1/v0)^u, mean (v1 - v0) / ln(v1/v0).
(W. Navidi and T. Camp, IEEE Trans. Mobile Computing 3(1), 2004; J.-Y. Le Boudec and M. Vojnovic,
INFOCOM 2005. E[D]: mean distance of two points in a disc.)
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl import randomness
from wirelessfl.network.fading import Array, Index
from wirelessfl.network.geometry import Disc
from wirelessfl.network.walk import Walk
from wirelessfl.scenario.mobility import RandomWaypointMobility

_LEG, _FROM, _TO = 0, slice(1, 3), slice(3, 5)
_DEPART_S, _ARRIVE_S, _LEAVE_S = 5, 6, 7
_FIELDS = 8
_FIRST = 0  # number of the leg under way at time 0


class RandomWaypoint(Walk):
    """Legs of all clients; a state is the leg under way at a multiple of a mean leg's time.

    Attributes:
        mean_speed_mps: Mean speed of clients that do not rest.
    """

    def __init__(self, config: RandomWaypointMobility, area: Disc, clients: int, seed: int) -> None:
        super().__init__(clients, _FIELDS)
        self._slow, self._fast = config.min_speed_mps, config.max_speed_mps
        self._pause_s, self._area, self._seed = config.pause_s, area, seed
        spread = self._fast - self._slow
        self.mean_speed_mps = spread / math.log1p(spread / self._slow) if spread else self._slow
        travel_s = 128.0 / (45.0 * math.pi) * area.radius_m / self.mean_speed_mps
        self._tick_s = travel_s + self._pause_s
        self._resting = self._pause_s / self._tick_s

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """Ground coordinates at `t_s`, 0 or later, [n, 2]."""
        legs = self._until(clients, self.state(clients, math.floor(t_s / self._tick_s)), t_s)
        travel_s = legs[:, _ARRIVE_S] - legs[:, _DEPART_S]
        part = np.minimum((t_s - legs[:, _DEPART_S]) / np.where(travel_s > 0, travel_s, 1.0), 1.0)
        start, end = legs[:, _FROM], legs[:, _TO]
        there: Array = start + part[:, None] * (end - start)
        return there

    def start(self, clients: Index) -> Array:
        """See `Walk.start`."""
        legs = np.zeros((len(clients), _FIELDS))
        legs[:, _LEG] = _FIRST
        start, end = self._first_leg(clients)
        at = randomness.uniform(self._seed, "mobility.first.place", clients)
        speed = self._slow * (self._fast / self._slow) ** randomness.uniform(
            self._seed, "mobility.first.speed", clients
        )
        travel_s = np.hypot(*(end - start).T) / speed
        rest = randomness.uniform(self._seed, "mobility.first.rest", clients) < self._resting
        legs[:, _FROM] = np.where(rest[:, None], end, start)
        legs[:, _TO] = end
        # A client that rests at time 0 has been there since before: its leg has no length.
        legs[:, _DEPART_S] = np.where(rest, 0.0, -at * travel_s)
        legs[:, _ARRIVE_S] = np.where(rest, 0.0, (1.0 - at) * travel_s)
        legs[:, _LEAVE_S] = np.where(
            rest, (1.0 - at) * self._pause_s, legs[:, _ARRIVE_S] + self._pause_s
        )
        return legs

    def advance(self, clients: Index, tick: Index, state: Array) -> Array:
        """See `Walk.advance`."""
        return self._until(clients, state, (tick + 1).astype(np.float64) * self._tick_s)

    def _until(self, clients: Index, legs: Array, t_s: Array | float) -> Array:
        """The legs under way at `t_s`, not before those given, [n, fields]."""
        legs, end_s = legs.copy(), np.broadcast_to(t_s, len(legs))
        while (rows := np.flatnonzero(legs[:, _LEAVE_S] <= end_s)).size:
            legs[rows] = self._next(clients[rows], legs[rows])
        return legs

    def _next(self, clients: Index, legs: Array) -> Array:
        leg = legs[:, _LEG].astype(np.int64) + 1
        u = randomness.uniform(self._seed, "mobility.speed", clients, leg)
        speed = self._slow + u * (self._fast - self._slow)
        following = np.empty_like(legs)
        following[:, _LEG] = leg
        following[:, _FROM] = legs[:, _TO]
        following[:, _TO] = self._area.random_places(self._seed, "mobility.waypoint", clients, leg)
        following[:, _DEPART_S] = legs[:, _LEAVE_S]
        length_m = np.hypot(*(following[:, _TO] - following[:, _FROM]).T)
        following[:, _ARRIVE_S] = following[:, _DEPART_S] + length_m / speed
        following[:, _LEAVE_S] = following[:, _ARRIVE_S] + self._pause_s
        return following

    def _first_leg(self, clients: Index) -> tuple[Array, Array]:
        """Ends of the leg under way at time 0: of density ~ length if a client moves, [n, 2] each.

        Pairs of places are drawn until one is kept with probability length / diameter. For a client
        that rests the second place must be uniform: it takes the first pair.
        """
        start, end = np.empty((len(clients), 2)), np.empty((len(clients), 2))
        rest = randomness.uniform(self._seed, "mobility.first.rest", clients) < self._resting
        rows, attempt = np.arange(len(clients)), 0
        while rows.size:
            who = clients[rows]
            start[rows] = self._area.random_places(self._seed, "mobility.first.from", who, attempt)
            end[rows] = self._area.random_places(self._seed, "mobility.first.to", who, attempt)
            length_m = np.hypot(*(end[rows] - start[rows]).T)
            u = randomness.uniform(self._seed, "mobility.first.keep", who, attempt)
            rows = rows[(2.0 * self._area.radius_m * u > length_m) & ~rest[rows]]
            attempt += 1
        return start, end
