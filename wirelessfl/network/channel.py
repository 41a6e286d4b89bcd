"""The channel between clients and base stations: what rate a share of bandwidth carries, and when.

Modelled: rate = share * efficiency(SINR), SINR = P G(t) / ((N0 + I) * width), where width is the
whole link for `per_rb` (SINR independent of the share) and the share itself for `total`. G is path
loss, shadowing and fading together; N0 = -174 dBm/Hz + noise figure; I is what other cells send.
Replayed: rate = share / bandwidth * what was measured with the whole bandwidth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from wirelessfl import randomness
from wirelessfl.arrays import by_cell
from wirelessfl.errors import InputError
from wirelessfl.network.ergodic import ErgodicRates
from wirelessfl.network.fading import Array, Direction, Index, fading_model
from wirelessfl.network.interference import Interference
from wirelessfl.network.mean_gains import MeanGains
from wirelessfl.network.mobility import build_steps
from wirelessfl.network.propagation import Station, build_stations
from wirelessfl.network.rate import rate_model
from wirelessfl.network.station_rates import LinkBudget, Rates, StationRates, link_budget
from wirelessfl.network.trace_replay import RateTrace, read_traces
from wirelessfl.scenario.mobility import LoadInterference
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.radio import NoFading


class Channel(Rates, ABC):
    """Rates of every client at every time, as a pure function of (client, slot).

    The channel's own rates are those to the station that serves a client at the time.

    Attributes:
        clients: Number of clients.
        cells: Number of base stations.
        slot_s: Time during which rates are constant; inf when they never change.
    """

    clients: int
    cells: int

    @abstractmethod
    def at(self, cell: int) -> Rates:
        """The rates to one base station, whoever serves."""

    @abstractmethod
    def serving(self, clients: Index, t_s: float) -> Index:
        """The base station that serves each client at `t_s`, [n]."""

    @abstractmethod
    def positions_m(self, clients: Index, t_s: float) -> Array:
        """Ground coordinates at `t_s`, NaN if unknown, [n, 2]."""

    @abstractmethod
    def distances_m(self, clients: Index, t_s: float) -> Array:
        """Ground distance to the serving base station at `t_s`, NaN if unknown, [n]."""


class ModelledChannel(Channel):
    """Rates that follow from gains: path loss and shadowing by place, fading by slot."""

    def __init__(self, gains: MeanGains, stations: Sequence[StationRates]) -> None:
        super().__init__(stations[0].slot_s, stations[0].report_window_s)
        self.clients, self.cells = gains.steps.clients, len(stations)
        self._gains, self._stations = gains, stations

    def at(self, cell: int) -> StationRates:
        """See `Channel.at`."""
        return self._stations[cell]

    def serving(self, clients: Index, t_s: float) -> Index:
        """See `Channel.serving`."""
        return self._gains.serving(clients, self._gains.steps.of(t_s))

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """See `Channel.positions_m`; held from update to update."""
        return self._gains.steps.positions_m(clients, self._gains.steps.of(t_s))

    def distances_m(self, clients: Index, t_s: float) -> Array:
        """See `Channel.distances_m`."""
        xy, cell = self.positions_m(clients, t_s), self.serving(clients, t_s)
        stations_xy = np.array([station.xy_m for station in self._gains.stations])
        offset = xy - stations_xy[cell]
        distance_m: Array = np.hypot(offset[:, 0], offset[:, 1])
        return distance_m

    def mean_gain(self, clients: Index, t_s: float = 0.0) -> Array:
        """Linear power gain of antennas, path loss and shadowing at `t_s`, [n]."""
        step, gain = np.array([self._gains.steps.of(t_s)]), np.empty(len(clients))
        for cell, rows in by_cell(self.serving(clients, t_s)):
            gain[rows] = self._gains.gain(cell, clients[rows], step)[:, 0]
        return gain

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """Linear power gain with small-scale fading, [n, slots]."""
        if self.cells == 1:
            return self._stations[0].gain(direction, clients, slots)

        def read(station: StationRates, rows: Index, some: Index) -> Array:
            return station.gain(direction, clients[rows], some)

        return self._to_serving(clients, slots, read)

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Rates.rate_bps`; to the station that serves in the middle of each slot."""
        if self.cells == 1:
            return self._stations[0].rate_bps(direction, clients, slots, share_hz)

        def read(station: StationRates, rows: Index, some: Index) -> Array:
            return station.rate_bps(direction, clients[rows], some, share_hz[rows])

        return self._to_serving(clients, slots, read)

    def reported_rate_bps(
        self, direction: Direction, clients: Index, t_s: float, share_hz: Array
    ) -> Array:
        """See `Rates.reported_rate_bps`; reports of the station that serves at `t_s`."""
        if self.cells == 1:
            return self._stations[0].reported_rate_bps(direction, clients, t_s, share_hz)
        rate = np.empty(len(clients))
        for cell, rows in by_cell(self.serving(clients, t_s)):
            rate[rows] = self._stations[cell].reported_rate_bps(
                direction, clients[rows], t_s, share_hz[rows]
            )
        return rate

    def proportional(self, direction: Direction) -> bool:
        """See `Rates.proportional`."""
        return self._stations[0].proportional(direction)

    def _to_serving(
        self, clients: Index, slots: Index, read: Callable[[StationRates, Index, Index], Array]
    ) -> Array:
        """What `read` says of rows [n] and slots [m] at the station that serves, [n, m]."""
        values = np.empty((len(clients), len(slots)))
        steps, which = self._gains.steps.of_slots(slots, self.slot_s)
        which = np.broadcast_to(which, len(slots))
        for number, step in enumerate(steps.tolist()):
            columns = np.flatnonzero(which == number)
            for cell, rows in by_cell(self._gains.serving(clients, step)):
                values[np.ix_(rows, columns)] = read(self._stations[cell], rows, slots[columns])
        return values


