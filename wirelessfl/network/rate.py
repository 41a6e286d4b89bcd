"""From signal-to-noise ratio to spectral efficiency in bit/s per Hz.

`shannon` log2(1 + SNR); `gap` min(5.5547, log2(1 + SNR / gap)); `cqi` a staircase. HARQ with
block error rate e and independent retries divides by the expected transmissions 1 / (1 - e).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl.network.tables import load_table
from wirelessfl.scenario.radio import CqiRate, GapRate, Rate

Array = NDArray[np.float64]


class RateModel(ABC):
    """Spectral efficiency as a function of SNR."""

    @abstractmethod
    def efficiency(self, snr: Array, narrowing: bool) -> Array:
        """Bit/s per Hz of the share.

        Args:
            snr: Linear SNR when power fills the whole share; may be overwritten.
            narrowing: Whether the sender may use less than its share at a higher SNR, because its
                total power is what is limited.
        """


@dataclass(frozen=True)
class Logarithmic(RateModel):
    """delivered * min(cap, log2(1 + SNR / gap)); Shannon's formula with gap 1 and no cap.

    Narrowing never pays: share * log2(1 + c / share) grows with the share.
    """

    gap: float
    cap: float
    delivered: float

    def efficiency(self, snr: Array, narrowing: bool) -> Array:
        """See `RateModel.efficiency`."""
        if self.gap != 1.0:
            snr *= 1.0 / self.gap
        efficiency = np.log1p(snr, out=snr)
        efficiency *= self.delivered / math.log(2.0)
        if self.cap < math.inf:
            np.minimum(efficiency, self.delivered * self.cap, out=efficiency)
        return efficiency


class Staircase(RateModel):
    """Efficiency of the best CQI whose threshold is met, zero below the first.

    With narrowing, a sender between two CQIs may instead use the part of its share in which the
    next CQI is met: efficiency_next * SNR / threshold_next over the whole share. CQIs beyond the
    next one carry less per unit of power, so no other choice is better, and the rate never falls
    when the share grows.
    """

    def __init__(self, delivered: float) -> None:
        table = load_table("cqi")
        self._thresholds = 10.0 ** (np.asarray(table["threshold_db"]) / 10.0)
        steps = delivered * np.asarray(table["efficiency_bps_hz"])
        self._efficiency = np.append(0.0, steps)
        self._next_per_snr = np.append(steps / self._thresholds, 0.0)

    def efficiency(self, snr: Array, narrowing: bool) -> Array:
        """See `RateModel.efficiency`."""
        cqi = np.searchsorted(self._thresholds, snr, side="right")
        efficiency: Array = self._efficiency[cqi]
        if narrowing:
            np.maximum(efficiency, snr * self._next_per_snr[cqi], out=efficiency)
        return efficiency


def rate_model(config: Rate) -> RateModel:
    """The rate model that `config` describes."""
    delivered = 1.0 - config.harq.bler if config.harq else 1.0
    if isinstance(config, CqiRate):
        return Staircase(delivered)
    if isinstance(config, GapRate):
        cap = load_table("cqi")["efficiency_bps_hz"][-1]
        return Logarithmic(10.0 ** (config.gap_db / 10.0), cap, delivered)
    return Logarithmic(1.0, math.inf, delivered)
