"""Large-scale propagation: what stays when small-scale fading is averaged away.

loss = path loss(distance, line of sight) + sigma * shadowing(place), in dB, for each client.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.network.path_loss import Array, Environment, environment, simple_loss_db
from wirelessfl.network.shadowing import gaussian_field, line_of_sight
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.place import UniformPlacement
from wirelessfl.scenario.radio import (
    Fading,
    LognormalShadowing,
    Rician,
    Shadowing,
    Tr38901PathLoss,
    Tr38901Shadowing,
)

_STATION = 0  # the only base station


@dataclass(frozen=True)
class Propagation:
    """What the place of each client does to its signal, [clients] each.

    Attributes:
        loss_db: Path loss and shadowing.
        k_factor: Power of the direct path over the scattered power (linear); 0 is Rayleigh fading.
    """

    loss_db: Array
    k_factor: Array


def propagate(config: NetworkConfig, xy: Array, seed: int) -> Propagation:
    """Loss and K factor at the ground coordinates `xy` [clients, 2].

    Raises:
        InputError: If a distance or the carrier is outside what TR 38.901 covers.
    """
    ground_m = np.hypot(xy[:, 0], xy[:, 1])
    if isinstance(config.path_loss, Tr38901PathLoss):
        return _tr38901(config, config.path_loss, xy, ground_m, seed)
    loss_db = simple_loss_db(config.path_loss, ground_m, config.carrier_hz)
    return Propagation(
        loss_db + _lognormal_db(config.shadowing, xy, seed), _given_k(config.fading, len(xy))
    )


def _tr38901(
    config: NetworkConfig, model: Tr38901PathLoss, xy: Array, ground_m: Array, seed: int
) -> Propagation:
    table = environment(model.environment)
    if isinstance(config.placement, UniformPlacement):  # refuse for every seed, or for none
        table.check(config.cells.min_distance_m, config.cells.radius_m, config.carrier_hz)
    else:
        table.check(float(ground_m.min()), float(ground_m.max()), config.carrier_hz)
    los = _line_of_sight(model, table, xy, ground_m, seed)
    loss_db = np.where(
        los,
        table.los_loss_db(ground_m, config.carrier_hz),
        table.nlos_loss_db(ground_m, config.carrier_hz),
    )
    if isinstance(config.shadowing, Tr38901Shadowing):
        field = np.where(
            los,
            gaussian_field(seed, "shadowing.los", _STATION, xy, table.los["decorrelation_m"]),
            gaussian_field(seed, "shadowing.nlos", _STATION, xy, table.nlos["decorrelation_m"]),
        )
        loss_db = loss_db + table.sigma_db(ground_m, config.carrier_hz, los) * field
    else:
        loss_db = loss_db + _lognormal_db(config.shadowing, xy, seed)

    if isinstance(config.fading, Rician) and config.fading.k_factor_db == "auto":
        spread_db = randomness.normal(seed, "k_factor", np.arange(len(xy)))
        k_db = table.k_factor_mean_db + table.k_factor_sigma_db * spread_db
        return Propagation(loss_db, np.where(los, 10.0 ** (k_db / 10.0), 0.0))
    return Propagation(loss_db, _given_k(config.fading, len(xy)))


def _line_of_sight(
    model: Tr38901PathLoss, table: Environment, xy: Array, ground_m: Array, seed: int
) -> NDArray[np.bool_]:
    if model.los == "auto":
        probability = table.probability_of_los(ground_m)
        return line_of_sight(seed, _STATION, xy, table.los_decorrelation_m, probability)
    return np.full(len(xy), model.los == "always")


def _lognormal_db(shadowing: Shadowing, xy: Array, seed: int) -> Array:
    """Shadowing that does not come from TR 38.901: log-normal, or none."""
    if not isinstance(shadowing, LognormalShadowing):
        return np.zeros(len(xy))
    field = gaussian_field(seed, "shadowing", _STATION, xy, shadowing.decorrelation_m)
    return float(shadowing.sigma_db) * field


def _given_k(fading: Fading, clients: int) -> Array:
    """K factor written in the scenario; 0 where fading has none."""
    if isinstance(fading, Rician) and isinstance(fading.k_factor_db, float):
        return np.full(clients, 10.0 ** (fading.k_factor_db / 10.0))
    return np.zeros(clients)
