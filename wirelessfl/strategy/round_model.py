"""What an observation says about time: tau_n and t_n of every client for every rank it may train.

Upload: t_n(k) = bits(k) / rate with the whole uplink, the reported rate scaled linearly with the
share. Before it: tau_n(k) = download + compute. Downloads run together, each with an equal share of
the downlink, so on average a participant that needs d_n alone waits
d_n + sum_{i != n} q_i min(d_i, d_n) (processor sharing; exact in the mean, fluctuation ignored).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
# Shortest upload the formulas see; far below a transmission interval of any radio.
SHORTEST_UPLOAD_S = 1e-9


@dataclass(frozen=True)
class RoundModel:
    """Times of every client and option; an option is a rank to train.

    Attributes:
        download_s: Download with the whole downlink. [clients, options]
        compute_s: Expected compute time. [clients, options]
        upload_s: Upload with the whole uplink. [clients, options]
        overhead_s: Server overhead of a round.
        sharing: How the uplink is shared.
        uniforms: Draws that decide the sampled sets; None to enumerate all sets. [clients, sets]
    """

    download_s: Floats
    compute_s: Floats
    upload_s: Floats
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

    def tau_s(self, q: Floats, option: Ints) -> Floats:
        """Mean time each client becomes ready to upload, if it takes part. [clients]"""
        rows = np.arange(self.clients)
        download = self.download_s[rows, option]
        wait = overlap_s(download, download, q) + (1 - q) * download
        return np.asarray(self.compute_s[rows, option] + wait, dtype=np.float64)

    def round_s(self, q: Floats, option: Ints) -> float:
        """Expected round time, overhead included."""
        upload = self.upload_s[np.arange(self.clients), option]
        sets = self.sets(q)
        times = self.sharing.durations_s(sets.members, self.tau_s(q, option), upload)
        return self.overhead_s + float(times @ sets.weight)

    def prices(self, q: Floats, option: Ints) -> Prices:
        """Expected time (overhead included) and what each client's options would add to it.

        A price includes the wait that the client's download causes for everybody else.
        """
        rows = np.arange(self.clients)
        download = self.download_s[rows, option]
        own = np.minimum(download[:, None], self.download_s)
        others_wait = overlap_s(self.download_s, download, q) - q[:, None] * own
        option_tau = self.compute_s + self.download_s + others_wait
        result = self.sharing.prices(
            self.sets(q),
            option_tau[rows, option],
            self.upload_s[rows, option],
            (option_tau, self.upload_s),
        )
        caused = overlap_s(self.download_s, download, result.lateness)
        caused -= result.lateness[:, None] * own
        return Prices(self.overhead_s + result.mean_s, result.price_s + caused, result.lateness)


def round_model(observation: Observation, bandwidth: SharingConfig, ranks: Ints) -> RoundModel:
    """The model of the observed clients for `ranks` [clients, options].

    A client that reported rate 0 has infinite times: plan for the reachable ones only.
    """
    bits = observation.fixed_bits + ranks * observation.bits_per_rank
    up = observation.uplink_rate_bps * (observation.uplink_hz / observation.uplink_share_hz)
    down = observation.downlink_rate_bps * (observation.downlink_hz / observation.downlink_share_hz)
    compute = observation.compute_fixed_s[:, None] + ranks * observation.compute_per_rank_s[:, None]
    few = observation.clients <= ENUMERATED_CLIENTS
    sets = min(max(MEMBERSHIPS // observation.clients, 64), 256)
    with np.errstate(divide="ignore"):
        return RoundModel(
            download_s=bits / down[:, None],
            compute_s=compute,
            upload_s=np.maximum(bits / up[:, None], SHORTEST_UPLOAD_S),
            overhead_s=observation.server_overhead_s,
            sharing=EqualFinish() if bandwidth.kind == "equal_finish" else WorkConserving(),
            uniforms=None if few else strata(observation.clients, sets),
        )


def expected_ready_s(observation: Observation, participants: Ints, k: Ints) -> Floats:
    """When each of the chosen participants should be ready to upload, after the start. [m]

    Their downloads share the downlink equally: d_n + sum_{i != n} min(d_i, d_n). Of a client in an
    outage nothing better is known than the lowest rate that another one reports.
    """
    ranks = k[participants]
    bits = observation.fixed_bits + ranks * observation.bits_per_rank
    rate = observation.downlink_rate_bps[participants]
    rate = np.where(rate > 0, rate, rate[rate > 0].min(initial=np.inf))
    alone_s = bits / (rate * (observation.downlink_hz / observation.downlink_share_hz))
    download_s = np.minimum(alone_s[:, None], alone_s).sum(axis=1)
    compute_s = observation.compute_fixed_s + k * observation.compute_per_rank_s
    return np.asarray(download_s + compute_s[participants], dtype=np.float64)


def expected_round_s(
    observation: Observation, bandwidth: SharingConfig, q: Floats, k: Ints
) -> float:
    """Predicted mean round time of a plan, overhead included; inf if it waits for the unreachable.

    The simplest use of the model, for strategies that predict but do not optimise.
    """
    chosen = q > 0
    if not chosen.any():
        return observation.server_overhead_s
    if np.any(chosen & ~observation.reachable()):
        return float("inf")
    model = round_model(observation.only(chosen), bandwidth, k[chosen, None])
    return model.round_s(q[chosen], np.zeros(model.clients, dtype=np.int64))
