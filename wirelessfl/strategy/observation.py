"""What passes between a server and its strategy: what it saw, what it decided, what came back.

Nothing here is hidden from a real base station: rates come from channel reports, compute times from
capability reports and measured durations, norms from the updates that arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
RateReports = Callable[[Ints], Floats]
"""Recent mean rates, bit/s, of the clients asked about: nobody else costs anything."""
Efficiencies = Callable[[Ints, float], Floats]
"""Spectral efficiency of some clients at a share in Hz, over that at the reported share."""


@dataclass(frozen=True)
class Powers:
    """What clients say that participation takes from them.

    Attributes:
        compute_fixed_j: Energy of a local training that no rank changes; NaN if unknown. [clients]
        compute_per_rank_j: Energy of training one rank. [clients]
        receive_w: Power while downloading. [clients]
        amplifier_w: Power of the amplifier that radiates all a client may.
        circuit_w: Power of the rest of a transmitter.
    """

    compute_fixed_j: Floats
    compute_per_rank_j: Floats
    receive_w: Floats
    amplifier_w: float
    circuit_w: float

    def only(self, rows: Ints) -> Powers:
        """Those of some clients."""
        return replace(
            self,
            compute_fixed_j=self.compute_fixed_j[rows],
            compute_per_rank_j=self.compute_per_rank_j[rows],
            receive_w=self.receive_w[rows],
        )


@dataclass(frozen=True)
class TrueUpdates:
    """What every client would send from the current model at full rank.

    Attributes:
        squared_norms: ||D_n||^2; 0 for clients that cannot hold the model. [clients]
        total_squared_norm: ||sum_n a_n D_n||^2.
    """

    squared_norms: Floats
    total_squared_norm: float


@dataclass(frozen=True)
class Observation:
    """What the server knows about its clients when it plans a round.

    Attributes:
        round: Index of the round about to start, from 0.
        time_s: Simulated time.
        weights: Share a_n of the training data, sums to 1. [clients]
        rank: Rank gamma of the full adapter.
        max_rank: Largest rank that fits each client's memory, up to `rank`; 0 excludes a client
            that cannot hold the model, and its weight is 0 then. [clients]
        available: Who can be called upon in the round about to start. [clients]
        download_fixed_bits: What everyone downloads whatever the rank it trains (a trainable head).
        download_bits_per_rank: What one rank adds to a download.
        download_missed_bits: What each client's download brings besides, of changes of the frozen
            weights while it was away. [clients]
        upload_fixed_bits: What everyone uploads whatever the rank.
        upload_bits_per_rank: What one rank adds to an upload.
        cell: Cell that serves each client; every cell has both bandwidths for itself. [clients]
        backhaul_bps: What the wire behind each client's cell carries each way, for all its clients
            together; infinity if it has no limit. [clients]
        uplink_hz: Bandwidth of a cell's uplink.
        uplink_share_hz: Share of it at which uplink rates are reported.
        uplink_rate_of: Recent mean uplink rate at that share; 0 where unreachable. [n] -> [n]
        downlink_hz: Bandwidth of a cell's downlink.
        downlink_share_hz: Share of it at which downlink rates are reported.
        downlink_rate_of: Recent mean downlink rate at that share. [n] -> [n]
        compute_fixed_s: Expected part of the compute time that no rank changes. [clients]
        compute_per_rank_s: Expected compute time of one rank. [clients]
        latency_s: What the wires add to each client's download, and to its upload. [clients]
        server_overhead_s: Time the server adds to every round.
        uplink_efficiency_of: How the efficiency of the clients asked about depends on their share
            (a base station knows their power headroom); None where rates are linear in the share.
        compute_spread: Standard deviation of a computing time over its mean, from the server's log.
        deadline_s: After which the server ends a round.
        powers: What participation takes from clients, if they say so.
        true_updates: What no server can know, only where the strategy says `oracle`.
    """

    round: int
    time_s: float
    weights: Floats
    rank: int
    max_rank: Ints
    available: Bools
    download_fixed_bits: float
    download_bits_per_rank: float
    download_missed_bits: Floats
    upload_fixed_bits: float
    upload_bits_per_rank: float
    cell: Ints
    backhaul_bps: Floats
    uplink_hz: float
    uplink_share_hz: float
    uplink_rate_of: RateReports
    downlink_hz: float
    downlink_share_hz: float
    downlink_rate_of: RateReports
    compute_fixed_s: Floats
    compute_per_rank_s: Floats
    latency_s: Floats
    server_overhead_s: float
    uplink_efficiency_of: Efficiencies | None = None
    compute_spread: float = 0.0
    deadline_s: float = math.inf
    powers: Powers | None = None
    true_updates: Callable[[], TrueUpdates] | None = None

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.weights)

    @cached_property
    def uplink_rate_bps(self) -> Floats:
        """Reported uplink rate of everybody. [clients]"""
        return self.uplink_rate_of(np.arange(self.clients))

    @cached_property
    def downlink_rate_bps(self) -> Floats:
        """Reported downlink rate of everybody. [clients]"""
        return self.downlink_rate_of(np.arange(self.clients))

    @property
    def included(self) -> Bools:
        """Who can hold the model, and so take part at all. [clients]"""
        return self.max_rank > 0

    def download_bits(self, clients: Ints, ranks: Ints) -> Floats:
        """Bits that clients which train so many ranks are sent; the two arguments broadcast."""
        common = self.download_fixed_bits + ranks * self.download_bits_per_rank
        return np.asarray(common + self.download_missed_bits[clients])

    def upload_bits(self, ranks: Ints) -> Floats:
        """Bits that a client which trains so many ranks sends; the shape of `ranks`."""
        return np.asarray(self.upload_fixed_bits + ranks * self.upload_bits_per_rank)

    def compute_s(self, clients: Ints, ranks: Ints) -> Floats:
        """Expected compute time of some clients that train so many ranks each. [n]"""
        fixed_s, rank_s = self.compute_fixed_s[clients], self.compute_per_rank_s[clients]
        return np.asarray(fixed_s + ranks * rank_s, dtype=np.float64)

    def reachable(self) -> Bools:
        """Who has a channel in both directions. [clients]"""
        return (self.uplink_rate_bps > 0) & (self.downlink_rate_bps > 0)

    def only(self, rows: Ints) -> Observation:
        """The observation of the clients at these rows; their weights keep their values.

        Without true updates, whose total is everybody's.
        """
        efficiency_of = self.uplink_efficiency_of
        return replace(
            self,
            weights=self.weights[rows],
            max_rank=self.max_rank[rows],
            available=self.available[rows],
            download_missed_bits=self.download_missed_bits[rows],
            cell=self.cell[rows],
            backhaul_bps=self.backhaul_bps[rows],
            uplink_rate_of=lambda clients: self.uplink_rate_of(rows[clients]),
            downlink_rate_of=lambda clients: self.downlink_rate_of(rows[clients]),
            compute_fixed_s=self.compute_fixed_s[rows],
            compute_per_rank_s=self.compute_per_rank_s[rows],
            latency_s=self.latency_s[rows],
            uplink_efficiency_of=efficiency_of
            and (lambda clients, share_hz: efficiency_of(rows[clients], share_hz)),
            powers=self.powers and self.powers.only(rows),
            true_updates=None,
        )


@dataclass(frozen=True)
class Plan:
    """What the server decides for one round.

    Attributes:
        q: Probability that each client takes part if it is available; 0 if excluded. [clients]
        k: Ranks each client trains if it does; 0 if excluded. [clients]
        server_step: Multiplier of the aggregated update.
        expected_round_s: Predicted E[T] plus the server's overhead.
        relative_rounds: Predicted rounds to a target over those of full participation at full
            rank; nan where the strategy does not predict it.
        noise_to_signal: Predicted noise-to-signal ratio of the update; nan as above.
        noise_to_signal_error: Its standard error; nan as above.
        phase: "pilot" while the strategy only measures, else "planned".
        draws: Expected number of times that each client is drawn, where one may be drawn more than
            once; None if that is q. [clients]
        enough: Updates that end the round once they have arrived; None to wait for all.
        restart: Whether the round begins from the first global model, forgetting all others.
    """

    q: Floats
    k: Ints
    server_step: float
    expected_round_s: float
    relative_rounds: float = math.nan
    noise_to_signal: float = math.nan
    noise_to_signal_error: float = math.nan
    phase: Literal["pilot", "planned"] = "planned"
    draws: Floats | None = None
    enough: int | None = None
    restart: bool = False


@dataclass(frozen=True, kw_only=True)
class AsyncPlan(Plan):
    """What an asynchronous server decides for one model update; q_n are expected updates of n.

    Attributes:
        at_work: Clients kept at work at a time.
        buffer: Updates K that make a model update.
        odds: Chances of each to be the next sent out if idle, up to a factor; who is at work with
            odds of 0 by now takes no place. [clients]
        renew_s: Time after which another plan is made, if no model update is made before.
    """

    at_work: int
    buffer: int
    odds: Floats
    renew_s: float = math.inf


@dataclass(frozen=True)
class RoundFeedback:
    """What the server measured in a finished round; arrays follow `clients`.

    Attributes:
        round: Index of the round, as in its observation.
        asked: Who was asked to take part, arrived or not. [participants]
        clients: Whose updates were aggregated, possibly nobody's. [m]
        weights: Aggregation weight of each update. [m]
        q: Participation probability each had in this round's plan. [m]
        k: Ranks each trained. [m]
        squared_norms: ||delta_n||^2 of each update. [m]
        update_squared_norm: ||sum of weights * delta||^2, before the server step.
        losses: Mean local training loss. [m]
        compute_s: What each says its training took, the wait for its processor included. [m]
        upload_s: Measured upload time. [m]
        duration_s: Length of the round, overhead included.
        update_product: <U, U of the round before>, U as above; NaN if there was none.
    """

    round: int
    asked: Ints
    clients: Ints
    weights: Floats
    q: Floats
    k: Ints
    squared_norms: Floats
    update_squared_norm: float
    losses: Floats
    compute_s: Floats
    upload_s: Floats
    duration_s: float
    update_product: float = math.nan
