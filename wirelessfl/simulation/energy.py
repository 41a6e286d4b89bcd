"""What a participant's round costs in energy: receiving, waiting, training and sending.

Only what the round causes is counted: nothing before the download, after the upload, or for those
who do not take part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.arrays import by_cell
from wirelessfl.device.fleet import Fleet
from wirelessfl.network.channel import Channel
from wirelessfl.network.flows import RateSource
from wirelessfl.scenario.network import Uplink

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_SLOTS = 256  # over which a cohort's rates are averaged
_BLOCK = 2**15  # (participant, slot) pairs looked at at once, so that rates stay in cache


@dataclass(frozen=True)
class Activity:
    """What each participant did in a round `[participants]`."""

    clients: Ints
    cell: NDArray[np.integer]  # that served it
    receiving_s: Floats
    waiting_s: Floats
    computing_s: Floats
    flops: Floats  # operations really done
    sending_from_s: Floats  # NaN for those who did not send
    sending_s: Floats
    sent_bits: Floats


@dataclass(frozen=True)
class Energy:
    """Joules of each participant `[participants]`; NaN where a device's power is not known."""

    receive_j: Floats
    idle_j: Floats
    compute_j: Floats
    transmit_j: Floats

    @property
    def total_j(self) -> Floats:
        """All of it."""
        return self.receive_j + self.idle_j + self.compute_j + self.transmit_j


class EnergyMeter:
    """Turns activity into energy.

    Args:
        fleet: The devices' powers.
        channel: The air, from which the share of the band follows that a client held.
        uplink: The clients' transmit power, and how a share of the band bounds it.
    """

    def __init__(self, fleet: Fleet, channel: Channel, uplink: Uplink) -> None:
        self._fleet, self._channel, self._uplink = fleet, channel, uplink

    @property
    def sending_w(self) -> float:
        """What a client draws while it sends, at most."""
        return float(self._fleet.transmit_w(self._uplink.power_dbm))

    def spent(self, did: Activity) -> Energy:
        """Energy of a round."""
        fleet, clients = self._fleet, did.clients
        power_w = fleet.transmit_w(self._uplink.power_dbm, self._occupancy(did))
        return Energy(
            receive_j=fleet.receive_power_w[clients] * did.receiving_s,
            idle_j=fleet.idle_power_w[clients] * did.waiting_s,
            compute_j=fleet.compute_j(clients, did.computing_s, did.flops),
            transmit_j=power_w * did.sending_s,
        )

    def _occupancy(self, did: Activity) -> Floats:
        """Share of its power that each client radiated on average while it sent. [participants]

        All of it under `total`. Under `per_rb` the share of the band it held: its bits over those
        that the whole band would have carried meanwhile. Exact where rates do not change; in
        fading it takes the share as unrelated to the fading, and averages the rate over at most
        256 slots of the cohort's sending.
        """
        share = np.ones(len(did.clients))
        if self._uplink.power_mode == "total":
            return share
        sends = np.flatnonzero(did.sending_s > 0)
        for cell, rows in by_cell(did.cell[sends]):
            share[sends[rows]] = self._occupied(did, self._channel.at(cell), sends[rows])
        return share

    def _occupied(self, did: Activity, source: RateSource, sends: Ints) -> Floats:
        """`_occupancy` of those who sent to one station. [sends]"""
        from_s, sending_s = did.sending_from_s[sends], did.sending_s[sends]
        slot_s = source.slot_s
        begin, end = (np.floor(t / slot_s).astype(np.int64) for t in (from_s, from_s + sending_s))
        span = np.linspace(begin.min(), end.max(), min(_MOST_SLOTS, end.max() - begin.min() + 1))
        slots = span.astype(np.int64)
        first = np.minimum(np.searchsorted(slots, begin), len(slots) - 1)
        last = np.maximum(np.searchsorted(slots, end, side="right"), first + 1)
        mean_bps = np.empty(len(begin))
        at_once = max(1, _BLOCK // len(slots))
        for start in range(0, len(begin), at_once):
            some = slice(start, start + at_once)
            clients = did.clients[sends[some]]
            full_hz = np.full(len(clients), self._uplink.bandwidth_hz)
            total_bps = np.zeros((len(clients), len(slots) + 1))
            source.rate_bps("uplink", clients, slots, full_hz).cumsum(axis=1, out=total_bps[:, 1:])
            rows, count = np.arange(len(clients)), last[some] - first[some]
            sums_bps = total_bps[rows, last[some]] - total_bps[rows, first[some]]
            mean_bps[some] = sums_bps / count
        ratio = np.divide(
            did.sent_bits[sends],
            mean_bps * sending_s,
            out=np.ones_like(sending_s),
            where=mean_bps > 0,
        )
        return np.asarray(np.minimum(ratio, 1.0))
