"""How long a round takes for given participants, and what one more participant adds to it.

Client n is ready to upload tau_n seconds into the round (download, then compute); with a share x of
the uplink its upload takes delay_n + t_n / x. Where rates are linear in the share the delay is 0
and t_n the time with the whole uplink. Where a device's power is limited (`power_mode: total`), a
narrow share has a better SNR, and the line through its time for the whole and for a typical share
has a delay that no bandwidth shortens. For a set of participants:

* equal finish: T solves sum t_n / (T - tau_n - delay_n) = 1 (all hold a share from start to end);
* work conserving, linear rates: T = max_j (tau_j + sum of t_i over tau_i >= tau_j).

A round nobody joins takes no time. E[T] is multilinear in q, so client n's marginal price is
dE[T]/dq_n = E[T | n takes part] - E[T | n does not]: the prices of all clients at once, for
every rank each could train, come from the same sets. (Own derivation, `reconstructed`.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wirelessfl.strategy.observation import Bools, Floats
from wirelessfl.strategy.participant_sets import Sets
from wirelessfl.strategy.set_kernels import (
    added_in_queue,
    added_together,
    equal_finish,
    queue,
    queue_without,
    rest_as_one,
)

Option = tuple[Floats, Floats, Floats]
"""(tau_s, delay_s, upload_s) of every client for one rank, each [clients] or [clients, sets]."""


@dataclass(frozen=True)
class Bounds:
    """A round over several cells lasts as long as the slowest, and none longer than its deadline.

    T = min(max(T of this cell, floor), cap).

    Attributes:
        floor_s: What the other cells take in each set. [sets]
        cap_s: The server's deadline.
    """

    floor_s: Floats | float = 0.0
    cap_s: float = np.inf

    def hold(self, time_s: Floats) -> Floats:
        """Times within the bounds, in place."""
        np.maximum(time_s, self.floor_s, out=time_s)
        return np.minimum(time_s, self.cap_s, out=time_s)

    def own(self, time_s: Floats) -> Bools:
        """Whether a set's time is this cell's own. [sets]"""
        return (time_s > self.floor_s) & (time_s < self.cap_s)


UNBOUNDED = Bounds()


@dataclass(frozen=True)
class Prices:
    """Expected round time and its derivatives.

    Attributes:
        mean_s: E[T].
        price_s: E[T | client n takes part with option o] - E[T | it does not]. [clients, options]
        waits: How far the round of each set waits for this client, dT/dtau_n, times the set's
            probability. [clients, sets], or summed over them [clients, 1]
        first_s: What the first option adds to the round of each set. [clients, sets]
    """

    mean_s: float
    price_s: Floats
    waits: Floats
    first_s: Floats

    @property
    def lateness(self) -> Floats:
        """dE[T]/dtau_n. [clients]"""
        return np.asarray(self.waits.sum(axis=1), dtype=np.float64)


class SharingTime(Protocol):
    """Length of a round under one rule for sharing the uplink."""

    def durations_s(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float = 0.0
    ) -> Floats:
        """T of each set; times are [clients] or [clients, sets]. [sets]"""

    def prices(
        self, sets: Sets, own: Option, options: Iterable[Option], bounds: Bounds = UNBOUNDED
    ) -> Prices:
        """E[T], prices of the options, and lateness."""


class OneByOne:
    """One upload at a time, each with the whole uplink (`tdma_fifo`): a queue."""

    def durations_s(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float = 0.0
    ) -> Floats:
        """T of each set, by one sort and suffix sums. [sets]"""
        members, tau_s, airtime_s = _whole(members, tau_s, upload_s + delay_s)
        return queue(members, tau_s, airtime_s)[0]

    def prices(
        self, sets: Sets, own: Option, options: Iterable[Option], bounds: Bounds = UNBOUNDED
    ) -> Prices:
        """Exact for the given sets as long as an option does not change the order of tau.

        In order of tau, let V_j = tau_j + sum_{i>=j} t_i for members j. Without client n, members
        before it finish t_n earlier; with it, they finish t_n(option) later than that, and its own
        V is tau_n + t_n + sum_{i>n} t_i.
        """
        members, ready_s, airtime_s = _whole(sets.members, own[0], own[2] + own[1])
        before, later, without = queue_without(members, ready_s, airtime_s)
        bounds.hold(without)
        price: list[Floats] = []
        first = np.zeros(0)
        for tau_s, delay_s, upload_s in options:
            times = _filled(members, tau_s), _filled(members, upload_s + delay_s)
            added = added_in_queue(before, later, without, bounds.cap_s, *times)
            first = first if price else added
            price.append(added @ sets.weight)
        duration, last = queue(members, ready_s, airtime_s)
        waits = np.zeros_like(members)
        waits[last, np.arange(len(last))] = np.where(bounds.own(duration), sets.weight, 0.0)
        mean_s = float(bounds.hold(duration) @ sets.weight)
        return Prices(mean_s, np.stack(price, axis=1), waits, first)


class EqualFinish:
    """Every participant gets a constant share such that all uploads end together."""

    def durations_s(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float = 0.0
    ) -> Floats:
        """T of each set, by Newton's method. [sets]

        The load sum t/(T - tau) is convex and falls with T; from the work-conserving T, which is
        never too long, Newton's steps rise monotonically to the root. Fractional `members` (q as
        one column) give the mean-field root.
        """
        members, late_s, airtime_s = _whole(members, tau_s + delay_s, upload_s)
        return equal_finish(queue(members, late_s, airtime_s)[0], late_s, airtime_s)

    def prices(
        self, sets: Sets, own: Option, options: Iterable[Option], bounds: Bounds = UNBOUNDED
    ) -> Prices:
        """E[T] and lateness exact for the given sets; prices within about 1%, at worst 15%.

        The rest of a set acts as one flow A/(T - B) that matches its load and slope at the set's T;
        with p = A + B (the rest alone) and r = tau + t (the client alone), both together end at
        T = (p + r)/2 + sqrt((p - r)^2/4 + A t). Exact when all the rest have the same tau; p is
        kept above the work-conserving time, which matters when the client is a straggler.
        """
        members, late_s, airtime = _whole(sets.members, own[0] + own[1], own[2])
        time = equal_finish(queue(members, late_s, airtime)[0], late_s, airtime)
        shortest = queue_without(members, late_s, airtime)[2]
        without, size, waits = rest_as_one(members, late_s, airtime, time, shortest)
        floor_s = _filled(time, bounds.floor_s)
        price: list[Floats] = []
        first = np.zeros(0)
        for tau, delay, upload in options:
            times = _filled(members, tau + delay), _filled(members, upload)
            added = added_together(without, size, floor_s, bounds.cap_s, *times)
            first = first if price else added
            price.append(added @ sets.weight)
        late = np.where(bounds.own(time), sets.weight, 0.0)
        mean_s = float(bounds.hold(time) @ sets.weight)
        return Prices(mean_s, np.stack(price, axis=1), waits * late, first)


def columns(values: Floats | float) -> Floats:
    """Values of clients as a column, so that they meet arrays [clients, sets]."""
    array = np.asarray(values, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _filled(like: Floats, values: Floats | float) -> Floats:
    """Values in contiguous rows of the shape of `like`; those of clients as columns."""
    wide = columns(values) if like.ndim == 2 else values
    return np.ascontiguousarray(np.broadcast_to(wide, like.shape), dtype=np.float64)


def _whole(members: Floats, tau_s: Floats, upload_s: Floats) -> tuple[Floats, Floats, Floats]:
    """Members, tau and airtime as the kernels take them. [clients, sets]"""
    airtime_s = _filled(members, members * columns(upload_s))
    return np.ascontiguousarray(members), _filled(members, tau_s), airtime_s
