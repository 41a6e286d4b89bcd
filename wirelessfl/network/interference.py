"""What other cells on the same frequencies add to the noise.

Downlink: every other station sends with its full power spectral density P / W a fraction `load` of
the time, noise rises by 1 + load (P / W) sum_o G_o / N0 with the mean gains G_o of the client to
the other stations, shadowing included.
Uplink: in every other cell one of its clients sends on the whole band a fraction `load` of the
time, noise rises by 1 + load (P / W) sum_o mean_{i in o} G_i / N0 at the station, the mean over the
cell's clients. It is that of the clients' places at time 0, of about 256 clients a cell: where
clients move, their law does not.
Small-scale fading of interferers is averaged away; so are the moments in which they send.
(Reconstructed: average-load interference, as in system-level studies without schedulers.)
"""

from __future__ import annotations

import numpy as np

from wirelessfl.network.fading import Array, Direction, Index
from wirelessfl.network.mean_gains import MeanGains

_SAMPLE = 256  # clients a cell, on average, that stand for all


class Interference:
    """Rise of the noise by other cells.

    Args:
        gains: Mean gains between all stations and clients.
        load: Fraction of time that other cells send.
        full_band_snr: SNR at gain 1 with the power spread over the whole band, by direction.
    """

    def __init__(
        self, gains: MeanGains, load: float, full_band_snr: dict[Direction, float]
    ) -> None:
        self._gains, self._load, self._full_band_snr = gains, load, full_band_snr
        self._uplink_rise: dict[int, float] = {}
        self._cells: Index | None = None

    def rise(self, direction: Direction, station: int, clients: Index, steps: Index) -> Array:
        """Noise and interference over noise, at least 1, [n, steps] or [1, 1]."""
        snr = self._load * self._full_band_snr[direction]
        if direction == "downlink":
            return 1.0 + snr * self._gains.other_gain(station, clients, steps)
        if station not in self._uplink_rise:
            self._uplink_rise[station] = 1.0 + snr * self._sum_of_means(station)
        return np.full((1, 1), self._uplink_rise[station])

    def _sum_of_means(self, station: int) -> float:
        """Gain to `station`, averaged over each other cell's clients and summed over cells."""
        cells = len(self._gains.stations)
        sample = np.arange(min(self._gains.steps.clients, _SAMPLE * cells))
        if self._cells is None:
            self._cells = self._gains.serving(sample, 0)
        elsewhere = self._cells != station
        owner = self._cells[elsewhere]
        gain = self._gains.gain(station, sample[elsewhere], np.zeros(1, np.int64))[:, 0]
        count = np.bincount(owner, minlength=cells)
        total = np.bincount(owner, gain, minlength=cells)
        return float((total / np.maximum(count, 1)).sum())
