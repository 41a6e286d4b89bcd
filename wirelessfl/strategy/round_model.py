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

from functools import lru_cache

import numpy as np

from wirelessfl.arrays import by_cell
from wirelessfl.randomness import uniform
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.crowd_model import CrowdModel
from wirelessfl.strategy.observation import Floats, Ints, Observation
from wirelessfl.strategy.participant_sets import strata
from wirelessfl.strategy.round_time import overlap_s, sharing_time
from wirelessfl.strategy.sampled_model import MEMBERSHIPS, RoundModel, Uploads

# Up to this many clients all participant sets are enumerated, up to MANY sets of all are sampled,
# and above that sets are drawn member by member: a plan in time for its round.
ENUMERATED_CLIENTS = 8
MANY = 256
# A prediction, made once for a plan, has more: 64 to 1024 sets.
PREDICTED_MEMBERSHIPS = 40_960
# Above this many clients a prediction looks only at those in a few sampled sets.
CROWD = 1000
# Shortest upload the formulas see; far below a transmission interval of any radio.
SHORTEST_UPLOAD_S = 1e-9
# Numbers of simultaneous senders for whose even share upload times are looked up.
SENDERS = np.array([2, 4, 8, 16, 32, 64])


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


def download_times(observation: Observation, ranks: Ints) -> Floats:
    """Seconds that downloads take with the whole downlink, for `ranks` [clients, options]."""
    bits = observation.download_bits(np.arange(observation.clients)[:, None], ranks)
    whole = observation.downlink_rate_bps * (
        observation.downlink_hz / observation.downlink_share_hz
    )
    with np.errstate(divide="ignore"):
        return np.asarray(bits / whole[:, None] + bits / observation.backhaul_bps[:, None])


def compute_times(observation: Observation, ranks: Ints) -> Floats:
    """Expected seconds that clients train, for `ranks` [clients, options]."""
    fixed_s, rank_s = observation.compute_fixed_s, observation.compute_per_rank_s
    return np.asarray(fixed_s[:, None] + ranks * rank_s[:, None])


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
    if clients > MANY:
        return _build(CrowdModel, observation, bandwidth, ranks, None, SENDERS[1::2])
    few = clients <= ENUMERATED_CLIENTS
    sets = min(max(memberships // clients, 64), memberships // 40)
    uniforms = None if few else strata(clients, sets)
    return _build(RoundModel, observation, bandwidth, ranks, uniforms, SENDERS)


def _build(
    kind: type[RoundModel],
    observation: Observation,
    bandwidth: SharingConfig,
    ranks: Ints,
    uniforms: Floats | None,
    senders: Ints,
) -> RoundModel:
    compute = compute_times(observation, ranks) + observation.latency_s[:, None]
    return kind(
        download_s=download_times(observation, ranks),
        compute_s=compute,
        uploads=upload_times(observation, ranks, senders),
        latency_s=observation.latency_s,
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
    bits = observation.download_bits(participants, ranks)
    rate = observation.downlink_rate_of(participants)
    rate = np.where(rate > 0, rate, rate[rate > 0].min(initial=np.inf))
    alone_s = bits / (rate * (observation.downlink_hz / observation.downlink_share_hz))
    alone_s += bits / observation.backhaul_bps[participants]
    download_s = np.empty(len(alone_s))
    for _, own in by_cell(observation.cell[participants]):
        alone = alone_s[own]
        download_s[own] = overlap_s(alone, alone, np.ones(len(own)))
    compute_s = observation.compute_s(participants, ranks) + observation.latency_s[participants]
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
        senders = (
            SENDERS if members.size < SENDERS[-1] * len(np.unique(seen.cell)) else SENDERS[-1:]
        )
        draws = np.zeros((members.size, 1))
        model = _build(RoundModel, seen, bandwidth, k[members, None], draws, senders)
        total_s += model.round_s(np.ones(members.size), np.zeros(members.size, np.int64))
    return total_s / sets


@lru_cache(maxsize=8)
def _set_draws(clients: int, number: int) -> Floats:
    """Draws that decide who is in the predicted set of a number, kept from round to round."""
    return uniform(0, "predicted-set", np.arange(clients), number)
