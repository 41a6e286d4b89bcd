"""Round times of a crowd, in time that grows with those who take part.

With thousands of clients one more makes no difference to what another meets, so a client's price
depends on it only through its times (tau, t): the price of a stranger that joins the sampled sets.
It is computed on a grid of such strangers and interpolated for everybody. In sets that a client is
in itself, what it adds there takes the place of what its double would. (Own derivation.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wirelessfl.randomness import generator
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.participant_sets import Sets, drawn_members
from wirelessfl.strategy.round_time import overlap_s
from wirelessfl.strategy.sampled_model import RoundModel, highest_of_others
from wirelessfl.strategy.uplink_time import Bounds, OneByOne, Option, Prices

TAUS, UPLOADS = 200, 12
# Memberships in all sets, of which there are 4 to 512.
DRAWN = 20_480
# Between which a client's price lies, over that of a stranger with its times.
_FACTORS = 0.2, 5.0
# Gauss-Hermite nodes and weights of a standard normal variable, for computing times that vary.
_NODES = np.sqrt(3.0) * np.array([-1.0, 0.0, 1.0])
_NODE_WEIGHTS = np.array([1.0, 4.0, 1.0]) / 6.0


@dataclass(frozen=True)
class _Drawn:
    """The members of the sets in one cell, packed; rows are not clients."""

    client: Ints  # [rows, sets]
    sets: Sets
    times: Option


@dataclass(frozen=True)
class CrowdModel(RoundModel):
    """As `RoundModel`, of many clients; `uniforms` are not used."""

    def durations_s(self, q: Floats, option: Ints) -> tuple[Floats, Floats]:
        """See `RoundModel.durations_s`."""
        download = self._download_s(q, self.download_s[np.arange(self.clients), option])
        drawn = self._drawn(q, download, option)
        times = self._times_s(drawn).max(axis=0)
        return self.overhead_s + np.minimum(times, self.deadline_s), drawn[0].sets.weight

    def prices(self, q: Floats, option: Ints) -> Prices:
        """See `RoundModel.prices`."""
        rows = np.arange(self.clients)
        download = self.download_s[rows, option]
        own_s = np.minimum(download[:, None], self.download_s)
        downloaded = self.download_s - q[:, None] * own_s
        for own in self.cells:
            downloaded[own] += overlap_s(self.download_s[own], download[own], q[own])
        drawn = self._drawn(q, downloaded[rows, option], option)
        floors = highest_of_others(self._times_s(drawn))
        mean_s, price_s = 0.0, np.empty_like(self.compute_s)
        lateness = np.zeros(self.clients)
        for own, cell, floor_s in zip(self.cells, drawn, floors, strict=True):
            bounds = Bounds(floor_s, self.deadline_s)
            mean_s, waits, doubled = self._own_prices(cell, bounds)
            np.add.at(lateness, cell.client, waits)
            strange = self._priced(own, cell, q, downloaded[own], bounds)
            correction = q[own] * _mean_by_client(cell, doubled, self.clients)[own]
            usual = np.maximum(strange[np.arange(len(own)), option[own]], np.finfo(float).tiny)
            price_s[own] = strange * np.clip(1.0 + correction / usual, *_FACTORS)[:, None]
            waited = np.unique(cell.client)
            caused = overlap_s(self.download_s[own], download[waited], lateness[waited])
            price_s[own] += caused - lateness[own, None] * own_s[own]
        return Prices(self.overhead_s + mean_s, price_s, lateness[:, None], np.zeros((0, 0)))

    def _drawn(self, q: Floats, downloaded_s: Floats, option: Ints) -> list[_Drawn]:
        """Sampled sets, by cell."""
        count = int(np.clip(DRAWN // max(q.sum(), 1.0), 4, 512))
        members = drawn_members(q, count)
        weight = np.full(count, 1.0 / count)
        drawn = []
        for number, own in enumerate(self.cells):
            cell = self.cell[own[0]]
            here = [m if len(self.cells) == 1 else m[self.cell[m] == cell] for m in members]
            size = max(1, *(len(m) for m in here))
            client = np.full((size, count), own[0])
            inside = np.zeros((size, count))
            for column, m in enumerate(here):
                client[: len(m), column], inside[: len(m), column] = m, 1.0
            chosen = option[client]
            compute = self.compute_s[client, chosen]
            if self.spread:
                compute = compute * self._random_factors(number, compute.shape)
            level = self.uploads.level(inside.sum(axis=0))
            drawn.append(
                _Drawn(
                    client,
                    Sets(inside, weight),
                    (
                        downloaded_s[client] + self.latency_s[client] + compute,
                        self.uploads.delay_s[level, client, chosen],
                        self.uploads.band_s[level, client, chosen],
                    ),
                )
            )
        return drawn

    def _random_factors(self, number: int, shape: tuple[int, ...]) -> Floats:
        normal = generator(0, "planner-crowd-compute", number).normal(size=shape)
        return self._factor(normal)

    def _factor(self, normal: Floats) -> Floats:
        variance = np.log1p(self.spread**2)
        return np.asarray(np.exp(np.sqrt(variance) * normal - variance / 2))

    def _times_s(self, drawn: list[_Drawn]) -> Floats:
        """How long each cell takes in each set. [cells, sets]"""
        return np.stack(
            [
                self.sharing.durations_s(c.sets.members, c.times[0], c.times[2], c.times[1])
                for c in drawn
            ]
        )

    def _priced(
        self, own: Ints, cell: _Drawn, q: Floats, downloaded_s: Floats, bounds: Bounds
    ) -> Floats:
        """Prices of strangers with the times of a cell's clients. [own, options]"""
        level = int(self.uploads.level(q[own].sum()))
        delay, upload = self.uploads.delay_s[level, own], self.uploads.band_s[level, own]
        before = downloaded_s + self.latency_s[own, None]
        compute = self.compute_s[own]
        if isinstance(self.sharing, OneByOne):
            upload = upload + delay
        else:
            before = before + delay
        low_s, high_s = (before + compute).min(), (before + compute).max()
        if self.spread:
            low_s = (before + compute * self._factor(_NODES[0])).min()
            high_s = (before + compute * self._factor(_NODES[-1])).max()
        taus = np.geomspace(max(low_s, 1e-9), max(high_s, 1e-9) * (1 + 1e-9), TAUS)
        uploads = np.geomspace(upload.min(), upload.max() * (1 + 1e-9), UPLOADS)
        table = self._stranger_prices(cell, taus, uploads, bounds)
        at_upload = _place(upload, uploads)
        if not self.spread:
            price = upload * _between(table, _place(before + compute, taus), at_upload)
            return np.asarray(price, dtype=np.float64)
        price = np.zeros_like(compute)
        for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
            tau = _place(before + compute * self._factor(node), taus)
            price += weight * upload * _between(table, tau, at_upload)
        return price

    def _own_prices(self, cell: _Drawn, bounds: Bounds) -> tuple[float, Floats, Floats]:
        """E[T], waits of members, and what a member adds beyond what its double would add.

        The last two are [rows, sets].
        """
        rows = len(cell.client)
        members = np.concatenate([cell.sets.members, np.zeros_like(cell.sets.members)])
        tau, delay, upload = (np.concatenate([x, x]) for x in cell.times)
        result = self.sharing.prices(
            Sets(members, cell.sets.weight), (tau, delay, upload), [(tau, delay, upload)], bounds
        )
        doubled = result.first_s[:rows] - result.first_s[rows:]
        return result.mean_s, result.waits[:rows], doubled

    def _stranger_prices(
        self, cell: _Drawn, taus: Floats, uploads: Floats, bounds: Bounds
    ) -> Floats:
        """Prices of strangers on a grid, over their upload times. [taus, uploads]"""
        none = np.zeros((len(taus), len(cell.sets.weight)))
        members = np.concatenate([cell.sets.members, none])
        tau = np.concatenate([cell.times[0], none + taus[:, None]])
        delay = np.concatenate([cell.times[1], none])
        upload = np.concatenate([cell.times[2], none + uploads[0]])
        no_delay = np.zeros_like(delay)
        result = self.sharing.prices(
            Sets(members, cell.sets.weight),
            (tau, delay, upload),
            ((tau, no_delay, np.full_like(upload, x)) for x in uploads),
            bounds,
        )
        return result.price_s[len(cell.client) :] / uploads


def _mean_by_client(cell: _Drawn, values: Floats, clients: int) -> Floats:
    """Mean of values [rows, sets] over the sets each client is in; 0 if in none. [clients]"""
    inside = cell.sets.members > 0
    who = cell.client[inside]
    total = np.bincount(who, values[inside], clients)
    return np.asarray(total / np.maximum(np.bincount(who, minlength=clients), 1))


def _place(values: Floats, grid: Floats) -> Floats:
    """Fractional index of values in a geometric grid."""
    step = np.log(grid[-1] / grid[0]) / (len(grid) - 1)
    with np.errstate(divide="ignore"):
        place = np.log(values / grid[0]) / max(step, 1e-12)
    return np.asarray(np.clip(place, 0.0, len(grid) - 1.000001), dtype=np.float64)


def _between(table: Floats, row: Floats, column: Floats) -> Floats:
    """Bilinear interpolation at fractional indices."""
    r, c = row.astype(np.int32), column.astype(np.int32)
    right, down = column - c, row - r
    upper = table[r, c] + right * (table[r, c + 1] - table[r, c])
    lower = table[r + 1, c] + right * (table[r + 1, c + 1] - table[r + 1, c])
    return np.asarray(upper + down * (lower - upper))
