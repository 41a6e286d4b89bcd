"""Expected length of a round of some clients, and the price of each, from sets of participants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from wirelessfl.arrays import by_cell
from wirelessfl.randomness import generator
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.participant_sets import Sets, every_set, sampled_sets
from wirelessfl.strategy.round_time import overlap_s
from wirelessfl.strategy.uplink_time import Bounds, Option, Prices, SharingTime

# So many memberships are sampled in all, in 64 to 256 sets: E[T] within about 1%.
MEMBERSHIPS = 10_240
# Least number of random computing times that stand for all of a client's.
DRAWN_TIMES = 256


@dataclass(frozen=True)
class Uploads:
    """Seconds that uploads take: delay + alone / share. An option is a rank to train.

    Attributes:
        delay_s: What no bandwidth shortens. [levels, clients, options]
        band_s: Time with the whole uplink, less the delay. [levels, clients, options]
        senders: Number of simultaneous senders that each level is for. [levels]
    """

    delay_s: Floats
    band_s: Floats
    senders: Ints

    def level(self, senders: Floats) -> Ints:
        """The level nearest in ratio to numbers of senders, any shape."""
        middles = np.sqrt(self.senders[1:] * self.senders[:-1])
        return np.asarray(np.searchsorted(middles, senders))

    def between(self, senders: Floats) -> tuple[Floats, Floats]:
        """(delay_s, band_s) for numbers of senders [clients], levels joined by straight lines.

        Straight over the logarithm of the number. [clients, options] each
        """
        last = len(self.senders) - 1
        place = np.interp(np.log(senders), np.log(self.senders), np.arange(last + 1))
        low = np.minimum(place.astype(np.int64), max(last - 1, 0))
        high, rows = np.minimum(low + 1, last), np.arange(len(place))
        part = (place - low)[:, None]
        delay, band = (
            (1.0 - part) * x[low, rows] + part * x[high, rows] for x in (self.delay_s, self.band_s)
        )
        return delay, band

    def only(self, rows: Ints) -> Uploads:
        """Those of some clients."""
        return replace(self, delay_s=self.delay_s[:, rows], band_s=self.band_s[:, rows])


@dataclass(frozen=True)
class RoundModel:
    """Times of every client and option.

    Attributes:
        download_s: Download with the whole downlink. [clients, options]
        compute_s: Expected compute time. [clients, options]
        uploads: Upload times.
        latency_s: What comes after the air. [clients]
        cell: Cell of each client. [clients]
        overhead_s: Server overhead of a round.
        deadline_s: After which the server ends a round.
        spread: Standard deviation of compute times over their mean.
        sharing: How the uplink is shared.
        uniforms: Draws that decide the sampled sets; None to enumerate all sets. [clients, sets]
    """

    download_s: Floats
    compute_s: Floats
    uploads: Uploads
    latency_s: Floats
    cell: Ints
    overhead_s: float
    deadline_s: float
    spread: float
    sharing: SharingTime
    uniforms: Floats | None

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.compute_s)

    @property
    def upload_s(self) -> Floats:
        """Upload with the whole uplink. [clients, options]"""
        return np.asarray(self.uploads.delay_s[0] + self.uploads.band_s[0])

    def sets(self, q: Floats) -> Sets:
        """Participant sets that stand for participation `q`."""
        if self.uniforms is not None:
            return sampled_sets(q, self.uniforms)
        sets = every_set(q)
        if not self.spread:
            return sets
        times = -(-DRAWN_TIMES // len(sets.weight))  # each set, with that many computing times
        return Sets(np.tile(sets.members, times), np.tile(sets.weight / times, times))

    @cached_property
    def cells(self) -> list[Ints]:
        """The clients of every cell that has some."""
        return [rows for _, rows in by_cell(self.cell)]

    def only(self, rows: Ints) -> RoundModel:
        """The model of some clients alone."""
        return replace(
            self,
            download_s=self.download_s[rows],
            compute_s=self.compute_s[rows],
            uploads=self.uploads.only(rows),
            latency_s=self.latency_s[rows],
            cell=self.cell[rows],
            uniforms=None if self.uniforms is None else self.uniforms[rows],
        )

    def tau_s(self, q: Floats, option: Ints) -> Floats:
        """Mean time each client becomes ready to upload, if it takes part. [clients]

        The latency after its upload is counted as if it came before.
        """
        rows = np.arange(self.clients)
        compute = self.compute_s[rows, option] + self.latency_s
        return self._download_s(q, self.download_s[rows, option]) + compute

    def _download_s(self, q: Floats, alone_s: Floats) -> Floats:
        """Mean length of downloads that take so long alone, others' included. [clients]"""
        wait = (1 - q) * alone_s
        for own in self.cells:
            alone = alone_s[own]
            wait[own] += overlap_s(alone, alone, q[own])
        return np.asarray(wait, dtype=np.float64)

    def durations_s(self, q: Floats, option: Ints) -> tuple[Floats, Floats]:
        """Times of sets that stand for all, overhead included, and their weights. [sets]"""
        sets = self.sets(q)
        download = self._download_s(q, self.download_s[np.arange(self.clients), option])
        times = self._cell_times_s(sets, download, option).max(axis=0)
        return self.overhead_s + np.minimum(times, self.deadline_s), sets.weight

    def round_s(self, q: Floats, option: Ints) -> float:
        """Expected round time, overhead included."""
        times, weight = self.durations_s(q, option)
        return float(times @ weight)

    def prices(self, q: Floats, option: Ints) -> Prices:
        """Expected time (overhead included) and what each client's options would add to it.

        A price includes the wait that the client's download causes for everybody else.
        """
        rows, sets = np.arange(self.clients), self.sets(q)
        download = self.download_s[rows, option]
        own_s = np.minimum(download[:, None], self.download_s)
        downloaded = self.download_s - q[:, None] * own_s
        for own in self.cells:
            downloaded[own] += overlap_s(self.download_s[own], download[own], q[own])
        times = self._cell_times_s(sets, downloaded[rows, option], option)
        floors = highest_of_others(times)
        mean_s, price_s, lateness = 0.0, np.empty_like(self.compute_s), np.empty(self.clients)
        for own, floor_s in zip(self.cells, floors, strict=True):
            result = self.sharing.prices(
                Sets(sets.members[own], sets.weight),
                self._times(sets, own, downloaded[rows, option], option),
                self._options(sets, own, downloaded),
                Bounds(floor_s, self.deadline_s),
            )
            mean_s, lateness[own] = result.mean_s, result.lateness
            caused = overlap_s(self.download_s[own], download[own], result.lateness)
            caused -= result.lateness[:, None] * own_s[own]
            price_s[own] = result.price_s + caused
        return Prices(self.overhead_s + mean_s, price_s, lateness[:, None], np.zeros((0, 0)))

    def _cell_times_s(self, sets: Sets, downloaded_s: Floats, option: Ints) -> Floats:
        """How long each cell takes in each set. [cells, sets]"""
        times = []
        for own in self.cells:
            tau, delay, upload = self._times(sets, own, downloaded_s, option)
            times.append(self.sharing.durations_s(sets.members[own], tau, upload, delay))
        return np.stack(times)

    def _options(self, sets: Sets, own: Ints, downloaded_s: Floats) -> Iterator[Option]:
        """Times of every option for the clients of a cell."""
        for o in range(self.compute_s.shape[1]):
            yield self._times(sets, own, downloaded_s[:, o], np.full(self.clients, o))

    def _times(self, sets: Sets, own: Ints, downloaded_s: Floats, option: Ints) -> Option:
        """(tau, delay, upload) of the clients of a cell, [own] or [own, sets]."""
        chosen = option[own]
        compute, tau = self.compute_s[own, chosen], downloaded_s[own] + self.latency_s[own]
        if self.spread:
            tau = tau[:, None] + compute[:, None] * self._factors(len(sets.weight))[own]
        else:
            tau = tau + compute
        delay, upload = self.uploads.delay_s[:, own, chosen], self.uploads.band_s[:, own, chosen]
        if len(delay) == 1:
            column = (slice(None), None) if self.spread else slice(None)
            return tau, delay[0][column], upload[0][column]
        level = self.uploads.level(sets.members[own].sum(axis=0))
        delay, upload = (np.take(x.T, level, axis=1) for x in (delay, upload))
        return (tau if self.spread else np.broadcast_to(tau[:, None], delay.shape)), delay, upload

    def _factors(self, sets: int) -> Floats:
        return compute_factors(self.clients, sets, self.spread)


@lru_cache(maxsize=8)
def compute_factors(clients: int, sets: int, spread: float) -> Floats:
    """Lognormal factors of mean one, the same for every plan. [clients, sets]

    Where there are many they are divided by their mean, so that little is left to chance.
    """
    variance = np.log1p(spread**2)
    normal = generator(0, "planner-compute", clients, sets).normal(size=(clients, sets))
    factors = np.exp(np.sqrt(variance) * normal - variance / 2)
    if sets >= 64:
        factors /= factors.mean(axis=1, keepdims=True)
    return np.asarray(factors, dtype=np.float64)


def highest_of_others(times_s: Floats) -> Floats:
    """The longest time among all other cells, 0 if there are none. [cells, sets]"""
    if len(times_s) == 1:
        return np.zeros_like(times_s)
    order = np.sort(times_s, axis=0)
    others: Floats = np.where(times_s == order[-1], order[-2], order[-1])
    return others
