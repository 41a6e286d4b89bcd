"""Expected length of a round, and what one more participant adds to it.

Client n is ready to upload tau_n seconds into the round (download, then compute) and its upload
takes t_n seconds with the whole uplink to itself. For a set of participants:

* work conserving: T = max_j (tau_j + sum of t_i over tau_i >= tau_j);
* equal finish: T solves sum t_n / (T - tau_n) = 1 (everybody holds a share from start to end).

A round nobody joins takes no time. E[T] is multilinear in q, so client n's marginal price is
dE[T]/dq_n = E[T | n takes part] - E[T | n does not]: the prices of all clients at once, for
every rank each could train, come from the same sampled sets. (Own derivation; rates are taken
as linear in the bandwidth share.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wirelessfl.randomness import generator
from wirelessfl.strategy.observation import Floats


@dataclass(frozen=True)
class Sets:
    """Participant sets with their probabilities.

    Attributes:
        members: 1 where the client takes part, else 0. [clients, sets]
        weight: Probability of each set, sums to 1. [sets]
    """

    members: Floats
    weight: Floats


def strata(clients: int, sets: int) -> Floats:
    """Fixed uniform draws, one a set in each of `sets` strata (Latin hypercube). [clients, sets]

    The same draws serve every candidate plan (common random numbers).
    """
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


@dataclass(frozen=True)
class Prices:
    """Expected round time and its derivatives.

    A round over several cells lasts as long as the slowest: T = max(T of this cell, floor).

    Attributes:
        mean_s: E[T].
        price_s: E[T | client n takes part with option o] - E[T | it does not]. [clients, options]
        lateness: dE[T]/dtau_n: how far the round waits for this client. [clients]
    """

    mean_s: float
    price_s: Floats
    lateness: Floats


class SharingTime(Protocol):
    """Length of a round under one rule for sharing the uplink."""

    def durations_s(self, members: Floats, tau_s: Floats, upload_s: Floats) -> Floats:
        """T of each set. [sets]"""

    def prices(
        self,
        sets: Sets,
        tau_s: Floats,
        upload_s: Floats,
        options: tuple[Floats, Floats],
        floor_s: Floats | float = 0.0,
    ) -> Prices:
        """E[T], prices of the options (tau_s, upload_s), each [clients, options], and lateness.

        `floor_s` is what the other cells take in each set. [sets]
        """


class WorkConserving:
    """The uplink never idles while a participant has something to send.

    Holds for every rule that never idles (equal shares, max-min, one after the other) as well: only
    the order of completions differs. What proportional fairness gains from fading is not in it.
    """

    def durations_s(self, members: Floats, tau_s: Floats, upload_s: Floats) -> Floats:
        """T of each set, by one sort and suffix sums. [sets]"""
        order = np.argsort(tau_s)
        until, _ = _busy_until(members[order], tau_s[order], upload_s[order])
        return np.asarray(until.max(axis=0), dtype=np.float64)

    def prices(
        self,
        sets: Sets,
        tau_s: Floats,
        upload_s: Floats,
        options: tuple[Floats, Floats],
        floor_s: Floats | float = 0.0,
    ) -> Prices:
        """Exact for the given sets as long as an option does not change the order of tau.

        In order of tau, let V_j = tau_j + sum_{i>=j} t_i for members j. Without client n, members
        before it finish t_n earlier; with it, they finish t_n(option) later than that, and its own
        V is tau_n + t_n + sum_{i>n} t_i.
        """
        order = np.argsort(tau_s)
        until, later = _busy_until(sets.members[order], tau_s[order], upload_s[order])
        before, without = _without(until, sets.members[order] * upload_s[order, None])
        np.maximum(without, floor_s, out=without)
        base = without @ sets.weight
        price = np.empty_like(options[0])
        for o, (tau, upload) in enumerate(zip(options[0].T, options[1].T, strict=True)):
            alone = tau[order, None] + later
            np.maximum(alone, before, out=alone)
            alone += upload[order, None]
            np.maximum(alone, without, out=alone)
            price[order, o] = alone @ sets.weight - base
        duration = until.max(axis=0)
        last = order[until.argmax(axis=0)]
        lateness = np.zeros_like(tau_s)
        np.add.at(lateness, last, np.where(duration > floor_s, sets.weight, 0.0))
        return Prices(float(np.maximum(duration, floor_s) @ sets.weight), price, lateness)


def _busy_until(members: Floats, tau_s: Floats, upload_s: Floats) -> tuple[Floats, Floats]:
    """V_j, 0 for non-members, and the airtime of those after j; clients sorted by tau."""
    airtime = members * upload_s[:, None]
    suffix = np.cumsum(airtime[::-1], axis=0)[::-1]
    return np.where(members > 0, tau_s[:, None] + suffix, 0.0), suffix - airtime


def _without(until: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Without each client: when those before it have finished, and when everybody has."""
    before = np.zeros_like(until)
    np.maximum.accumulate(until[:-1], axis=0, out=before[1:])
    after = np.zeros_like(until)
    after[:-1] = np.maximum.accumulate(until[:0:-1], axis=0)[::-1]
    before -= own
    return before, np.maximum(np.maximum(before, after), 0.0)


