"""What the server can measure before a round: channel reports and capability reports.

The strategy sees nothing else of the world. Rates are means over the reports of the last moments
(`network.report_window`), at the share of the band each client would have in an equal split among
`REPORT_USERS`. Compute times follow from the FLOP/s and bytes/s each device reports when it joins,
without the jitter that will befall them. Heartbeats tell who is on, not for how long. A client
that cannot hold the model is no part of the federation: its data has no weight.

The server knows its own wires: what each cell's carries, and the latency. The download's delays
each client; the upload's comes after the air. From the powers that devices state it also knows what
a narrower share would carry, and from its log how much computing times vary.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.learning.workload import Workload
from wirelessfl.network.fading import Direction
from wirelessfl.network.reports import Remembered
from wirelessfl.simulation.memory import MemoryGate
from wirelessfl.simulation.world import World
from wirelessfl.strategy.observation import Bools, Floats, Ints, Observation, Powers, RateReports

REPORT_USERS = 10


class Observer:
    """Makes the observation of each round from the world, and nothing but the measurable part."""

    def __init__(self, world: World, workload: Workload, gate: MemoryGate) -> None:
        self._scenario, self._channel, self._topology = (
            world.scenario,
            world.channel,
            world.topology,
        )
        self._presence, fleet = world.presence, world.fleet
        self._max_rank, self._included = gate.max_rank, gate.included
        weights = workload.weights
        held = np.where(gate.included, weights, 0.0)
        self._weights = weights if gate.included.all() else held / held.sum()
        self._rank = workload.rank
        self._clients = np.arange(fleet.clients)
        self._compute_spread = fleet.jitter_spread
        ends = np.array([1, workload.rank])
        self._download_line = _line(ends, workload.download_bits(ends))
        self._upload_line = _line(ends, workload.upload_bits(ends))
        flops, traffic = (
            np.stack([work(self._clients, np.full(fleet.clients, rank)) for rank in ends])
            for work in (workload.local_flops, workload.local_bytes)
        )
        compute_s = np.stack(
            [fleet.nominal_s(self._clients, *work) for work in zip(flops, traffic, strict=True)]
        )
        compute_j = np.stack(
            [fleet.compute_j(self._clients, *work) for work in zip(compute_s, flops, strict=True)]
        )
        self._compute_fixed_s, self._compute_per_rank_s = _line(ends, compute_s)
        power_dbm = self._scenario.network.uplink.power_dbm
        circuit_w = float(fleet.transmit_w(power_dbm, 0.0))
        self._powers = Powers(
            *_line(ends, compute_j),
            receive_w=fleet.receive_power_w,
            amplifier_w=float(fleet.transmit_w(power_dbm)) - circuit_w,
            circuit_w=circuit_w,
        )

    def available(self, now_s: float) -> Bools:
        """Who can be called upon at `now_s`: on, and not excluded for want of memory. [clients]"""
        return self._presence.on(now_s) & self._included

    def next_available_s(self, now_s: float, among: Bools | None = None) -> float:
        """When somebody may next be called upon, or before; infinity if nobody ever will be.

        `among` says who counts, everybody if it is not given. [clients]
        """
        who = self._included if among is None else self._included & among
        return float(self._presence.next_on_s(now_s)[who].min(initial=np.inf))

    def observe(self, round: int, now_s: float, available: Bools) -> Observation:
        """What the server knows at `now_s`, as round `round` is about to start.

        `available` is who can be called upon then. [clients]
        """
        network = self._scenario.network
        share = 1.0 / min(REPORT_USERS, len(self._clients))
        uplink_share_hz = network.uplink.bandwidth_hz * share
        downlink_share_hz = network.downlink.bandwidth_hz * share
        cell = self._channel.serving(self._clients, now_s)
        latency_s = self._topology.latency_s[cell]

        def reports(direction: Direction, share_hz: float) -> RateReports:
            return Remembered(
                len(self._clients),
                lambda new: self._channel.reported_rate_bps(
                    direction, new, now_s, np.full(len(new), share_hz)
                ),
            )

        uplink_rate_of = reports("uplink", uplink_share_hz)

        def efficiency_of(clients: Ints, share_hz: float) -> Floats:
            asked_hz = np.full(len(clients), share_hz)
            rate = self._channel.reported_rate_bps("uplink", clients, now_s, asked_hz)
            usual = uplink_rate_of(clients) * (share_hz / uplink_share_hz)
            return np.divide(rate, usual, out=np.ones_like(rate), where=usual > 0)

        deadline_s = self._scenario.server.deadline_s
        return Observation(
            round=round,
            time_s=now_s,
            weights=self._weights,
            rank=self._rank,
            max_rank=self._max_rank,
            available=available,
            download_fixed_bits=float(self._download_line[0]),
            download_bits_per_rank=float(self._download_line[1]),
            download_missed_bits=np.zeros(len(self._clients)),
            upload_fixed_bits=float(self._upload_line[0]),
            upload_bits_per_rank=float(self._upload_line[1]),
            cell=cell.astype(np.int64),
            backhaul_bps=self._topology.backhaul_bps[cell],
            uplink_hz=network.uplink.bandwidth_hz,
            uplink_share_hz=uplink_share_hz,
            uplink_rate_of=uplink_rate_of,
            downlink_hz=network.downlink.bandwidth_hz,
            downlink_share_hz=downlink_share_hz,
            downlink_rate_of=reports("downlink", downlink_share_hz),
            compute_fixed_s=self._compute_fixed_s,
            compute_per_rank_s=self._compute_per_rank_s,
            latency_s=latency_s,
            server_overhead_s=self._scenario.server.overhead_s,
            uplink_efficiency_of=None if self._channel.proportional("uplink") else efficiency_of,
            compute_spread=self._compute_spread,
            deadline_s=np.inf if deadline_s is None else deadline_s,
            powers=self._powers,
        )


def _line(ranks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercept and slope of the line through values at two ranks."""
    if ranks[0] == ranks[1]:
        return values[0] * 0.0, values[0] / ranks[0]
    slope = (values[1] - values[0]) / (ranks[1] - ranks[0])
    return values[0] - slope * ranks[0], slope
