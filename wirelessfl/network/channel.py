"""The channel between clients and base station: what rate a share of bandwidth carries, and when.

Modelled: rate = share * efficiency(SNR), SNR = P G(t) / (N0 * width), where width is the whole link
for `per_rb` (SNR independent of the share) and the share itself for `total`. G is path loss,
shadowing and fading together; N0 = -174 dBm/Hz + noise figure.
Replayed: rate = share / bandwidth * what was measured with the whole bandwidth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wirelessfl import randomness
from wirelessfl.network.fading import Array, Direction, FadingModel, Index, fading_model
from wirelessfl.network.geometry import positions
from wirelessfl.network.propagation import propagate
from wirelessfl.network.rate import RateModel, rate_model
from wirelessfl.network.trace_replay import RateTrace, read_traces
from wirelessfl.scenario.network import Downlink, NetworkConfig, Uplink

_THERMAL_DBM_HZ = -174.0
_BLOCK = 2**15  # (client, slot) pairs evaluated at once, so that temporaries stay in cache
_REPORTS = 64  # most CQI reports averaged into one known rate
_LEAST_HZ = 1e-9  # shares below carry as much per Hz as this one; it keeps 0 Hz at 0 bit/s


@dataclass(frozen=True)
class _Link:
    """One direction's signal-to-noise ratio before fading."""

    narrowing: bool  # all power goes into the share, whatever its width (`total`)
    snr_scale: Array  # mean SNR: over the whole link, or times Hz of share if narrowing; [clients]


class Channel(ABC):
    """Rates of every client at every time, as a pure function of (client, slot).

    Slot j covers [j slot_s, (j+1) slot_s); negative slots are the past before the simulation.

    Attributes:
        clients: Number of clients.
        slot_s: Time during which rates are constant; inf when they never change.
        distance_m: Ground distance of each client to the base station, NaN if unknown, [clients].
    """

    def __init__(self, distance_m: Array, slot_s: float, report_window_s: float) -> None:
        self.clients = len(distance_m)
        self.slot_s = slot_s
        self.distance_m = distance_m
        self._report_window_s = report_window_s

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
        count = max(1, round(self._report_window_s / self.slot_s))
        slots = last - np.arange(min(count, _REPORTS)) * count // min(count, _REPORTS)
        mean: Array = self.rate_bps(direction, clients, slots, share_hz).mean(axis=1)
        return mean

    def proportional(self, direction: Direction) -> bool:
        """Whether a rate is, in each slot, a constant times the share."""
        return True

    def linear(self, direction: Direction) -> bool:
        """Whether a rate is always the same constant times the share, and reported as it is."""
        return math.isinf(self.slot_s) and self.proportional(direction)


class ModelledChannel(Channel):
    """Rates that follow from gains: path loss and shadowing by place, fading by slot."""

    def __init__(
        self,
        distance_m: Array,
        mean_gain: Array,
        fading: FadingModel,
        rate: RateModel,
        links: dict[Direction, _Link],
        report_window_s: float,
    ) -> None:
        super().__init__(distance_m, fading.slot_s, report_window_s)
        self._mean_gain = mean_gain
        self._fading = fading
        self._rate = rate
        self._links = links

    def mean_gain(self, clients: Index) -> Array:
        """Linear power gain of antennas, path loss and shadowing, [clients]."""
        return self._mean_gain[clients]

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """Linear power gain with small-scale fading, [clients, slots]."""
        fading = self._fading.gain(direction, clients, slots)
        fading *= self._mean_gain[clients, None]
        return fading

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Channel.rate_bps`."""
        rows = max(1, _BLOCK // max(1, len(slots)))
        if len(clients) <= rows:
            return self._rate_block(direction, clients, slots, share_hz)
        rate = np.empty((len(clients), len(slots)))
        for start in range(0, len(clients), rows):
            block = slice(start, start + rows)
            rate[block] = self._rate_block(direction, clients[block], slots, share_hz[block])
        return rate

    def proportional(self, direction: Direction) -> bool:
        """See `Channel.proportional`; a narrowing client's rate is concave in its share."""
        return not self._links[direction].narrowing

    def _rate_block(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        link = self._links[direction]
        mean_snr = link.snr_scale[clients]
        if link.narrowing:
            mean_snr /= np.maximum(share_hz, _LEAST_HZ)
        snr = self._fading.gain(direction, clients, slots)
        snr *= mean_snr[:, None]
        rate = self._rate.efficiency(snr, link.narrowing)
        rate *= share_hz[:, None]
        return rate


class ReplayedChannel(Channel):
    """Rates as measured, in proportion to the share.

    Client n replays trace n. If there are fewer traces than clients they are dealt out in turn, and
    those dealt a second time start at a random step, so that no two clients move together.
    """

    def __init__(
        self,
        traces: Sequence[RateTrace],
        bandwidth_hz: dict[Direction, float],
        clients: int,
        report_window_s: float,
        seed: int,
    ) -> None:
        super().__init__(np.full(clients, np.nan), traces[0].step_s, report_window_s)
        rates = {
            "uplink": np.concatenate([trace.uplink_mbps for trace in traces]),
            "downlink": np.concatenate([trace.downlink_mbps for trace in traces]),
        }
        self._bps_per_hz = {link: rates[link] * (1e6 / hz) for link, hz in bandwidth_hz.items()}
        client = np.arange(clients)
        dealt = client % len(traces)
        steps = np.array([len(trace.uplink_mbps) for trace in traces])
        self._first = (np.cumsum(steps) - steps)[dealt]
        self._steps = steps[dealt]
        offset = randomness.uniform(seed, "replay.offset", client) * self._steps
        self._offset = np.where(client < len(traces), 0, offset.astype(np.int64))

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Channel.rate_bps`."""
        step = (self._offset[clients, None] + slots) % self._steps[clients, None]
        rate: Array = self._bps_per_hz[direction][self._first[clients, None] + step]
        rate *= share_hz[:, None]
        return rate


def build_channel(config: NetworkConfig, clients: int, seed: int) -> Channel:
    """The channel of `clients` clients in the network that `config` describes.

    Raises:
        InputError: If distances or carrier are outside what the path loss model covers, fixed
            distances do not fit the number of clients, or a file of measured rates cannot be used.
    """
    if config.replay is not None:
        return ReplayedChannel(
            read_traces(Path(config.replay.file), clients, config.replay.sha256),
            {"uplink": config.uplink.bandwidth_hz, "downlink": config.downlink.bandwidth_hz},
            clients,
            config.report_window_s,
            seed,
        )
    xy = positions(config.placement, config.cells, clients, seed)
    place = propagate(config, xy, seed)
    mean_gain = 10.0 ** ((config.antenna_gain_db - place.loss_db) / 10.0)
    return ModelledChannel(
        distance_m=np.hypot(xy[:, 0], xy[:, 1]),
        mean_gain=mean_gain,
        fading=fading_model(config.fading, config.carrier_hz, place.k_factor, seed),
        rate=rate_model(config.rate),
        links={
            "uplink": _link(config.uplink, mean_gain),
            "downlink": _link(config.downlink, mean_gain),
        },
        report_window_s=config.report_window_s,
    )


def _link(config: Uplink | Downlink, mean_gain: Array) -> _Link:
    noise_dbm_hz = _THERMAL_DBM_HZ + config.noise_figure_db
    scale = 10.0 ** ((config.power_dbm - noise_dbm_hz) / 10.0)
    if config.power_mode == "total":
        return _Link(narrowing=True, snr_scale=scale * mean_gain)
    return _Link(narrowing=False, snr_scale=scale / config.bandwidth_hz * mean_gain)