class EqualFinish:
    """Every participant gets a constant share such that all uploads end together."""

    def durations_s(self, members: Floats, tau_s: Floats, upload_s: Floats) -> Floats:
        """T of each set, by Newton's method. [sets]

        The load sum t/(T - tau) is convex and falls with T; from the work-conserving T, which is
        never too long, Newton's steps rise monotonically to the root. Fractional `members` (q as
        one column) give the mean-field root.
        """
        time = WorkConserving().durations_s(members, tau_s, upload_s)
        airtime = members * upload_s[:, None]
        for _ in range(100):
            load, slope = _load(airtime, tau_s, time)
            step = np.where(time > 0, (load - 1.0) / np.where(time > 0, slope, 1.0), 0.0)
            time = time + step
            if np.all(step <= 1e-12 * time):
                break
        return time

    def prices(
        self,
        sets: Sets,
        tau_s: Floats,
        upload_s: Floats,
        options: tuple[Floats, Floats],
        floor_s: Floats | float = 0.0,
    ) -> Prices:
        """E[T] and lateness exact for the given sets; prices within about 1%, at worst 15%.

        The rest of a set acts as one flow A/(T - B) that matches its load and slope at the set's T;
        with p = A + B (the rest alone) and r = tau + t (the client alone), both together end at
        T = (p + r)/2 + sqrt((p - r)^2/4 + A t). Exact when all the rest have the same tau; p is
        kept above the work-conserving time, which matters when the client is a straggler.
        """
        time = self.durations_s(sets.members, tau_s, upload_s)
        airtime = sets.members * upload_s[:, None]
        gap = np.where(airtime > 0, time - tau_s[:, None], 1.0)
        own_load = airtime / gap
        own_slope = own_load / gap
        slope = own_slope.sum(axis=0)
        alone = sets.members.sum(axis=0) - sets.members < 0.5
        rest_load = np.where(alone, 0.0, np.clip(1.0 - own_load, 0.0, 1.0))
        floor = np.where(alone, 1.0, rest_load / np.where(time > 0, time, 1.0))
        rest_slope = np.maximum(np.maximum(slope - own_slope, floor), np.finfo(float).tiny)
        size = rest_load**2 / rest_slope
        order = np.argsort(tau_s)
        until, _ = _busy_until(sets.members[order], tau_s[order], upload_s[order])
        shortest = np.empty_like(until)
        shortest[order] = _without(until, airtime[order])[1]
        without = np.maximum(time - rest_load * (1.0 - rest_load) / rest_slope, shortest)
        without[alone] = 0.0
        base = np.maximum(without, floor_s) @ sets.weight
        price = np.empty_like(options[0])
        for o, (tau, upload) in enumerate(zip(options[0].T, options[1].T, strict=True)):
            single = (tau + upload)[:, None]
            together = np.sqrt((without - single) ** 2 / 4 + size * upload[:, None])
            together += (single + without) / 2
            price[:, o] = np.maximum(together, floor_s) @ sets.weight - base
        waits = own_slope / np.where(slope > 0, slope, 1.0)
        late = np.where(time > floor_s, sets.weight, 0.0)
        return Prices(float(np.maximum(time, floor_s) @ sets.weight), price, waits @ late)


def _load(airtime: Floats, tau_s: Floats, time_s: Floats) -> tuple[Floats, Floats]:
    """Sum of t/(T - tau) over the members of each set, and of t/(T - tau)^2. [sets]"""
    gap = np.where(airtime > 0, time_s - tau_s[:, None], 1.0)
    load = airtime / gap
    return load.sum(axis=0), (load / gap).sum(axis=0)


def overlap_s(own_s: Floats, others_s: Floats, weight: Floats) -> Floats:
    """Sum_i weight_i min(others_i, own) for every element of `own_s`.

    With transfers of equal share that start together, one that takes d seconds alone ends after
    sum_i min(d_i, d), itself included (processor sharing). With weight_i = q_i this is the mean
    wait for the others; with lateness as weight, what a client's transfer adds to the others' end.
    """
    order = np.argsort(others_s)
    ordered = others_s[order]
    below = np.concatenate(([0.0], np.cumsum((weight * others_s)[order])))
    above = np.concatenate((np.cumsum(weight[order][::-1])[::-1], [0.0]))
    place = np.searchsorted(ordered, own_s)
    return np.asarray(below[place] + above[place] * own_s, dtype=np.float64)
