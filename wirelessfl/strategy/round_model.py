"""What an observation says about time: tau_n, delay_n and t_n of every client and rank.

Upload: bits over the reported rate, and a line through the times at the whole band and at the share
of a typical number of senders (`uplink_time`). Before it: tau_n(k) = download + compute. Downloads
run together, each with an equal share of the downlink, so on average a participant that needs d_n
alone waits d_n + sum_{i != n} q_i min(d_i, d_n) (processor sharing; exact in the mean, fluctuation
ignored). Computing times vary by lognormal factors of the spread the server has seen.

Clients share with those of their own cell only, and a round lasts as long as the slowest cell's. A
limited wire behind a cell adds its time alone, bits / backhaul rate, to d_n and t_n: air and wire
in series as one link, exact where a cell's transfers are alike (reconstructed).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from wirelessfl.arrays import by_cell
from wirelessfl.randomness import generator, uniform
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.observation import Floats, Ints, Observation
from wirelessfl.strategy.participant_sets import Sets, every_set, sampled_sets, strata
from wirelessfl.strategy.round_time import overlap_s, sharing_time
from wirelessfl.strategy.uplink_time import Bounds, Option, Prices, SharingTime

# Up to this many clients all participant sets are enumerated. Above it this many memberships are
# sampled in all, in 64 to 256 sets: E[T] within about 1%, and a plan in time for its round.
ENUMERATED_CLIENTS = 8
MEMBERSHIPS = 10_240
# A prediction, made once for a plan, has more: 64 to 1024 sets.
PREDICTED_MEMBERSHIPS = 40_960
# Least number of random computing times that stand for all of a client's.
DRAWN_TIMES = 256
# Above this many clients a prediction looks only at those in a few sampled sets.
CROWD = 1000
# Shortest upload the formulas see; far below a transmission interval of any radio.
SHORTEST_UPLOAD_S = 1e-9
# Numbers of simultaneous senders for whose even share upload times are looked up.
SENDERS = np.array([2, 4, 8, 16, 32, 64])


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
            wait[own] += overlap_s(alone_s[own], alone_s[own], q[own])
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
        floors = _highest_of_others(times)
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
        return Prices(self.overhead_s + mean_s, price_s, lateness)

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
            return tau, delay[0], upload[0]
        level = self.uploads.level(sets.members[own].sum(axis=0))
        delay, upload = delay[level].T, upload[level].T
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


def _highest_of_others(times_s: Floats) -> Floats:
    """The longest time among all other cells, 0 if there are none. [cells, sets]"""
    if len(times_s) == 1:
        return np.zeros_like(times_s)
    order = np.sort(times_s, axis=0)
    others: Floats = np.where(times_s == order[-1], order[-2], order[-1])
    return others


def upload_times(observation: Observation, ranks: Ints, senders: Ints) -> Uploads:
    """Upload times for `ranks` [clients, options]; a client that reported rate 0 takes forever."""
    bits = observation.upload_bits(ranks)
    usual = observation.uplink_rate_bps * (observation.uplink_hz / observation.uplink_share_hz)
    wire_s = bits / observation.backhaul_bps[:, None]
    if observation.uplink_efficiency_of is None:
        with np.errstate(divide="ignore"):
            band = bits / usual[:, None] + wire_s
        nothing, one = np.zeros((1, *bits.shape)), np.ones(1, dtype=np.int64)
        return Uploads(nothing, np.maximum(band, SHORTEST_UPLOAD_S)[None], one)

    def per_bit_s(number: int) -> Floats:
        """Seconds for a bit with the share of one of so many, times that share of the band."""
        assert observation.uplink_efficiency_of is not None
        share_hz = observation.uplink_hz / number
        with np.errstate(divide="ignore"):
            ratio = observation.uplink_efficiency_of(np.arange(observation.clients), share_hz)
            return np.asarray(1.0 / (usual * ratio), dtype=np.float64)

    whole = per_bit_s(1)
    delays, bands = [], []
    for number in senders.tolist():
        # number * share: seconds per bit with an even share; the line through it and `whole`.
        with np.errstate(invalid="ignore"):
            band = np.clip((number * per_bit_s(number) - whole) / (number - 1), 0.0, whole)
            delay = np.where(np.isfinite(whole), whole - band, 0.0)
        band = np.where(np.isfinite(whole), band, np.inf)
        delays.append(bits * delay[:, None])
        bands.append(np.maximum(bits * band[:, None] + wire_s, SHORTEST_UPLOAD_S))
    return Uploads(np.stack(delays), np.stack(bands), senders)


def round_model(
    observation: Observation,
    bandwidth: SharingConfig,
    ranks: Ints,
    memberships: int = MEMBERSHIPS,
) -> RoundModel:
    """The model of the observed clients for `ranks` [clients, options].

    A client that reported rate 0 has infinite times: plan for the reachable ones only.
    """
    clients = observation.clients
    few = clients <= ENUMERATED_CLIENTS
    sets = min(max(memberships // clients, 64), memberships // 40)
    return _round_model(observation, bandwidth, ranks, None if few else strata(clients, sets))


def _round_model(
    observation: Observation,
    bandwidth: SharingConfig,
    ranks: Ints,
    uniforms: Floats | None,
    senders: Ints = SENDERS,
) -> RoundModel:
    downloaded = observation.download_bits(ranks)
    down = observation.downlink_rate_bps * (observation.downlink_hz / observation.downlink_share_hz)
    compute = observation.compute_fixed_s[:, None] + ranks * observation.compute_per_rank_s[:, None]
    latency_s = observation.upload_latency_s
    with np.errstate(divide="ignore"):
        download_s = downloaded / down[:, None] + downloaded / observation.backhaul_bps[:, None]
    return RoundModel(
        download_s=download_s,
        compute_s=compute,
        uploads=upload_times(observation, ranks, senders),
        latency_s=np.zeros(observation.clients) if latency_s is None else latency_s,
        cell=observation.cell,
        overhead_s=observation.server_overhead_s,
        deadline_s=observation.deadline_s,
        spread=observation.compute_spread,
        sharing=sharing_time(bandwidth),
        uniforms=uniforms,
    )


def expected_ready_s(observation: Observation, participants: Ints, k: Ints) -> Floats:
    """When each of the chosen participants should be ready to upload, after the start. [m]

    Those of one cell share its downlink equally: d_n + sum_{i != n} min(d_i, d_n). Of a client in
    an outage nothing better is known than the lowest rate that another one reports.
    """
    ranks = k[participants]
    bits = observation.download_bits(ranks)
    rate = observation.downlink_rate_of(participants)
    rate = np.where(rate > 0, rate, rate[rate > 0].min(initial=np.inf))
    alone_s = bits / (rate * (observation.downlink_hz / observation.downlink_share_hz))
    alone_s += bits / observation.backhaul_bps[participants]
    download_s = np.empty(len(alone_s))
    for _, own in by_cell(observation.cell[participants]):
        download_s[own] = overlap_s(alone_s[own], alone_s[own], np.ones(len(own)))
    compute_s = observation.compute_fixed_s[participants]
    compute_s = compute_s + ranks * observation.compute_per_rank_s[participants]
    return np.asarray(download_s + compute_s, dtype=np.float64)


def expected_round_s(
    observation: Observation, bandwidth: SharingConfig, q: Floats, k: Ints
) -> float:
    """Predicted mean round time of a plan, overhead included; inf if it waits for the unreachable.

    Who is off now does not take part. The simplest use of the model, for strategies that predict
    but do not optimise.
    """
    q = np.where(observation.available, q, 0.0)
    if observation.clients > CROWD:
        return _crowd_round_s(observation, bandwidth, q, k)
    chosen = np.flatnonzero(q > 0)
    seen = observation.only(chosen)
    if not chosen.size:
        return observation.server_overhead_s
    if not seen.reachable().all():
        return float("inf")
    model = round_model(seen, bandwidth, k[chosen, None], PREDICTED_MEMBERSHIPS)
    return model.round_s(q[chosen], np.zeros(model.clients, dtype=np.int64))


def _crowd_round_s(observation: Observation, bandwidth: SharingConfig, q: Floats, k: Ints) -> float:
    """`expected_round_s` as the mean over sampled participant sets, at least four.

    The larger a set, the nearer its duration is to the mean: a sum over thousands of clients.
    """
    certain = bool(np.all((q == 0) | (q == 1)))
    sets = 1 if certain else int(np.clip(MEMBERSHIPS // q.sum(), 4, 64))
    total_s = 0.0
    for number in range(sets):
        members = np.flatnonzero(_set_draws(observation.clients, number) < q)
        seen = observation.only(members)
        if not members.size:
            total_s += observation.server_overhead_s
            continue
        if not seen.reachable().all():
            return float("inf")
        senders = SENDERS if members.size < SENDERS[-1] * len(np.unique(seen.cell)) else SENDERS[-1:]
        draws = np.zeros((members.size, 1))
        model = _round_model(seen, bandwidth, k[members, None], draws, senders)
        total_s += model.round_s(np.ones(members.size), np.zeros(members.size, np.int64))
    return total_s / sets


@lru_cache(maxsize=8)
def _set_draws(clients: int, number: int) -> Floats:
    """Draws that decide who is in the predicted set of a number, kept from round to round."""
    return uniform(0, "predicted-set", np.arange(clients), number)
