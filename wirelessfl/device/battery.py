"""Batteries: what training takes from them, what charging gives, and who is empty.

    charge <- min(capacity, charge - spent + recharge * charging time)

A battery is the one part of the world that is no pure function of time: what is left depends on
what the strategy asked of the device before. So strategies that are compared on batteries meet the
same availability, channel and draws, but not the same set of charged devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wirelessfl.device.availability import Availability
from wirelessfl.scenario.availability import BatteryConfig

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_LEAST_WAIT_S = 1e-6  # so that waiting for a charge ends in spite of rounding


class Battery:
    """The batteries of all clients.

    A device whose battery runs empty rests until it is charged to the share `resume`. Within a
    round it counts on what it had when the round began; what it is charged meanwhile comes after.
    If others begin and end while it is at work (`begin`), its battery is charged beyond its
    capacity until what it spent is known.

    Attributes:
        charge_j: Energy left. [clients]
        resting: Who ran empty and is not back yet. [clients]
    """

    def __init__(self, config: BatteryConfig, availability: Availability, clients: int) -> None:
        self._config, self._availability = config, availability
        self._clients = np.arange(clients)
        self._charged_to_s = 0.0
        self.charge_j: Floats = np.full(clients, config.initial * config.capacity_j)
        self.resting: Bools = self.charge_j <= 0.0
        self._at_work = np.zeros(clients, bool)

    def charge(self, now_s: float) -> None:
        """Charge everyone for the time since the last call."""
        power_w = self._config.recharge_w
        limit_j = np.where(self._at_work, np.inf, self._config.capacity_j)
        on_s: Floats | float = now_s - self._charged_to_s
        if self._config.recharge_while == "on" and power_w > 0 and now_s > self._charged_to_s:
            full_s = 2.0 * (limit_j - self.charge_j) / power_w  # twice, for what rounding takes
            on_s = self._availability.on_time_s(self._clients, self._charged_to_s, now_s, full_s)
        gained_j = power_w * on_s
        self.charge_j = np.minimum(self.charge_j + gained_j, limit_j)
        self.resting &= self.charge_j < self._resume_j
        self._charged_to_s = now_s

    def begin(self, clients: NDArray[np.int64]) -> None:
        """Let clients begin work, whose energy `spend` takes when it is over. [n]"""
        self._at_work[clients] = True

    def spend(self, clients: NDArray[np.int64], energy_j: Floats, emptied: Bools) -> None:
        """Take the energy of a round.

        Args:
            clients: Who spent; no client twice. [n]
            energy_j: How much, at most what each has but for rounding. [n]
            emptied: Whose device went off for want of charge. [n]
        """
        left_j = np.clip(self.charge_j[clients] - energy_j, 0.0, self._config.capacity_j)
        self._at_work[clients] = False
        self.charge_j[clients] = left_j
        self.resting[clients] |= emptied | (left_j <= 0.0)

    def back_s(self, now_s: float) -> Floats:
        """When each resting client may be back, or before; infinity if never. [clients]

        `charge` must have been called at `now_s`.
        """
        missing_j = np.maximum(self._resume_j - self.charge_j, 0.0)
        if self._config.recharge_w == 0.0:
            return np.where(missing_j > 0, np.inf, now_s)
        begins_s: Floats | float = now_s
        if self._config.recharge_while == "on":
            begins_s = self._availability.next_on_s(self._clients, now_s)
        wait_s = np.maximum(missing_j / self._config.recharge_w, _LEAST_WAIT_S)
        return np.asarray(begins_s + wait_s, dtype=np.float64)

    @property
    def _resume_j(self) -> float:
        return self._config.resume * self._config.capacity_j


def empty_s(charge_j: Floats, phases: Sequence[tuple[Floats, Floats]]) -> Floats:
    """When each client has used its charge up, drawing a constant power in each phase.

    Args:
        charge_j: Energy when the first phase begins, infinity for mains. [n]
        phases: When each phase begins, and its power from then on; a phase lasts until the next
            one begins, the last for ever. A phase that begins at infinity never does. [n], [n]

    Returns:
        Times, infinity where the charge lasts for ever. [n]
    """
    never_s = np.full(len(charge_j), np.inf)
    left_j, result_s = charge_j, never_s.copy()
    ends_s = [*(begin_s for begin_s, _ in phases[1:]), never_s]
    for (begin_s, power_w), end_s in zip(phases, ends_s, strict=True):
        lasts_s = np.divide(left_j, power_w, out=never_s.copy(), where=power_w > 0)
        empties = np.isinf(result_s) & (begin_s + lasts_s < end_s)
        result_s[empties] = (begin_s + lasts_s)[empties]
        ends = np.isfinite(end_s)
        length_s = np.subtract(end_s, begin_s, out=np.zeros_like(end_s), where=ends)
        left_j = np.maximum(left_j - power_w * length_s, 0.0)
    return result_s
