"""Gauss-Markov mobility: speed and heading with a memory, in a disc whose border is a mirror.

Every second s' = a s + (1 - a) s_mean + sqrt(1 - a^2) sigma N, and likewise for the heading around
the client's own mean heading (T. Camp, J. Boleng and V. Davies, Wireless Communications and Mobile
Computing 2(5), 2002, section 2.5). Between two seconds a client goes straight on. Where a path
meets the border it is reflected, heading and mean heading with it, as light in a round mirror:
uniform places stay uniform (the billiard map keeps area). That border is ours; the paper steers
clients away from the edges instead.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl import randomness
from wirelessfl.network.fading import Array, Index
from wirelessfl.network.geometry import Disc
from wirelessfl.network.walk import Walk
from wirelessfl.scenario.mobility import GaussMarkovMobility

_XY, _SPEED, _MEAN_HEADING, _TURN = slice(0, 2), 2, 3, 4
_FIELDS = 5  # place around the disc's centre, speed, mean heading, heading less its mean


class GaussMarkov(Walk):
    """Places, speeds and headings of all clients; a tick is a second.

    Attributes:
        mean_speed_mps: Mean speed.
    """

    def __init__(
        self, config: GaussMarkovMobility, area: Disc, start_xy_m: Array, seed: int
    ) -> None:
        super().__init__(len(start_xy_m), _FIELDS)
        self.mean_speed_mps = config.mean_speed_mps
        self._speed_sigma, self._turn_sigma = config.speed_sigma_mps, config.direction_sigma_rad
        self._memory, self._fresh = config.memory, math.sqrt(1.0 - config.memory**2)
        self._start_xy_m, self._area, self._seed = start_xy_m, area, seed

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """Ground coordinates at `t_s`, 0 or later, [n, 2]."""
        second = math.floor(t_s)
        there: Array = self._glide(self.state(clients, second), t_s - second)[:, _XY]
        return there + self._area.centre_m

    def start(self, clients: Index) -> Array:
        """See `Walk.start`."""
        state = np.empty((len(clients), _FIELDS))
        state[:, _XY] = self._start_xy_m[clients] - self._area.centre_m
        state[:, _SPEED] = self.mean_speed_mps + self._speed_sigma * self._noise(
            "speed", clients, 0
        )
        u = randomness.uniform(self._seed, "mobility.heading", clients)
        state[:, _MEAN_HEADING] = 2.0 * np.pi * u
        state[:, _TURN] = self._turn_sigma * self._noise("turn", clients, 0)
        return state

    def advance(self, clients: Index, tick: Index, state: Array) -> Array:
        """See `Walk.advance`."""
        state = self._glide(state, 1.0)
        a, fresh = self._memory, self._fresh
        state[:, _SPEED] = (
            a * state[:, _SPEED]
            + (1.0 - a) * self.mean_speed_mps
            + fresh * self._speed_sigma * self._noise("speed", clients, tick + 1)
        )
        state[:, _TURN] = a * state[:, _TURN] + fresh * self._turn_sigma * self._noise(
            "turn", clients, tick + 1
        )
        return state

    def _noise(self, what: str, clients: Index, tick: Index | int) -> Array:
        return randomness.normal(self._seed, f"mobility.{what}", clients, tick)

    def _glide(self, state: Array, time_s: float) -> Array:
        """States after going on for `time_s` at the same speed, mirrors included, [n, fields]."""
        state = state.copy()
        heading = state[:, _MEAN_HEADING] + state[:, _TURN]
        way_m = state[:, _SPEED] * time_s
        towards = np.stack([np.cos(heading), np.sin(heading)], axis=1) * np.sign(way_m)[:, None]
        here, way_m = state[:, _XY], np.abs(way_m)
        along = np.einsum("ij,ij->i", here, towards)
        free = self._area.radius_m**2 - np.einsum("ij,ij->i", here, here)
        border_m = np.maximum(np.sqrt(np.maximum(along**2 + free, 0.0)) - along, 0.0)
        state[:, _XY] = here + towards * np.minimum(way_m, border_m)[:, None]
        rows = np.flatnonzero(way_m > border_m)
        if rows.size:
            state[rows] = self._mirror(state[rows], towards[rows], (way_m - border_m)[rows])
        return state

    def _mirror(self, state: Array, towards: Array, way_m: Array) -> Array:
        """States, now on the border, after `way_m` more along the mirrored path, [n, fields].

        All chords of a path in a disc have the same length and turn the path by the same angle, so
        k of them are one rotation.
        """
        radius_m = self._area.radius_m
        here = state[:, _XY]
        normal = here / np.hypot(*here.T)[:, None]
        slope = np.maximum(np.einsum("ij,ij->i", towards, normal), 1e-9)  # at least grazing
        chord_m = 2.0 * radius_m * slope
        chords = np.floor(way_m / chord_m)
        onward = towards - 2.0 * slope[:, None] * normal
        left = normal[:, 0] * onward[:, 1] - normal[:, 1] * onward[:, 0]
        side = np.where(left < 0, -1.0, 1.0)  # through the centre either is right
        angle = side * chords * 2.0 * np.arcsin(np.minimum(slope, 1.0))
        onward = _rotated(onward, angle)
        state[:, _XY] = radius_m * _rotated(normal, angle) + onward * (
            way_m - chords * chord_m
        ).reshape(-1, 1)
        outside = np.maximum(np.hypot(*state[:, _XY].T) / radius_m, 1.0)  # by rounding
        state[:, _XY] /= outside[:, None]

        # One mirror maps heading h to (before + after) - h, two of them to h + (after - before).
        before = np.arctan2(towards[:, 1], towards[:, 0])
        after = np.arctan2(onward[:, 1], onward[:, 0])
        odd = chords % 2 == 0  # the first reflection and an even number more
        mean = state[:, _MEAN_HEADING]
        turned = np.where(odd, after + before - mean, after - before + mean)
        state[:, _MEAN_HEADING] = turned % (2.0 * np.pi)
        state[:, _TURN] = np.where(odd, -state[:, _TURN], state[:, _TURN])
        return state


def _rotated(xy: Array, angle: Array) -> Array:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * xy[:, 0] - sin * xy[:, 1], sin * xy[:, 0] + cos * xy[:, 1]], axis=1)
