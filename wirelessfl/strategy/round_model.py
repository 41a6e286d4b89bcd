"""What an observation says about time: tau_n and t_n of every client for every rank it may train.

Upload: t_n(k) = bits(k) / rate with the whole uplink, the reported rate scaled linearly with the
share. Before it: tau_n(k) = download + compute. Downloads run together, each with an equal share of
the downlink, so on average a participant that needs d_n alone waits
d_n + sum_{i != n} q_i min(d_i, d_n) (processor sharing; exact in the mean, fluctuation ignored).

Clients share with those of their own cell only, and a round lasts as long as the slowest cell's. A
limited wire behind a cell adds its time alone, bits / backhaul rate, to d_n and t_n: air and wire
in series as one link, exact where a cell's transfers are alike (reconstructed).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from wirelessfl.arrays import by_cell
from wirelessfl.randomness import uniform
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.observation import Floats, Ints, Observation
from wirelessfl.strategy.round_time import (
    EqualFinish,
    Prices,
    Sets,
    SharingTime,
    WorkConserving,
    every_set,
    overlap_s,
    sampled_sets,
    strata,
)

# Up to this many clients all participant sets are enumerated. Above it this many memberships are
# sampled in all, in 64 to 256 sets: E[T] within about 1%, and a plan in time for its round.
ENUMERATED_CLIENTS = 8
MEMBERSHIPS = 10_240
# Above this many clients a prediction looks only at those in a few sampled sets.
CROWD = 1000
# Shortest upload the formulas see; far below a transmission interval of any radio.
SHORTEST_UPLOAD_S = 1e-9


@dataclass(frozen=True)
class RoundModel:
    """Times of every client and option; an option is a rank to train.

    Attributes:
        download_s: Download with the whole downlink. [clients, options]
        compute_s: Expected compute time. [clients, options]
        upload_s: Upload with the whole uplink. [clients, options]
        cell: Cell of each client. [clients]
        overhead_s: Server overhead of a round.
        sharing: How the uplink is shared.
        uniforms: Draws that decide the sampled sets; None to enumerate all sets. [clients, sets]
    """

    download_s: Floats
    compute_s: Floats
    upload_s: Floats
    cell: Ints
    overhead_s: float
    sharing: SharingTime
    uniforms: Floats | None

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.upload_s)

    def sets(self, q: Floats) -> Sets:
        """Participant sets that stand for participation `q`."""
        return every_set(q) if self.uniforms is None else sampled_sets(q, self.uniforms)

    @cached_property
    def cells(self) -> list[Ints]:
        """The clients of each cell."""
        return [rows for _, rows in by_cell(self.cell)]

    def only(self, rows: Ints) -> RoundModel:
        """The model of some clients alone."""
        return replace(
            self,
            download_s=self.download_s[rows],
            compute_s=self.compute_s[rows],
            upload_s=self.upload_s[rows],
            cell=self.cell[rows],
            uniforms=None if self.uniforms is None else self.uniforms[rows],
        )

    def tau_s(self, q: Floats, option: Ints) -> Floats:
        """Mean time each client becomes ready to upload, if it takes part. [clients]"""
        rows = np.arange(self.clients)
        download = self.download_s[rows, option]
        wait = (1 - q) * download
        for own in self.cells:
            wait[own] += overlap_s(download[own], download[own], q[own])
        return np.asarray(self.compute_s[rows, option] + wait, dtype=np.float64)

    def round_s(self, q: Floats, option: Ints) -> float:
        """Expected round time, overhead included."""
        upload = self.upload_s[np.arange(self.clients), option]
        sets = self.sets(q)
        times = self._cell_times_s(sets, self.tau_s(q, option), upload).max(axis=0)
        return self.overhead_s + float(times @ sets.weight)

    def prices(self, q: Floats, option: Ints) -> Prices:
        """Expected time (overhead included) and what each client's options would add to it.

        A price includes the wait that the client's download causes for everybody else.
        """
        rows, sets = np.arange(self.clients), self.sets(q)
        download, upload = self.download_s[rows, option], self.upload_s[rows, option]
        own_s = np.minimum(download[:, None], self.download_s)
        others_wait = -q[:, None] * own_s
        for own in self.cells:
            others_wait[own] += overlap_s(self.download_s[own], download[own], q[own])
        option_tau = self.compute_s + self.download_s + others_wait
        tau = option_tau[rows, option]
        times = self._cell_times_s(sets, tau, upload)
        floors = _highest_of_others(times)
        mean_s, price_s, lateness = 0.0, np.empty_like(option_tau), np.empty(self.clients)
        for own, floor_s in zip(self.cells, floors, strict=True):
            result = self.sharing.prices(
                Sets(sets.members[own], sets.weight),
                tau[own],
                upload[own],
                (option_tau[own], self.upload_s[own]),
                floor_s,
            )
            mean_s, lateness[own] = result.mean_s, result.lateness
            caused = overlap_s(self.download_s[own], download[own], result.lateness)
            caused -= result.lateness[:, None] * own_s[own]
            price_s[own] = result.price_s + caused
        return Prices(self.overhead_s + mean_s, price_s, lateness)

    def _cell_times_s(self, sets: Sets, tau_s: Floats, upload_s: Floats) -> Floats:
        """How long each cell takes in each set. [cells, sets]"""
        return np.stack(
            [
                self.sharing.durations_s(sets.members[own], tau_s[own], upload_s[own])
                for own in self.cells
            ]
        )


def _highest_of_others(times_s: Floats) -> Floats:
    """The longest time among all other cells, 0 if there are none. [cells, sets]"""
    if len(times_s) == 1:
        return np.zeros_like(times_s)
    order = np.sort(times_s, axis=0)
    others: Floats = np.where(times_s == order[-1], order[-2], order[-1])
    return others


def round_model(observation: Observation, bandwidth: SharingConfig, ranks: Ints) -> RoundModel:
    """The model of the observed clients for `ranks` [clients, options].

    A client that reported rate 0 has infinite times: plan for the reachable ones only.
    """
    few = observation.clients <= ENUMERATED_CLIENTS
    sets = min(max(MEMBERSHIPS // observation.clients, 64), 256)
    return _round_model(
        observation, bandwidth, ranks, None if few else strata(observation.clients, sets)
    )


def _round_model(
    observation: Observation, bandwidth: SharingConfig, ranks: Ints, uniforms: Floats | None
) -> RoundModel:
    everybody = np.arange(observation.clients)[:, None]
    downloaded = observation.download_bits(everybody, ranks)
    uploaded = observation.upload_bits(ranks)
    up = observation.uplink_rate_bps * (observation.uplink_hz / observation.uplink_share_hz)
    down = observation.downlink_rate_bps * (observation.downlink_hz / observation.downlink_share_hz)
    wire_bps = observation.backhaul_bps[:, None]
    compute = observation.compute_fixed_s[:, None] + ranks * observation.compute_per_rank_s[:, None]
    compute += observation.latency_s[:, None]
    with np.errstate(divide="ignore"):
        return RoundModel(
            download_s=downloaded / down[:, None] + downloaded / wire_bps,
            compute_s=compute,
            upload_s=np.maximum(uploaded / up[:, None] + uploaded / wire_bps, SHORTEST_UPLOAD_S),
            cell=observation.cell,
            overhead_s=observation.server_overhead_s,
            sharing=EqualFinish() if bandwidth.kind == "equal_finish" else WorkConserving(),
            uniforms=uniforms,
        )


def expected_ready_s(observation: Observation, participants: Ints, k: Ints) -> Floats:
    """When each of the chosen participants should be ready to upload, after the start. [m]

    Those of one cell share its downlink equally: d_n + sum_{i != n} min(d_i, d_n). Of a client in
    an outage nothing better is known than the lowest rate that another one reports.
    """
    ranks = k[participants]
    bits = observation.download_bits(participants, ranks)
    rate = observation.downlink_rate_of(participants)
    rate = np.where(rate > 0, rate, rate[rate > 0].min(initial=np.inf))
    alone_s = bits / (rate * (observation.downlink_hz / observation.downlink_share_hz))
    alone_s += bits / observation.backhaul_bps[participants]
    download_s = np.empty(len(alone_s))
    for _, own in by_cell(observation.cell[participants]):
        download_s[own] = overlap_s(alone_s[own], alone_s[own], np.ones(len(own)))
    compute_s = observation.compute_s(participants, ranks) + observation.latency_s[participants]
    return np.asarray(download_s + compute_s, dtype=np.float64)


def expected_round_s(
    observation: Observation, bandwidth: SharingConfig, q: Floats, k: Ints
) -> float:
    """Predicted mean round time of a plan, overhead included; inf if it waits for the unreachable.

    The simplest use of the model, for strategies that predict but do not optimise.
    """
    if observation.clients > CROWD:
        return _crowd_round_s(observation, bandwidth, q, k)
    chosen = np.flatnonzero(q > 0)
    seen = observation.only(chosen)
    if not chosen.size:
        return observation.server_overhead_s
    if not seen.reachable().all():
        return float("inf")
    model = round_model(seen, bandwidth, k[chosen, None])
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
        model = _round_model(seen, bandwidth, k[members, None], np.zeros((members.size, 1)))
        total_s += model.round_s(np.ones(members.size), np.zeros(members.size, np.int64))
    return total_s / sets


@lru_cache(maxsize=8)
def _set_draws(clients: int, number: int) -> Floats:
    """Draws that decide who is in the predicted set of a number, kept from round to round."""
    return uniform(0, "predicted-set", np.arange(clients), number)
