"""The participants of one round on their way: download, compute queue, local training, upload.

A cohort is one struct of arrays, not one process per client: in a synchronous round the network
carries nothing else, so the schedule it projects when the round begins is what will happen,
and the whole way of every client is known from three array operations. Only the end of the round
(or the moment that cuts it short) is a SimPy event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from wirelessfl.device.battery import empty_s
from wirelessfl.device.fleet import Fleet
from wirelessfl.device.presence import Presence
from wirelessfl.device.queue import ComputeQueue
from wirelessfl.network.access import Access
from wirelessfl.network.passage import Passage
from wirelessfl.simulation.energy import Activity, Energy, EnergyMeter
from wirelessfl.simulation.record import OUTCOMES, Record

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What can end a participant's way before its upload does; of several, the first in time.
_DROP, _CRASH, _OFF, _EMPTY = range(4)


@dataclass(frozen=True)
class Hardware:
    """What a cohort's work passes through: the network, and the devices with their queues."""

    access: Access
    fleet: Fleet
    queue: ComputeQueue
    presence: Presence
    meter: EnergyMeter


@dataclass(frozen=True)
class Work:
    """What the participants are asked to do; one row per participant (`[participants]`)."""

    round: int
    clients: Ints
    ranks: Ints
    download_bits: Floats
    upload_bits: Floats
    flops: Floats
    memory_traffic_bytes: Floats
    expected_ready_s: Floats  # when the server expects the client to begin its upload


