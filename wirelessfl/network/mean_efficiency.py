"""Mean and spread of the spectral efficiency over the fading, as functions of the mean SNR.

For a law of two points they are sums. For others they are looked up: the mean is log2(1 + SNR)
times a ratio that bends little, so that linear interpolation over half a decibel is accurate to
1e-4 of the mean (measured; 2e-3 for the `cqi` staircase, 0.1 below its first threshold).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wirelessfl.network.fading import Array, Direction
from wirelessfl.network.rate import RateModel
from wirelessfl.network.station_rates import LinkBudget

if TYPE_CHECKING:
    from wirelessfl.network.fading_law import GainLaw

_FEW = 2  # points that are summed rather than tabulated
_LOWEST_DB, _HIGHEST_DB, _STEP_DB = -60.0, 200.0, 0.5  # of the table; the ratio is held beyond


def mean_efficiencies(
    law: GainLaw, rate: RateModel, budgets: dict[Direction, LinkBudget]
) -> dict[Direction, MeanEfficiency]:
    """One for each direction; a table that both can use is made once."""
    narrowings = {budget.narrowing for budget in budgets.values()}
    either = {narrowing: MeanEfficiency(law, rate, narrowing) for narrowing in narrowings}
    return {direction: either[budget.narrowing] for direction, budget in budgets.items()}


class MeanEfficiency:
    """Moments of the efficiency over the fading.

    Args:
        law: Of the gain.
        rate: From SNR to efficiency.
        narrowing: See `RateModel.efficiency`.
    """

    def __init__(self, law: GainLaw, rate: RateModel, narrowing: bool) -> None:
        self._law, self._rate, self._narrowing = law, rate, narrowing
        self._tabulated = law.gain.shape[1] > _FEW
        if self._tabulated:
            self._snr_db = np.arange(_LOWEST_DB, _HIGHEST_DB + _STEP_DB / 2, _STEP_DB)
            snr = 10.0 ** (self._snr_db / 10.0)
            each = [self._moments(snr, row) for row in range(len(law.gain))]
            self._ratio = np.stack([mean for mean, _ in each]) / np.log2(1.0 + snr)
            self._spread = np.stack([spread for _, spread in each])

    def mean(self, snr: Array, direct: Array) -> Array:
        """Bit/s per Hz of the share.

        Args:
            snr: Linear mean SNR, any shape.
            direct: (K / (K + 1))^2, broadcast against it.
        """
        if not self._tabulated:
            return self._moments(snr, 0)[0]
        mean = self._look_up(self._ratio, snr, direct)
        mean *= np.log1p(snr) / np.log(2.0)
        return mean

    def relative_variance(self, snr: Array, direct: Array) -> Array:
        """Variance over the square of the mean; 0 where the mean is 0. Arguments as for `mean`."""
        if not self._tabulated:
            return self._moments(snr, 0)[1]
        return self._look_up(self._spread, snr, direct)

    def _moments(self, snr: Array, row: int) -> tuple[Array, Array]:
        """Mean and relative variance by quadrature, of the shape of `snr`."""
        gain, weight = self._law.gain[row], self._law.weight[row]
        efficiency = self._rate.efficiency(snr[..., None] * gain, self._narrowing)
        mean = efficiency @ weight
        square = (efficiency - mean[..., None]) ** 2 @ weight
        return mean, np.divide(square, mean**2, out=np.zeros_like(mean), where=mean**2 > 0)

    def _look_up(self, table: Array, snr: Array, direct: Array) -> Array:
        """A table's values between its SNRs, and its laws if there are several."""
        with np.errstate(divide="ignore"):
            snr_db = 10.0 * np.log10(snr)
        if len(table) == 1:
            return np.asarray(np.interp(snr_db, self._snr_db, table[0]))
        column, right = _between((snr_db - _LOWEST_DB) / _STEP_DB, table.shape[1])
        law, up = _between(direct * (len(table) - 1), len(table))
        return _blend(
            _blend(table[law, column], table[law, column + 1], right),
            _blend(table[law + 1, column], table[law + 1, column + 1], right),
            up,
        )


def _between(place: Array, points: int) -> tuple[np.ndarray, Array]:
    """The point to the left of each place, and how far it is from there; held at the ends."""
    place = np.clip(place, 0.0, points - 1.0)
    left = np.minimum(place.astype(np.int64), points - 2)
    return left, place - left


def _blend(low: Array, high: Array, part: Array) -> Array:
    blended: Array = low + (high - low) * part
    return blended
