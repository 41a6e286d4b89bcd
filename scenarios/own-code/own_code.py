"""Code of one's own, named by the scenarios beside this file: one class for each place it can go.

Every class gets its `parameters` by name, and of what the simulation offers (`seed`, `clients`,
...) what its constructor names. Randomness is drawn from (seed, a stream's name, client, slot), so
that it does not matter who asks, when, and how often.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.device.availability import Availability
from wirelessfl.learning.source import DataSource
from wirelessfl.network.fading import FadingModel
from wirelessfl.network.path_loss import PathLossModel
from wirelessfl.randomness import uniform
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank, proportional_q
from wirelessfl.strategy.observation import Plan
from wirelessfl.strategy.round_model import expected_round_s

WEEK_S = 7 * 86_400.0


class FastLinks(Strategy):
    """Clients take part with probability proportional to their uplink's rate."""

    def __init__(self, config, clients, expected=5.0):
        self.bandwidth, self.config = config.bandwidth, config
        self.expected = min(expected, clients)

    def plan(self, observation):
        """See `Strategy.plan`."""
        q = np.zeros(observation.clients)
        can = np.flatnonzero(observation.included & (observation.uplink_rate_bps > 0))
        rate_bps = observation.uplink_rate_bps[can]
        q[can] = proportional_q(rate_bps, min(self.expected, len(can)))
        k = fixed_rank(self.config.adapter, observation)
        round_s = expected_round_s(observation, self.bandwidth, q, k)
        return Plan(q, k, self.config.server.step, round_s)


class Hata(PathLossModel):
    """Okumura-Hata for small cities (Hata, IEEE Trans. Veh. Technol. 29(3), 1980)."""

    def __init__(self, station_m=30.0, client_m=1.5):
        self.station_m, self.client_m = station_m, client_m

    def loss_db(self, ground_m, carrier_hz):
        """See `PathLossModel.loss_db`."""
        mhz = math.log10(carrier_hz / 1e6)
        client_db = (1.1 * mhz - 0.7) * self.client_m - (1.56 * mhz - 0.8)
        station = math.log10(self.station_m)
        slope = 44.9 - 6.55 * station
        return 69.55 + 26.16 * mhz - 13.82 * station - client_db + slope * np.log10(ground_m / 1e3)


class Weibull(FadingModel):
    """Weibull power of mean one, independent from slot to slot; shape 1 is Rayleigh fading."""

    def __init__(self, seed, shape=1.5, slot_s=0.05):
        self.seed, self.shape, self.slot_s = seed, shape, slot_s

    def gain(self, direction, clients, slots):
        """See `FadingModel.gain`."""
        u = uniform(self.seed, f"weibull.{direction}", clients[:, None], slots)
        return (-np.log(u)) ** (1.0 / self.shape) / math.gamma(1.0 + 1.0 / self.shape)


class WorkingDays(Availability):
    """Every device is on for five days and off for two, each client's week beginning in turn."""

    def __init__(self, clients, on_days=5.0):
        self.shift_s = WEEK_S * np.arange(clients) / clients
        self.on_s = 86_400.0 * on_days

    def is_on(self, clients, t_s):
        """See `Availability.is_on`."""
        return (t_s + self.shift_s[clients]) % WEEK_S < self.on_s

    def next_change_s(self, clients, t_s):
        """See `Availability.next_change_s`."""
        into_s = (t_s + self.shift_s[clients]) % WEEK_S
        return t_s + np.where(into_s < self.on_s, self.on_s, WEEK_S) - into_s


class Sums(DataSource):
    """Sums of two numbers: the answer after the question is learnt; the first number owns it."""

    def __init__(self, largest=9):
        self.largest = largest

    def data(self):
        """See `DataSource.data`."""
        from wirelessfl.learning.texts import Corpus, Text  # torch, only where it is needed

        numbers = range(self.largest + 1)
        sums = [
            Text(f"{a} + {b} =", completion=f" {a + b}", owner=a) for a in numbers for b in numbers
        ]
        train = [text for number, text in enumerate(sums) if number % 5]
        return Corpus(train, sums[::5], owners=tuple(map(str, numbers)))