class Cohort:
    """One round's participants in flight.

    Args:
        env: The simulation's clock.
        hardware: Links and devices they pass through.
        work: What they are asked to do.
        cut_s: When the round is cut short at the latest. Transfers are followed for about twice as
            long, not for ever, so a client nothing gets through to may be waited for until then.

    Attributes:
        done: SimPy event: every participant has uploaded or left.
        cell: Cell that serves each participant this round `[participants]`.
        download_end_s, compute_start_s, compute_end_s, radio_end_s, upload_end_s: Simulated times
            `[participants]`; what an abandoned client never did is NaN once settled. An upload has
            left the air at `radio_end_s` and is at the server at `upload_end_s`; these are the same
            without a backhaul.
        energy: What the round cost each participant, once settled.
        leave_s: When a participant leaves unless its upload ends before: it drops out, crashes,
            goes off or runs out of battery; infinity if none of these.
    """

    def __init__(
        self, env: simpy.Environment, hardware: Hardware, work: Work, cut_s: float = np.inf
    ) -> None:
        self._env, self._hardware, self.work = env, hardware, work
        self.start_s = env.now
        # Twice as long: with luck, those who look late at mean rates (ergodic) are done by then.
        self._give_up_s = cut_s + max(cut_s - env.now, 0.0) + 1.0
        fleet, clients = hardware.fleet, work.clients
        self._corrupt = fleet.loses_upload(clients, work.round)
        self._duration_s = fleet.duration_s(
            clients, work.round, work.flops, work.memory_traffic_bytes
        )
        never_s = np.full(len(clients), np.inf)
        self.download_end_s, self.compute_start_s, self.compute_end_s = never_s, never_s, never_s
        self.radio_end_s, self.upload_end_s = never_s, never_s
        self._upload: Passage | None = None
        self._receive()
        self.done = self._go()

    def _go(self) -> simpy.Event:
        """Take every step at once, as projected; the event is the last one's end."""
        self._train()
        self._upload = self._send()
        return self._upload.done

    def _receive(self) -> None:
        """Begin the downloads."""
        presence, clients = self._hardware.presence, self.work.clients
        start_s = np.full(len(clients), self.start_s)
        self._charge_j = presence.charge_j(clients)
        self._receiving = (start_s, self._hardware.fleet.receive_power_w[clients])
        self._off_s = presence.availability.next_off_s(clients, self.start_s)
        empties_s = empty_s(self._charge_j, [self._receiving])
        self.leave_s = np.minimum(self._off_s, empties_s)
        self._cause = np.where(self._off_s <= empties_s, _OFF, _EMPTY)
        self._download = self._hardware.access.download(
            clients, self.work.download_bits, self._followed_s()
        )
        self.cell = self._download.cell

    def _train(self) -> None:
        """Queue the training of those who have the model, or will, and find out who leaves."""
        work, clients, duration_s = self.work, self.work.clients, self._duration_s
        fleet, queue = self._hardware.fleet, self._hardware.queue
        self.download_end_s = self._download.finish_s
        has = np.isfinite(self.download_end_s)
        self.compute_start_s, self.compute_end_s = np.full((2, len(clients)), np.inf)
        self.compute_start_s[has], self.compute_end_s[has] = queue.enter(
            clients[has], self.download_end_s[has], duration_s[has]
        )
        # A device reckons with its full power while it sends, so it never spends what it has not.
        phases = [
            self._receiving,
            (self.download_end_s, fleet.idle_power_w[clients]),
            (self.compute_start_s, fleet.compute_j(clients, duration_s, work.flops) / duration_s),
            (self.compute_end_s, np.full(len(clients), self._hardware.meter.sending_w)),
        ]
        drop_s = self.compute_start_s + duration_s * fleet.drop_fraction(clients, work.round)
        crash_s = self.compute_start_s + duration_s * fleet.crash_fraction(clients, work.round)
        causes_s = np.stack([drop_s, crash_s, self._off_s, empty_s(self._charge_j, phases)])
        self._cause, self.leave_s = causes_s.argmin(axis=0), causes_s.min(axis=0)
        leaving = np.isfinite(self.leave_s) & has
        queue.release(clients[leaving], self.leave_s[leaving])

    def _followed_s(self) -> Floats:
        """Until when each participant's transfer is followed, unless it ends before."""
        return np.minimum(self.leave_s, self._give_up_s)

    def _send(self) -> Passage:
        """Announce the uploads; those who will leave like everyone: the server cannot know."""
        has = np.isfinite(self.download_end_s)
        leave_s = self._followed_s()
        return self._hardware.access.upload(
            self.work.clients,
            self.work.upload_bits,
            ready_s=np.where(has, self.compute_end_s, leave_s),
            leave_s=leave_s,
            expected_ready_s=self.work.expected_ready_s,
        )

    def arrival_s(self, number: int) -> float:
        """When so many updates will have arrived whole; infinity if they never will have."""
        assert self._upload is not None, "the way of a synchronous cohort is known as it begins"
        arrive_s = np.where(self._corrupt, np.inf, self._upload.finish_s)
        return float(np.sort(arrive_s)[number - 1]) if number <= len(arrive_s) else np.inf

    def settle(self) -> None:
        """Close the round now: whatever is unfinished is abandoned, what happened is kept."""
        now = self.end_s = self._env.now
        queue = self._hardware.queue
        self._download.cancel()
        self.uploaded_bits = np.zeros(len(self.work.clients))
        if self._upload is not None:
            self._upload.cancel()
            self.radio_end_s = self._upload.radio_end_s
            self.upload_end_s = self._upload.finish_s
            self.uploaded_bits = self._upload.sent_bits
        self.downloaded_bits = self._download.sent_bits
        self.downlink_bits = self._download.air_bits  # once, if one stream serves all
        uploaded = self.upload_end_s <= now
        on_its_way = self.radio_end_s <= now  # the base station has it, whatever the client does
        left = ~on_its_way & (self.leave_s <= now)
        self.completed, self.lost = uploaded & ~self._corrupt, uploaded & self._corrupt
        self.dropped = left & (self._cause == _DROP)
        self.crashed = left & (self._cause == _CRASH)
        self.emptied = left & (self._cause == _EMPTY)
        self.offline = left & (self._cause == _OFF) | self.emptied
        # Until when each was at work: its upload's end, its leaving, or the end of the round.
        self._until_s = np.where(uploaded, self.upload_end_s, np.minimum(self.leave_s, now))
        cut = ~uploaded & ~left & np.isfinite(self.download_end_s)
        queue.release(self.work.clients[cut], np.minimum(self.compute_end_s[cut], now))
        rebooted_s = self.leave_s[self.crashed] + self._hardware.fleet.failures.reboot_s
        queue.block(self.work.clients[self.crashed], rebooted_s)
        for times in (
            self.download_end_s,
            self.compute_start_s,
            self.compute_end_s,
            self.radio_end_s,
            self.upload_end_s,
        ):
            times[times > self._until_s] = np.nan
        self.energy = self._spent()

    def spoil(self, rows: Ints) -> None:
        """Count updates that arrived whole but are no use, not being finite numbers, as lost."""
        self.completed[rows], self.lost[rows] = False, True

    def record(self, staleness: int = 0) -> Record:
        """What became of each participant, once settled ('offline' also for want of charge)."""
        n = len(self.completed)
        outcome = np.full(n, OUTCOMES.index("cancelled"))
        for name in OUTCOMES[:-1]:
            outcome[getattr(self, name)] = OUTCOMES.index(name)
        return Record(
            clients=self.work.clients,
            ranks=self.work.ranks,
            outcome=outcome,
            cell=self.cell,
            staleness=np.full(n, staleness),
            download_start_s=np.full(n, self.start_s),
            download_end_s=self.download_end_s,
            compute_start_s=self.compute_start_s,
            compute_end_s=self.compute_end_s,
            upload_end_s=self.upload_end_s,
            leave_s=self.leave_s,
            computing_s=self.computing_s,
            uploading_s=self.uploading_s,
            downloaded_bits=self.downloaded_bits,
            uploaded_bits=self.uploaded_bits,
            air_bits=self.downlink_bits,
            energy=self.energy,
        )

    @property
    def receiving_s(self) -> Floats:
        """Seconds each radio received, finished or not. [participants]"""
        return np.asarray(np.fmin(self.download_end_s, self._until_s) - self.start_s)

    @property
    def waiting_s(self) -> Floats:
        """Seconds each waited, with the model, for its processor. [participants]"""
        return self._between(self.download_end_s, self.compute_start_s)

    @property
    def computing_s(self) -> Floats:
        """Seconds each device really computed, up to its end, leaving or cancellation."""
        return self._between(self.compute_start_s, self.compute_end_s)

    @property
    def uploading_s(self) -> Floats:
        """Seconds from each upload's start to its arrival, or as far as it came."""
        return self._between(self.compute_end_s, self.upload_end_s)

    @property
    def sending_s(self) -> Floats:
        """Seconds each radio transmitted, finished or not."""
        return self._between(self.compute_end_s, self.radio_end_s)

    def _spent(self) -> Energy:
        did = Activity(
            clients=self.work.clients,
            cell=self.cell,
            receiving_s=self.receiving_s,
            waiting_s=self.waiting_s,
            computing_s=self.computing_s,
            flops=self.work.flops * (self.computing_s / self._duration_s),
            sending_from_s=self.compute_end_s,
            sending_s=self.sending_s,
            sent_bits=self.uploaded_bits,
        )
        return self._hardware.meter.spent(did)

    def _between(self, start_s: Floats, end_s: Floats) -> Floats:
        """Length of a step, so far as it came: 0 if it never began. [participants]"""
        return np.nan_to_num(np.fmin(end_s, self._until_s) - start_s)