class ReplayedChannel(Channel):
    """Rates as measured, in proportion to the share, by one base station.

    Client n replays trace n. If there are fewer traces than clients they are dealt out in turn, and
    those dealt a second time start at a random step, so that no two clients move together.
    """

    cells = 1

    def __init__(
        self,
        traces: Sequence[RateTrace],
        bandwidth_hz: dict[Direction, float],
        clients: int,
        report_window_s: float,
        seed: int,
    ) -> None:
        super().__init__(traces[0].step_s, report_window_s)
        self.clients = clients
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

    def at(self, cell: int) -> ReplayedChannel:
        """See `Channel.at`."""
        return self

    def serving(self, clients: Index, t_s: float) -> Index:
        """See `Channel.serving`."""
        return np.zeros(len(clients), np.int64)

    def positions_m(self, clients: Index, t_s: float) -> Array:
        """See `Channel.positions_m`."""
        return np.full((len(clients), 2), np.nan)

    def distances_m(self, clients: Index, t_s: float) -> Array:
        """See `Channel.distances_m`."""
        return np.full(len(clients), np.nan)

    def rate_bps(
        self, direction: Direction, clients: Index, slots: Index, share_hz: Array
    ) -> Array:
        """See `Rates.rate_bps`."""
        step = (self._offset[clients, None] + slots) % self._steps[clients, None]
        rate: Array = self._bps_per_hz[direction][self._first[clients, None] + step]
        rate *= share_hz[:, None]
        return rate

    def proportional(self, direction: Direction) -> bool:
        """See `Rates.proportional`."""
        return True


def build_channel(
    config: NetworkConfig, clients: int, seed: int, stations_xy: Array | None = None
) -> Channel:
    """The channel of `clients` clients in the network that `config` describes.

    Args:
        config: The network.
        clients: How many clients there are.
        seed: The scenario's seed.
        stations_xy: Ground coordinates of the base stations, [cells, 2]; one at the origin if None.

    Raises:
        InputError: If several stations are to be replayed, distances or carrier are outside what
            the path loss model covers, fixed distances do not fit the number of clients, or a file
            of measured rates or places cannot be used.
    """
    stations_xy = np.zeros((1, 2)) if stations_xy is None else stations_xy
    if config.replay is not None:
        return _replayed(config, clients, seed, len(stations_xy))
    steps = build_steps(config, clients, seed, stations_xy)
    stations = build_stations(config, steps, stations_xy)
    gains = MeanGains(config, steps, stations, seed)
    budgets: dict[Direction, LinkBudget] = {
        "uplink": link_budget(config.uplink),
        "downlink": link_budget(config.downlink),
    }
    interference = None
    if isinstance(config.interference, LoadInterference) and len(stations) > 1:
        full_band_snr = {link: budget.full_band_snr for link, budget in budgets.items()}
        interference = Interference(gains, config.interference.load, full_band_snr)

    rate, efficiency = rate_model(config.rate), None
    if config.fidelity == "ergodic" and not isinstance(config.fading, NoFading):
        from wirelessfl.network.fading_law import gain_law  # needs SciPy, slow to import
        from wirelessfl.network.mean_efficiency import mean_efficiencies

        efficiency = mean_efficiencies(gain_law(config.fading), rate, budgets)

    def rates(station: Station) -> StationRates:
        def k_factor(clients: Index, slots: Index) -> Array:
            which, column = steps.of_slots(slots, fading.slot_s)
            return gains.k_factor(station.number, clients, which)[:, column]

        fading = fading_model(
            config.fading,
            config.carrier_hz,
            clients,
            station.seed(seed),
            k_factor,
            steps.mobility.mean_speed_mps,
        )
        if efficiency is not None:
            return ErgodicRates(
                station.number,
                gains,
                efficiency,
                fading.correlation_s,
                rate,
                budgets,
                interference,
                station.seed(seed),
                config.report_window_s,
            )
        slot_s = steps.step_s if math.isinf(fading.slot_s) else fading.slot_s
        return StationRates(
            station.number,
            gains,
            fading,
            rate,
            budgets,
            interference,
            slot_s,
            config.report_window_s,
        )

    return ModelledChannel(gains, [rates(station) for station in stations])


def _replayed(config: NetworkConfig, clients: int, seed: int, cells: int) -> ReplayedChannel:
    assert config.replay is not None
    if cells > 1:
        raise InputError(
            f"network.replay: measured rates belong to one cell, the topology has {cells}; write "
            "topology: {kind: single}"
        )
    return ReplayedChannel(
        read_traces(Path(config.replay.file), clients, config.replay.sha256),
        {"uplink": config.uplink.bandwidth_hz, "downlink": config.downlink.bandwidth_hz},
        clients,
        config.report_window_s,
        seed,
    )
