"""Rates to one base station: link budget, mean gain, fading and rate model put together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from wirelessfl.network.fading import Array, Direction, FadingModel, Index
from wirelessfl.network.interference import Interference
from wirelessfl.network.mean_gains import MeanGains
from wirelessfl.network.rate import RateModel
from wirelessfl.scenario.network import Downlink, Uplink

_THERMAL_DBM_HZ = -174.0
_BLOCK = 2**15  # (client, slot) pairs evaluated at once, so that temporaries stay in cache
_REPORTS = 64  # most CQI reports averaged into one known rate
_LEAST_HZ = 1e-9  # shares below carry as much per Hz as this one; it keeps 0 Hz at 0 bit/s


class Rates(ABC):
    """What a share of bandwidth carries, by client and slot.

    Slot j covers [j slot_s, (j+1) slot_s); negative slots are the past before the simulation.

    Attributes:
        slot_s: Time during which rates are constant; inf when they never change.
        report_window_s: Time over which reports are averaged.
    """

    def __init__(self, slot_s: float, report_window_s: float) -> None:
        self.slot_s = slot_s
        self.report_window_s = report_window_s

    @abstractmethod
    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """Rate of each client in each slot if it has `share_hz` of the link's bandwidth.

        Args:
            direction: `uplink` or `downlink`.
            clients: Client numbers, [n].
            slots: Slot numbers of any sign and order, [m].
            share_hz: Bandwidth of each client, [n]; 0 gives rate 0.

        Returns:
            Bit/s, [n, m].
        """

    def reported_rate_bps(
        self, direction: Direction, clients: Index, t_s: float, share_hz: Array
    ) -> Array:
        """What the base station knows at `t_s` from channel reports: the recent mean rate.

        The mean runs over the whole slots that ended by `t_s` within the report window (at least
        one), at most 64 of them, evenly spaced. It is exact where gains never change.

        Returns:
            Bit/s, [n].
        """
        if math.isinf(self.slot_s):
            return self.rate_bps(direction, clients, np.zeros(1, dtype=np.int64), share_hz)[:, 0]
        last = math.floor(t_s / self.slot_s) - 1
        count = max(1, round(self.report_window_s / self.slot_s))
        slots = last - np.arange(min(count, _REPORTS)) * count // min(count, _REPORTS)
        mean: Array = self.rate_bps(direction, clients, slots, share_hz).mean(axis=1)
        return mean

    @abstractmethod
    def proportional(self, direction: Direction) -> bool:
        """Whether a rate is, in each slot, a constant times the share."""

    def linear(self, direction: Direction) -> bool:
        """Whether a rate is always the same constant times the share, and reported as it is."""
        return math.isinf(self.slot_s) and self.proportional(direction)


@dataclass(frozen=True)
class LinkBudget:
    """One direction's signal-to-noise ratio at gain 1.

    Attributes:
        narrowing: All power goes into the share, whatever its width (`total`).
        snr: Over the whole link, or times Hz of share if narrowing.
        full_band_snr: Over the whole link.
    """

    narrowing: bool
    snr: float
    full_band_snr: float


def link_budget(config: Uplink | Downlink) -> LinkBudget:
    """P / N0 of one direction, over the bandwidth unless power is narrowed to the share."""
    noise_dbm_hz = _THERMAL_DBM_HZ + config.noise_figure_db
    hertz: float = 10.0 ** ((config.power_dbm - noise_dbm_hz) / 10.0)
    full_band_snr = hertz / config.bandwidth_hz
    narrowing = config.power_mode == "total"
    return LinkBudget(narrowing, hertz if narrowing else full_band_snr, full_band_snr)


class StationRates(Rates):
    """Rates between all clients and one base station.

    Args:
        station: Its number.
        gains: Mean gains of all stations.
        fading: Small-scale fading at this station.
        rate: From SINR to bit/s.
        budgets: By direction.
        interference: What other cells add to the noise, if anything.
        slot_s: See `Rates`.
        report_window_s: See `Rates`.
    """

    def __init__(
        self,
        station: int,
        gains: MeanGains,
        fading: FadingModel,
        rate: RateModel,
        budgets: dict[Direction, LinkBudget],
        interference: Interference | None,
        slot_s: float,
        report_window_s: float,
    ) -> None:
        super().__init__(slot_s, report_window_s)
        self._station, self._gains, self._fading, self._rate = station, gains, fading, rate
        self._budgets, self._interference = budgets, interference

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """Linear power gain with small-scale fading, [n, slots]."""
        steps, column = self._gains.steps.of_slots(slots, self.slot_s)
        gain = self._fading.gain(direction, clients, slots)
        gain *= self._gains.gain(self._station, clients, steps)[:, column]
        return gain

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Rates.rate_bps`."""
        steps, column = self._gains.steps.of_slots(slots, self.slot_s)
        mean_snr = self.mean_snr(direction, clients, steps, share_hz)
        rows = max(1, _BLOCK // max(1, len(slots)))
        if len(clients) <= rows:
            return self._rate_block(direction, clients, slots, share_hz, mean_snr, column)
        rate = np.empty((len(clients), len(slots)))
        for start in range(0, len(clients), rows):
            block = slice(start, start + rows)
            rate[block] = self._rate_block(
                direction, clients[block], slots, share_hz[block], mean_snr[block], column
            )
        return rate

    def proportional(self, direction: Direction) -> bool:
        """See `Rates.proportional`; a narrowing client's rate is concave in its share."""
        return not self._budgets[direction].narrowing

    def mean_snr(
        self, direction: Direction, clients: Index, steps: Index, share_hz: Array
    ) -> Array:
        """SINR without small-scale fading, [n, steps]."""
        budget = self._budgets[direction]
        mean_snr = budget.snr * self._gains.gain(self._station, clients, steps)
        if self._interference is not None:
            mean_snr /= self._interference.rise(direction, self._station, clients, steps)
        if budget.narrowing:
            mean_snr /= np.maximum(share_hz, _LEAST_HZ)[:, None]
        return mean_snr

    def _rate_block(
        self,
        direction: Direction,
        clients: Index,
        slots: Index,
        share_hz: Array,
        mean_snr: Array,
        column: Index,
    ) -> Array:
        """Rates of some clients, from their SINR by step [n, steps] and the step of each slot."""
        snr = self._fading.gain(direction, clients, slots)
        snr *= mean_snr[:, column] if mean_snr.shape[1] > 1 else mean_snr
        rate = self._rate.efficiency(snr, self._budgets[direction].narrowing)
        rate *= share_hz[:, None]
        return rate
