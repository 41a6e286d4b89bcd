"""Rates without coherence slots: the mean over the fading, and how long a transfer strays from it.

What gets through in a time t is a sum of many independent rates: about normal with mean mu t and
variance sigma^2 Tc t (mu, sigma: mean and deviation of the rate; Tc: its correlation time). The
time T that a transfer of b bits takes is thus the first passage of a Brownian motion with drift, so
it is inverse Gaussian with mean T0 = b / mu and variance T0 w, w = Tc sigma^2 / mu^2
(E. Schroedinger, Phys. Z. 16, 1915). A transfer ends in a good slot rather than in a bad one, which
makes it longer by w / 2 on average (reconstructed: Wald's equation with the bits left over in the
last slot; exact to first order for any stationary rate).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from wirelessfl import randomness
from wirelessfl.network.fading import Array, Constant, Direction, Index
from wirelessfl.network.interference import Interference
from wirelessfl.network.mean_efficiency import MeanEfficiency
from wirelessfl.network.mean_gains import MeanGains
from wirelessfl.network.rate import RateModel
from wirelessfl.network.reports import Remembered
from wirelessfl.network.station_rates import LinkBudget, StationRates


class ErgodicRates(StationRates):
    """Mean rates between all clients and one base station; what is reported is the same.

    They change only where clients move. Where they do not, and rates are proportional to the share,
    each client's is computed once, and so is what its transfers wander.

    Args:
        station: Its number.
        gains: Mean gains of all stations.
        efficiency: Of the fading, by direction; stations may share them.
        correlation_s: The fading's correlation time, see `FadingModel.correlation_s`.
        rate: From SINR to bit/s.
        budgets: By direction.
        interference: What other cells add to the noise, if anything.
        seed: The station's.
        report_window_s: See `Rates`.

    Attributes:
        correlation_s: As above.
    """

    def __init__(
        self,
        station: int,
        gains: MeanGains,
        efficiency: dict[Direction, MeanEfficiency],
        correlation_s: float,
        rate: RateModel,
        budgets: dict[Direction, LinkBudget],
        interference: Interference | None,
        seed: int,
        report_window_s: float,
    ) -> None:
        steps = gains.steps
        super().__init__(
            station,
            gains,
            Constant(),
            rate,
            budgets,
            interference,
            steps.step_s,
            report_window_s,
        )
        self.correlation_s, self._seed = correlation_s, seed
        self._efficiency = efficiency
        still = [way for way in budgets if not steps.moving and self.proportional(way)]
        self._remembered = {
            way: Remembered(steps.clients, partial(self._alone, way)) for way in still
        }
        self._remembered_wander_s = {
            way: Remembered(steps.clients, partial(self._wander_alone_s, way)) for way in still
        }

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Rates.rate_bps`: the mean over the fading."""
        if direction in self._remembered:
            rate = self._remembered[direction](clients) * share_hz
            return np.repeat(rate[:, None], len(slots), axis=1)
        steps, column = self._gains.steps.of_slots(slots, self.slot_s)
        mean = self._mean_efficiency(direction, clients, steps, share_hz)
        mean *= share_hz[:, None]
        return mean[:, column] if mean.shape[1] > 1 else np.repeat(mean, len(slots), axis=1)

    def wander_s(self, direction: Direction, clients: Index, t_s: float, share_hz: Array) -> Array:
        """Variance of a transfer's time over its mean, Tc sigma^2 / mu^2, at the places of `t_s`.

        Args:
            direction: `uplink` or `downlink`.
            clients: Client numbers, [n].
            t_s: When.
            share_hz: Bandwidth of each client, [n].

        Returns:
            Seconds, [n].
        """
        if direction in self._remembered_wander_s:
            return self._remembered_wander_s[direction](clients)
        return self._wander_s(direction, clients, self._gains.steps.of(t_s), share_hz)

    def relative_time(
        self, direction: Direction, clients: Index, ready_s: Array, spread: Array
    ) -> Array:
        """How long transfers take, over the time they would take at their mean rates.

        Transfers of a client that begin in the same coherence slot have the same luck.

        Args:
            direction: `uplink` or `downlink`.
            clients: Client numbers, [n].
            ready_s: When each begins, [n].
            spread: Variance of each, w / T0 [n].

        Returns:
            Positive, of mean 1 + spread / 2 [n].
        """
        slot = np.floor(ready_s / self.correlation_s).astype(np.int64)
        stream = f"ergodic.{direction}"
        normal = randomness.normal(self._seed, stream, clients, slot)
        uniform = randomness.uniform(self._seed, f"{stream}.root", clients, slot)
        return inverse_gaussian(normal, uniform, spread) + 0.5 * spread

    def _alone(self, direction: Direction, clients: Index) -> Array:
        """Mean bit/s per Hz of clients that stand still."""
        none, one = np.zeros(1, np.int64), np.ones(len(clients))
        return self._mean_efficiency(direction, clients, none, one)[:, 0]

    def _wander_alone_s(self, direction: Direction, clients: Index) -> Array:
        """`wander_s` of clients that stand still."""
        return self._wander_s(direction, clients, 0, np.ones(len(clients)))

    def _wander_s(self, direction: Direction, clients: Index, step: int, share_hz: Array) -> Array:
        steps = np.array([step])
        spread = self._efficiency[direction].relative_variance(
            self.mean_snr(direction, clients, steps, share_hz), self._direct(clients, steps)
        )
        return self.correlation_s * spread[:, 0]

    def _mean_efficiency(
        self, direction: Direction, clients: Index, steps: Index, share_hz: Array
    ) -> Array:
        """Bit/s per Hz of the share, [n, steps]."""
        snr = self.mean_snr(direction, clients, steps, share_hz)
        return self._efficiency[direction].mean(snr, self._direct(clients, steps))

    def _direct(self, clients: Index, steps: Index) -> Array:
        """(K / (K + 1))^2, [n, steps]."""
        k_factor = self._gains.k_factor(self._station, clients, steps)
        direct: Array = (k_factor / (k_factor + 1.0)) ** 2
        return direct


def inverse_gaussian(normal: Array, uniform: Array, spread: Array) -> Array:
    """Inverse Gaussian numbers of mean 1 and variance `spread`, shape 1 / spread; 1 if that is 0.

    With y the larger root of (x - 1)^2 = spread z^2 x, the other is 1 / y, and it is taken with
    probability y / (1 + y) (J. R. Michael, W. R. Schucany and R. W. Haas, Am. Stat. 30(2), 1976).

    Args:
        normal: Standard normal z, any shape.
        uniform: On (0, 1), that shape.
        spread: That shape.
    """
    half = 0.5 * spread * normal**2
    larger = 1.0 + half + np.sqrt(half * (half + 2.0))
    drawn: Array = np.where(uniform * (1.0 + larger) < larger, 1.0 / larger, larger)
    return drawn
