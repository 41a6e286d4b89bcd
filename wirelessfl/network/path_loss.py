"""Mean loss between antennas over distance, and how likely a line of sight is.

PL_NLOS = max(PL_LOS, PL'_NLOS) in each environment of TR 38.901, whose constants are read from
`data/tr38901.yaml`. d is the 3-D distance in m, f the carrier in GHz.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.errors import InputError
from wirelessfl.network.tables import load_table
from wirelessfl.scenario.custom import build_custom
from wirelessfl.scenario.radio import (
    CustomPathLoss,
    FixedPathLoss,
    FreeSpacePathLoss,
    LogDistancePathLoss,
)

Array = NDArray[np.float64]
SPEED_OF_LIGHT_MPS = 299_792_458.0


@dataclass(frozen=True)
class Environment(ABC):
    """One environment of TR 38.901; the data file names the table behind each field."""

    name: str
    base_station_height_m: float
    user_height_m: float
    distance_range_m: tuple[float, float]
    carrier_range_hz: tuple[float, float]
    los: dict[str, float]
    nlos: dict[str, float]
    los_probability: dict[str, Any]
    los_decorrelation_m: float
    k_factor_mean_db: float
    k_factor_sigma_db: float

    @abstractmethod
    def breakpoint_m(self, carrier_hz: float) -> float:
        """Ground distance beyond which LOS loss grows with 40 dB per decade; inf indoors."""

    @abstractmethod
    def los_loss_db(self, ground_m: Array, carrier_hz: float) -> Array:
        """Loss with line of sight (Table 7.4.1-1) at each ground distance."""

    def nlos_loss_db(self, ground_m: Array, carrier_hz: float) -> Array:
        """Loss without line of sight (Table 7.4.1-1), never below the loss with it."""
        loss = self._nlos_only_db(self._distance_3d(ground_m), carrier_hz / 1e9)
        return np.maximum(loss, self.los_loss_db(ground_m, carrier_hz))

    @abstractmethod
    def _nlos_only_db(self, d: Array, f: float) -> Array:
        """PL'_NLOS of Table 7.4.1-1."""

    def probability_of_los(self, ground_m: Array) -> Array:
        """Probability of a line of sight (Table 7.4.2-1) at each ground distance."""
        if "street" in self.los_probability:
            street: dict[str, float] = self.los_probability["street"]
            near = np.minimum(street["near_m"] / ground_m, 1.0)
            return near + np.exp(-ground_m / street["decay_m"]) * (1.0 - near)
        probability = np.ones_like(ground_m)
        for piece in self.los_probability["pieces"]:
            past = ground_m - piece["from_m"]
            tail = piece["scale"] * np.exp(-past / piece["decay_m"])
            probability = np.where(past > 0.0, tail, probability)
        return probability

    def sigma_db(self, ground_m: Array, carrier_hz: float, los: NDArray[np.bool_]) -> Array:
        """Standard deviation of shadowing (Table 7.4.1-1)."""
        near = self.los["sigma_db"]
        beyond = self.los.get("sigma_beyond_db", near)
        with_los = np.where(ground_m <= self.breakpoint_m(carrier_hz), near, beyond)
        return np.where(los, with_los, self.nlos["sigma_db"])

    def check(self, nearest_m: float, farthest_m: float, carrier_hz: float) -> None:
        """Raise InputError where the specification has no path loss to offer."""
        low, high = self.distance_range_m
        if not low <= nearest_m <= farthest_m <= high:
            raise InputError(
                f"network: clients stand {nearest_m:g} m to {farthest_m:g} m from the base station,"
                f" but TR 38.901 {self.name} covers {low:g} m to {high:g} m; change network.cells "
                "(radius, min_distance), network.placement or network.path_loss"
            )
        low, high = self.carrier_range_hz
        if not low <= carrier_hz <= high:
            raise InputError(
                f"network.carrier: {carrier_hz / 1e9:g} GHz is outside the {low / 1e9:g} GHz to "
                f"{high / 1e9:g} GHz of TR 38.901 {self.name}"
            )

    def _distance_3d(self, ground_m: Array) -> Array:
        return np.hypot(ground_m, self.base_station_height_m - self.user_height_m)


