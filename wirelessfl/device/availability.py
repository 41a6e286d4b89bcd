"""When devices are on: pure functions of (client, time), whoever asks, in any order.

`on_off` is the two-state Markov chain of two Poisson processes: one switches the client off, at the
rate 1 / mean_on, the other on, at the rate 1 / mean_off, and a switch that finds nothing to do does
nothing. The state is the kind of the last switch, so it is stationary from the start.
`diurnal` is on while u < p(t), with u uniform on (0, 1) and drawn anew at the points of a Poisson
process: the share of clients that are on is p(t) exactly, at every t. `reconstructed`, both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.device.availability_trace import Intervals, read_intervals
from wirelessfl.device.poisson import PoissonPoints
from wirelessfl.randomness import uniform
from wirelessfl.scenario.availability import (
    AvailabilityConfig,
    CustomAvailability,
    Diurnal,
    OnOff,
    ReplayedAvailability,
)
from wirelessfl.scenario.custom import build_custom

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_DAY_S = 86_400.0
_SHORTEST_S = 1e-6  # time on or off in a day that is not rounded away


class Availability(ABC):
    """On or off, for every client at every time (negative times are before the simulation)."""

    @abstractmethod
    def is_on(self, clients: Ints, t_s: ArrayLike) -> Bools:
        """Whether each client is on.

        Args:
            clients: Client numbers. [n]
            t_s: Time of each, or one for all. [n]
        """

    @abstractmethod
    def next_change_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """First time after `t_s` at which each client is not in its state of `t_s`. [n]

        Infinity if it keeps the state for ever; arguments as for `is_on`.
        """

    def next_off_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """When each client goes off: `t_s` if it is off, infinity if it never does. [n]"""
        return np.where(self.is_on(clients, t_s), self.next_change_s(clients, t_s), t_s)

    def next_on_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """When each client comes on: `t_s` if it is on, infinity if it never does. [n]"""
        return np.where(self.is_on(clients, t_s), t_s, self.next_change_s(clients, t_s))

    def on_time_s(
        self, clients: Ints, start_s: float, end_s: float, enough_s: ArrayLike = np.inf
    ) -> Floats:
        """How long each client is on between two times; not counted further once enough. [n]"""
        enough_s = np.broadcast_to(np.asarray(enough_s, dtype=np.float64), len(clients))
        total_s = np.zeros(len(clients))
        rows, t_s = np.arange(len(clients)), np.full(len(clients), start_s)
        while rows.size:
            until_s = np.minimum(self.next_change_s(clients[rows], t_s), end_s)
            total_s[rows] += np.where(self.is_on(clients[rows], t_s), until_s - t_s, 0.0)
            going_on = (until_s < end_s) & (total_s[rows] < enough_s[rows])
            rows, t_s = rows[going_on], until_s[going_on]
        return total_s


class Always(Availability):
    """Everyone, all the time."""

    def is_on(self, clients: Ints, t_s: ArrayLike) -> Bools:
        """See `Availability.is_on`."""
        return np.ones(len(clients), dtype=bool)

    def next_change_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """See `Availability.next_change_s`."""
        return np.full(len(clients), np.inf)

    def on_time_s(
        self, clients: Ints, start_s: float, end_s: float, enough_s: ArrayLike = np.inf
    ) -> Floats:
        """See `Availability.on_time_s`."""
        return np.full(len(clients), end_s - start_s)


class Alternating(Availability):
    """On and off in turn, both exponential, independent of one another and between clients."""

    def __init__(self, config: OnOff, seed: int) -> None:
        self._off = PoissonPoints(seed, "availability.off", config.mean_on_s)
        self._on = PoissonPoints(seed, "availability.on", config.mean_off_s)

    def is_on(self, clients: Ints, t_s: ArrayLike) -> Bools:
        """See `Availability.is_on`."""
        return self._on.last(clients, t_s)[0] > self._off.last(clients, t_s)[0]

    def next_change_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """See `Availability.next_change_s`."""
        off_s, on_s = (switch.next(clients, t_s)[0] for switch in (self._off, self._on))
        return np.where(self.is_on(clients, t_s), off_s, on_s)


class DailyCycle(Availability):
    """On while u < p(t), p(t) = low + (high - low) (1 + cos(2 pi (t - peak_n) / day)) / 2."""

    def __init__(self, config: Diurnal, clients: int, seed: int) -> None:
        self._draws = PoissonPoints(seed, "availability.draw", config.redraw_every_s)
        self._low, self._high = config.min_probability, config.max_probability
        spread = uniform(seed, "availability.peak", np.arange(clients)) - 0.5
        peak_s = config.peak_hour * 3600.0 - config.start_hour * 3600.0
        self._peak_s = peak_s + 2.0 * config.phase_spread_s * spread

    def probability(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """p(t) of each client. [n]"""
        angle = 2.0 * np.pi * (np.asarray(t_s) - self._peak_s[clients]) / _DAY_S
        swing = self._high - self._low
        return np.asarray(self._low + swing * (1.0 + np.cos(angle)) / 2.0, dtype=np.float64)

    def is_on(self, clients: Ints, t_s: ArrayLike) -> Bools:
        """See `Availability.is_on`."""
        return self._is_above(clients, t_s, self._draws.last(clients, t_s)[1])

    def next_change_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """See `Availability.next_change_s`: the first crossing of p(t) and u, or telling redraw.

        Every redraw has at least one chance in a hundred, at the right hour, so this ends soon.
        """
        t = np.array(np.broadcast_to(np.asarray(t_s, dtype=np.float64), np.shape(clients)))
        u = self._draws.last(clients, t)[1]
        was_on = self._is_above(clients, t, u)
        change_s = np.empty(t.shape)
        rows = np.arange(len(t))
        while rows.size:
            crossing_s = self._crossing_s(clients[rows], t[rows], u[rows], was_on[rows])
            redraw_s, redrawn = self._draws.next(clients[rows], t[rows])
            on_after = self._is_above(clients[rows], redraw_s, redrawn)
            crosses = crossing_s < redraw_s
            changes = crosses | (on_after != was_on[rows])
            change_s[rows[changes]] = np.where(crosses, crossing_s, redraw_s)[changes]
            rows = rows[~changes]
            t[rows], u[rows] = redraw_s[~changes], redrawn[~changes]
        return change_s

    def _half_width_s(self, u: Floats) -> Floats:
        """p(t) > u within so long of the peak: 0 if never, infinity if always. [n]

        What is shorter than a microsecond, on or off, is left out: it could be lost in rounding.
        """
        middle, swing = (self._high + self._low) / 2.0, (self._high - self._low) / 2.0
        cosine = np.divide(u - middle, swing, out=np.where(u < middle, -1.0, 1.0), where=swing > 0)
        width_s: Floats = np.arccos(np.clip(cosine, -1.0, 1.0)) * _DAY_S / (2.0 * np.pi)
        width_s[width_s < _SHORTEST_S] = 0.0
        width_s[width_s > _DAY_S / 2.0 - _SHORTEST_S] = np.inf
        return width_s

    def _since_peak_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """Time since the nearest peak, negative before it. [n]"""
        since_s = np.asarray(t_s, dtype=np.float64) - self._peak_s[clients]
        return np.asarray(since_s - _DAY_S * np.rint(since_s / _DAY_S), dtype=np.float64)

    def _is_above(self, clients: Ints, t_s: ArrayLike, u: Floats) -> Bools:
        since_s, width_s = self._since_peak_s(clients, t_s), self._half_width_s(u)
        return np.asarray((-width_s <= since_s) & (since_s < width_s), dtype=bool)

    def _crossing_s(self, clients: Ints, t_s: Floats, u: Floats, was_on: Bools) -> Floats:
        """When p next passes u; infinity if it never does. [n]"""
        width_s = self._half_width_s(u)
        passes = (width_s > 0) & np.isfinite(width_s)
        width_s = np.where(passes, width_s, 0.0)
        since_s = self._since_peak_s(clients, t_s)
        ahead_s = np.where(was_on, width_s - since_s, (-width_s - since_s) % _DAY_S)
        crossing_s = np.where(passes, np.maximum(t_s + ahead_s, np.nextafter(t_s, np.inf)), np.inf)
        rows = np.flatnonzero(passes)
        while rows.size:  # by some ulps, until the state is the other one
            same = self._is_above(clients[rows], crossing_s[rows], u[rows]) == was_on[rows]
            rows = rows[same]
            crossing_s[rows] = np.nextafter(crossing_s[rows], np.inf)
        return crossing_s


class Replayed(Availability):
    """Intervals from a file; off before, between and after them."""

    def __init__(self, intervals: Intervals) -> None:
        self._intervals = intervals

    def is_on(self, clients: Ints, t_s: ArrayLike) -> Bools:
        """See `Availability.is_on`."""
        begun = self._begun(clients, t_s)
        on = begun > self._intervals.first[clients]
        ends_s = self._intervals.off_s[begun - 1]
        return np.asarray(on & (ends_s > np.asarray(t_s, dtype=np.float64)), dtype=bool)

    def next_change_s(self, clients: Ints, t_s: ArrayLike) -> Floats:
        """See `Availability.next_change_s`."""
        begun = self._begun(clients, t_s)
        intervals = self._intervals
        last = begun >= intervals.first[clients + 1]
        begins_s = np.where(last, np.inf, np.append(intervals.on_s, np.inf)[begun])
        return np.where(self.is_on(clients, t_s), intervals.off_s[begun - 1], begins_s)

    def _begun(self, clients: Ints, t_s: ArrayLike) -> Ints:
        """Row after the last interval of each client that has begun, by bisection. [n]"""
        t = np.asarray(t_s, dtype=np.float64)
        low, high = self._intervals.first[clients], self._intervals.first[clients + 1]
        while (searching := low < high).any():
            middle = (low + high) // 2
            begun = searching & (self._intervals.on_s[np.where(searching, middle, 0)] <= t)
            low = np.where(begun, middle + 1, low)
            high = np.where(searching & ~begun, middle, high)
        return low


def build_availability(config: AvailabilityConfig, clients: int, seed: int) -> Availability:
    """The availability that a scenario asks for.

    Raises:
        InputError: A file of intervals cannot be used, or code of the user's own is none.
    """
    match config:
        case CustomAvailability():
            where = "devices.availability"
            return build_custom(config, Availability, where, seed=seed, clients=clients)
        case OnOff():
            return Alternating(config, seed)
        case Diurnal():
            return DailyCycle(config, clients, seed)
        case ReplayedAvailability():
            return Replayed(read_intervals(Path(config.file), clients, config.sha256))
        case _:
            return Always()
