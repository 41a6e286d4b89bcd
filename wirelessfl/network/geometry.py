"""Where clients stand: ground positions around their base stations.

Uniform over the ring r0 <= r <= R: r = sqrt(r0^2 + u (R^2 - r0^2)), since area grows as r^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.place import Cells, FixedPlacement, Placement

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Disc:
    """A disc on the ground.

    Attributes:
        centre_m: Coordinates of its centre, [2].
        radius_m: Its radius.
    """

    centre_m: Array
    radius_m: float

    def random_places(self, seed: int, stream: str, *counters: ArrayLike) -> Array:
        """Uniform places; arguments as for `randomness.bits`, [..., 2]."""
        radius_m = self.radius_m * np.sqrt(randomness.uniform(seed, f"{stream}.radius", *counters))
        angle = 2.0 * np.pi * randomness.uniform(seed, f"{stream}.angle", *counters)
        offset = np.stack([radius_m * np.cos(angle), radius_m * np.sin(angle)], axis=-1)
        return np.asarray(self.centre_m + offset)


def positions(
    placement: Placement, cells: Cells, clients: int, seed: int, stations_xy: Array | None = None
) -> Array:
    """Ground coordinates in metres, [clients, 2]; a client's place depends on no other client.

    Each client is put around a uniformly chosen one of the stations [cells, 2], or around the
    origin if there are none. With fixed distances client n is around station n mod cells.

    Raises:
        InputError: If the number of fixed distances fits neither one nor all clients.
    """
    client = np.arange(clients)
    if isinstance(placement, FixedPlacement):
        if len(placement.distances_m) not in (1, clients):
            raise InputError(
                f"network.placement.distances has {len(placement.distances_m)} values for "
                f"{clients} clients; give one for each client, or a single one for all"
            )
        distance = np.broadcast_to(np.asarray(placement.distances_m), clients)
    else:
        u = randomness.uniform(seed, "placement.distance", client)
        inner, outer = cells.min_distance_m**2, cells.radius_m**2
        distance = np.sqrt(inner + u * (outer - inner))
    angle = 2.0 * np.pi * randomness.uniform(seed, "placement.angle", client)
    offset = np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)
    if stations_xy is None:
        return offset
    if isinstance(placement, FixedPlacement):
        cell = client % len(stations_xy)
    else:
        chosen = randomness.uniform(seed, "placement.cell", client) * len(stations_xy)
        cell = chosen.astype(np.int64)
    return np.asarray(stations_xy[cell] + offset)


def reach_m(config: NetworkConfig) -> tuple[float, float]:
    """The nearest and the farthest that `placement` puts clients from their base station."""
    if isinstance(config.placement, FixedPlacement):
        return min(config.placement.distances_m), max(config.placement.distances_m)
    return config.cells.min_distance_m, config.cells.radius_m


def area(config: NetworkConfig, stations_xy: Array) -> Disc:
    """The ground that moving clients roam: a disc around all cells.

    Its centre is that of the box around the stations [cells, 2], its radius the distance to the
    farthest of them plus a cell's radius (or the farthest fixed distance, if that is more).
    """
    centre_m = (stations_xy.min(axis=0) + stations_xy.max(axis=0)) / 2.0
    farthest_m = float(np.hypot(*(stations_xy - centre_m).T).max())
    return Disc(centre_m, farthest_m + max(config.cells.radius_m, reach_m(config)[1]))
