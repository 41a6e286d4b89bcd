"""Where clients stand: ground positions around their base stations.

Uniform over the ring r0 <= r <= R: r = sqrt(r0^2 + u (R^2 - r0^2)), since area grows as r^2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.place import Cells, FixedPlacement, Placement


def positions(
    placement: Placement,
    cells: Cells,
    clients: int,
    seed: int,
    stations_xy: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Ground coordinates in metres, [clients, 2]; a client's place depends on no other client.

    Each client is placed around a uniformly chosen one of the stations [cells, 2]; the origin is
    the only one if they are None. Fixed distances are from station n mod cells.

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
    cell = client % len(stations_xy)
    if not isinstance(placement, FixedPlacement):
        chosen = randomness.uniform(seed, "placement.cell", client) * len(stations_xy)
        cell = chosen.astype(np.int64)
    return np.asarray(stations_xy[cell] + offset, dtype=np.float64)
