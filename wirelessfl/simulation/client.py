"""The participants of one round on their way: download, compute queue, local training, upload.

A cohort is one struct of arrays, not one process per client: in a synchronous round the links
carry nothing else, so the schedule the links project when the round begins is what will happen,
and the whole way of every client is known from three array operations. Only the end of the round
(or the moment that cuts it short) is a SimPy event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from wirelessfl.device.fleet import Fleet
from wirelessfl.device.queue import ComputeQueue
from wirelessfl.network.link import Link

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Hardware:
    """What a cohort's work passes through: the two links and the devices with their queues."""

    downlink: Link
    uplink: Link
    fleet: Fleet
    queue: ComputeQueue


@dataclass(frozen=True)
class Work:
    """What the participants are asked to do; one row per participant (`[participants]`)."""

    round: int
    clients: Ints
    bits: Floats  # of the download, and of the upload
    flops: Floats
    memory_traffic_bytes: Floats
    expected_ready_s: Floats  # when the server expects the client to begin its upload


class Cohort:
    """One round's participants in flight.

    Attributes:
        done: SimPy event: every participant has delivered its update or dropped out.
        download_end_s, compute_start_s, compute_end_s, upload_end_s: Simulated times
            `[participants]`; what an abandoned client never did is NaN once settled.
        drop_s: When a participant drops out (during its computation), infinity if it does not.
    """

    def __init__(self, env: simpy.Environment, hardware: Hardware, work: Work) -> None:
        self._env, self._hardware, self.work = env, hardware, work
        self.start_s = env.now
        fleet, queue = hardware.fleet, hardware.queue
        self._download = hardware.downlink.submit(work.clients, work.bits)
        self.download_end_s = self._download.finish_s.copy()
        duration_s = fleet.duration_s(
            work.clients, work.round, work.flops, work.memory_traffic_bytes
        )
        self.compute_start_s, self.compute_end_s = queue.enter(
            work.clients, self.download_end_s, duration_s
        )
        fraction = fleet.drop_fraction(work.clients, work.round)
        self.drop_s = np.where(
            np.isfinite(fraction), self.compute_start_s + fraction * duration_s, np.inf
        )
        dropping = np.isfinite(self.drop_s)
        queue.release(work.clients[dropping], self.drop_s[dropping])
        # Those who will drop out are announced like everyone: the server cannot know.
        self._upload = hardware.uplink.submit(
            work.clients,
            work.bits,
            ready_s=self.compute_end_s,
            leave_s=self.drop_s,
            expected_ready_s=work.expected_ready_s,
        )
        self.done: simpy.Event = self._upload.done

    def settle(self) -> None:
        """Close the round now: whatever is unfinished is abandoned, what happened is kept."""
        now = self.end_s = self._env.now
        self._hardware.downlink.cancel(self._download)
        self._hardware.uplink.cancel(self._upload)
        self.upload_end_s = self._upload.finish_s.copy()
        self.uploaded_bits = self._upload.sent_bits.copy()
        self.downloaded_bits = self._download.sent_bits.copy()
        self.downlink_bits = self._download.air_bits  # once, if one stream serves all
        self.completed = self.upload_end_s <= now
        self.dropped = self.drop_s <= now
        interrupted = ~self.completed & ~self.dropped
        self._hardware.queue.release(
            self.work.clients[interrupted],
            np.minimum(self.compute_end_s[interrupted], now),
        )
        self.compute_end_s = np.minimum(self.compute_end_s, self.drop_s)
        for times in (
            self.download_end_s,
            self.compute_start_s,
            self.compute_end_s,
            self.upload_end_s,
        ):
            times[times > now] = np.nan
        self.compute_end_s[self.dropped] = np.nan

    @property
    def outcome(self) -> NDArray[np.str_]:
        """'completed', 'dropped' (left by itself) or 'cancelled' (cut by the server)."""
        return np.where(self.completed, "completed", np.where(self.dropped, "dropped", "cancelled"))

    @property
    def computing_s(self) -> Floats:
        """Seconds each device really computed, up to its end, drop or cancellation."""
        end = np.where(np.isnan(self.compute_end_s), self.end_s, self.compute_end_s)
        end = np.where(self.dropped, self.drop_s, end)
        return np.nan_to_num(end - self.compute_start_s)

    @property
    def uploading_s(self) -> Floats:
        """Seconds each radio transmitted, finished or not."""
        end = np.where(np.isnan(self.upload_end_s), self.end_s, self.upload_end_s)
        return np.nan_to_num(end - self.compute_end_s)