@dataclass(frozen=True)
class Urban(Environment):
    """UMa, UMi and InH: straight lines over lg d, in LOS with a breakpoint outdoors."""

    def breakpoint_m(self, carrier_hz: float) -> float:
        """4 (hBS - 1) (hUT - 1) f / c: effective heights over a 1 m high environment."""
        if "breakpoint" not in self.los:
            return math.inf
        heights = (self.base_station_height_m - 1.0) * (self.user_height_m - 1.0)
        return 4.0 * heights * carrier_hz / _velocity_mps()

    def los_loss_db(self, ground_m: Array, carrier_hz: float) -> Array:
        """PL1, and PL2 beyond the breakpoint."""
        c, b = self.los, self.breakpoint_m(carrier_hz)
        decades = np.log10(self._distance_3d(ground_m))
        near = c["constant"] + c["carrier"] * math.log10(carrier_hz / 1e9)
        loss: Array = near + c["distance"] * decades
        if math.isinf(b):
            return loss
        rise = self.base_station_height_m - self.user_height_m
        beyond = near + 40.0 * decades - c["breakpoint"] * math.log10(b**2 + rise**2)
        return np.where(ground_m <= b, loss, beyond)

    def _nlos_only_db(self, d: Array, f: float) -> Array:
        c = self.nlos
        height = c["height"] * (self.user_height_m - 1.5)
        loss: Array = c["constant"] + c["distance"] * np.log10(d) + c["carrier"] * math.log10(f)
        return loss - height


@dataclass(frozen=True)
class Rural(Environment):
    """RMa: loss over roofs of mean height h and streets of mean width W."""

    building_height_m: float
    street_width_m: float

    def breakpoint_m(self, carrier_hz: float) -> float:
        """2 pi hBS hUT f / c."""
        heights = self.base_station_height_m * self.user_height_m
        return 2.0 * math.pi * heights * carrier_hz / _velocity_mps()

    def los_loss_db(self, ground_m: Array, carrier_hz: float) -> Array:
        """PL1, and PL1(breakpoint) + 40 lg(d / breakpoint) beyond it."""
        d, f, b = self._distance_3d(ground_m), carrier_hz / 1e9, self.breakpoint_m(carrier_hz)
        beyond = self._near_db(np.asarray(b), f) + 40.0 * np.log10(d / b)
        return np.where(ground_m <= b, self._near_db(d, f), beyond)

    def _near_db(self, d: Array, f: float) -> Array:
        h = self.building_height_m
        loss: Array = (
            20.0 * np.log10(40.0 * math.pi * d * f / 3.0)
            + min(0.03 * h**1.72, 10.0) * np.log10(d)
            - min(0.044 * h**1.72, 14.77)
            + 0.002 * math.log10(h) * d
        )
        return loss

    def _nlos_only_db(self, d: Array, f: float) -> Array:
        h, w = self.building_height_m, self.street_width_m
        base, user = self.base_station_height_m, self.user_height_m
        loss: Array = (
            161.04
            - 7.1 * math.log10(w)
            + 7.5 * math.log10(h)
            - (24.37 - 3.7 * (h / base) ** 2) * math.log10(base)
            + (43.42 - 3.1 * math.log10(base)) * (np.log10(d) - 3.0)
            + 20.0 * math.log10(f)
            - (3.2 * math.log10(11.75 * user) ** 2 - 4.97)
        )
        return loss


@cache
def environment(name: str) -> Environment:
    """The TR 38.901 environment called `name` in the data file."""
    row: dict[str, Any] = load_table("tr38901")["environments"][name]
    return Rural(name, **row) if "building_height_m" in row else Urban(name, **row)


def _velocity_mps() -> float:
    return float(load_table("tr38901")["propagation_velocity_mps"])


class PathLossModel(ABC):
    """A path loss of the user's own, which knows no line of sight; built anew for each use."""

    @abstractmethod
    def loss_db(self, ground_m: Array, carrier_hz: float) -> Array:
        """Loss between the antennas at each ground distance, of the same shape. [n]"""


def simple_loss_db(
    model: LogDistancePathLoss | FreeSpacePathLoss | FixedPathLoss | CustomPathLoss,
    ground_m: Array,
    carrier_hz: float,
) -> Array:
    """Loss of the models that know no line of sight, at each ground distance.

    Raises:
        InputError: If code of the user's own is no path loss, or gives no finite number for each.
    """
    if isinstance(model, CustomPathLoss):
        own = build_custom(model, PathLossModel, "network.path_loss")
        loss_db = np.asarray(own.loss_db(ground_m, carrier_hz), np.float64)
        if loss_db.shape != ground_m.shape or not np.isfinite(loss_db).all():
            raise InputError(
                f"network.path_loss: {model.target}: loss_db gave {loss_db!r:.200} for distances "
                f"of shape {ground_m.shape}; must be a finite number for each"
            )
        return loss_db
    if isinstance(model, LogDistancePathLoss):
        return np.asarray(model.loss_at_1km_db + model.slope_db * np.log10(ground_m / 1000.0))
    if isinstance(model, FreeSpacePathLoss):
        return 20.0 * np.log10(4.0 * np.pi * ground_m * carrier_hz / SPEED_OF_LIGHT_MPS)
    return np.full_like(ground_m, model.loss_db)
