"""From the `devices:` section to who is there, and to the queues in front of their processors."""

from __future__ import annotations

from wirelessfl.device.availability import build_availability
from wirelessfl.device.background import BackgroundWork
from wirelessfl.device.battery import Battery
from wirelessfl.device.fleet import Fleet
from wirelessfl.device.presence import Presence
from wirelessfl.device.queue import ComputeQueue
from wirelessfl.scenario.devices import DevicesConfig


def build_presence(config: DevicesConfig, seed: int) -> Presence:
    """Availability and batteries of a scenario's clients.

    Raises:
        InputError: A file of intervals cannot be used.
    """
    availability = build_availability(config.availability, config.count, seed)
    battery = None
    if config.battery is not None:
        battery = Battery(config.battery, availability, config.count)
    return Presence(config.count, availability, battery)


def build_queue(config: DevicesConfig, fleet: Fleet, seed: int) -> ComputeQueue:
    """The compute queues of a scenario's clients, with their background jobs."""
    background = None
    if config.background is not None:
        background = BackgroundWork(config.background, int(fleet.workers.min()), seed)
    return ComputeQueue(fleet.clients, fleet.workers, background)
