"""Large-scale propagation: what stays when small-scale fading is averaged away.

loss = path loss(distance, line of sight) + sigma * shadowing(place), in dB, for each client.
Every base station has fields of its own: of line of sight, and of shadowing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.network.fading import Index
from wirelessfl.network.geometry import reach_m
from wirelessfl.network.mobility import Steps
from wirelessfl.network.path_loss import Array, Environment, environment, simple_loss_db
from wirelessfl.network.position_trace import PositionTrace
from wirelessfl.network.shadowing import gaussian_field, line_of_sight
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.radio import (
    CustomPathLoss,
    Fading,
    LognormalShadowing,
    Rician,
    Shadowing,
    Tr38901PathLoss,
    Tr38901Shadowing,
)


@dataclass(frozen=True)
class Propagation:
    """What the place of each client does to its signal, [clients] each.

    Attributes:
        loss_db: Path loss and shadowing.
        k_factor: Power of the direct path over the scattered power (linear); 0 is Rayleigh fading.
    """

    loss_db: Array
    k_factor: Array


@dataclass(frozen=True, eq=False)
class Station:
    """A base station.

    Attributes:
        number: Its number; the fields of different numbers are independent.
        xy_m: Its ground coordinates, [2].
        nearest_m: Distance within which loss is what it is there.
    """

    number: int
    xy_m: Array
    nearest_m: float = 0.0

    def distance_m(self, xy: Array) -> Array:
        """Ground distance of places [n, 2], [n]."""
        ground_m: Array = np.hypot(xy[:, 0] - self.xy_m[0], xy[:, 1] - self.xy_m[1])
        return ground_m

    def seed(self, seed: int) -> int:
        """A seed of its own; the scenario's for station 0."""
        return randomness.subseed(seed, "station", self.number) if self.number else seed


def propagate(
    config: NetworkConfig, xy: Array, seed: int, clients: Index, station: Station
) -> Propagation:
    """Loss and K factor between a station and its clients [n] at the places `xy` [n, 2].

    Above the distances that TR 38.901 covers its formulas are taken beyond their range; only
    `build_stations` refuses them.
    """
    ground_m = np.maximum(station.distance_m(xy), station.nearest_m)
    if isinstance(config.path_loss, Tr38901PathLoss):
        return _tr38901(config, config.path_loss, xy, ground_m, seed, clients, station)
    loss_db = simple_loss_db(config.path_loss, ground_m, config.carrier_hz)
    return Propagation(
        loss_db + _lognormal_db(config.shadowing, xy, seed, station),
        _given_k(config.fading, len(xy)),
    )


def build_stations(config: NetworkConfig, steps: Steps, stations_xy: Array) -> tuple[Station, ...]:
    """Stations at [cells, 2], once it is known that the path loss covers a client's own.

    Raises:
        InputError: If TR 38.901 is asked for a distance or a carrier outside its range, or a path
            loss of the user's own cannot be used.
    """
    nearest_m, farthest_m = reach_m(config)
    clamp_m = 0.0  # a client that is put at a distance from the only station is not nearer
    if steps.moving or len(stations_xy) > 1:
        clamp_m = nearest_m = min(nearest_m, config.cells.min_distance_m)
    stations = tuple(Station(number, xy, clamp_m) for number, xy in enumerate(stations_xy))
    if isinstance(steps.mobility, PositionTrace):
        corners_m = steps.mobility.corners_m
        own_m = np.min([station.distance_m(corners_m) for station in stations], axis=0)
        farthest_m = max(clamp_m, float(own_m.max()))
    elif steps.moving:
        farthest_m = max(farthest_m, config.cells.radius_m)
    if isinstance(config.path_loss, Tr38901PathLoss):
        table = environment(config.path_loss.environment)
        table.check(nearest_m, farthest_m, config.carrier_hz)
    elif isinstance(config.path_loss, CustomPathLoss):
        simple_loss_db(config.path_loss, np.array([nearest_m, farthest_m]), config.carrier_hz)
    return stations


def _tr38901(
    config: NetworkConfig,
    model: Tr38901PathLoss,
    xy: Array,
    ground_m: Array,
    seed: int,
    clients: Index,
    station: Station,
) -> Propagation:
    table = environment(model.environment)
    los = _line_of_sight(model, table, xy, ground_m, seed, station)
    loss_db = np.where(
        los,
        table.los_loss_db(ground_m, config.carrier_hz),
        table.nlos_loss_db(ground_m, config.carrier_hz),
    )
    if isinstance(config.shadowing, Tr38901Shadowing):
        field = np.empty(len(xy))
        for seen, state in ((los, "los"), (~los, "nlos")):
            decorrelation_m = getattr(table, state)["decorrelation_m"]
            field[seen] = gaussian_field(
                seed, f"shadowing.{state}", station.number, xy[seen], decorrelation_m
            )
        loss_db = loss_db + table.sigma_db(ground_m, config.carrier_hz, los) * field
    else:
        loss_db = loss_db + _lognormal_db(config.shadowing, xy, seed, station)

    if isinstance(config.fading, Rician) and config.fading.k_factor_db == "auto":
        spread_db = randomness.normal(station.seed(seed), "k_factor", clients)
        k_db = table.k_factor_mean_db + table.k_factor_sigma_db * spread_db
        return Propagation(loss_db, np.where(los, 10.0 ** (k_db / 10.0), 0.0))
    return Propagation(loss_db, _given_k(config.fading, len(xy)))


def _line_of_sight(
    model: Tr38901PathLoss,
    table: Environment,
    xy: Array,
    ground_m: Array,
    seed: int,
    station: Station,
) -> NDArray[np.bool_]:
    if model.los == "auto":
        probability = table.probability_of_los(ground_m)
        return line_of_sight(seed, station.number, xy, table.los_decorrelation_m, probability)
    return np.full(len(xy), model.los == "always")


def _lognormal_db(shadowing: Shadowing, xy: Array, seed: int, station: Station) -> Array:
    """Shadowing that does not come from TR 38.901: log-normal, or none."""
    if not isinstance(shadowing, LognormalShadowing):
        return np.zeros(len(xy))
    field = gaussian_field(seed, "shadowing", station.number, xy, shadowing.decorrelation_m)
    return float(shadowing.sigma_db) * field


def _given_k(fading: Fading, clients: int) -> Array:
    """K factor written in the scenario; 0 where fading has none."""
    if isinstance(fading, Rician) and isinstance(fading.k_factor_db, float):
        return np.full(clients, 10.0 ** (fading.k_factor_db / 10.0))
    return np.zeros(clients)
