"""Which base stations there are, and the wired network between them and the server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wirelessfl.scenario.base import Config, FileHash, FileName
from wirelessfl.scenario.units import BitsPerSecond, Metres, Seconds


class SingleTopology(Config):
    """One base station, at the origin, with an edge to the server."""

    kind: Literal["single"] = "single"


class HexGridTopology(Config):
    """Rings of hexagonal cells around the one at the origin, each with its own edge to the server.

    Cell 0 is in the middle; each ring is numbered anticlockwise from the east.
    """

    kind: Literal["hex_grid"] = "hex_grid"
    rings: int = Field(
        1, ge=0, le=50, description="Rings around the middle cell: 0, 1, 2 give 1, 7, 19 cells."
    )
    inter_site_distance_m: Metres | None = Field(
        None,
        gt=0,
        alias="inter_site_distance",
        description="Between neighbouring stations; null is sqrt(3) x cells.radius, with which "
        "hexagons of that circumradius tile the plane.",
    )


class RandomTopology(Config):
    """Stations at uniformly random places that keep a distance from one another.

    A minimum spanning tree over their distances joins them; the server stands at the station
    nearest the centre, whose edge to it has no latency and no limit.
    """

    kind: Literal["random"] = "random"
    count: int = Field(ge=1, le=2000, description="Number of stations.")
    area: Literal["disc", "square"] = Field("disc", description="Shape around the origin.")
    size_m: Metres | None = Field(
        None,
        gt=0,
        alias="size",
        description="Radius of the disc, or half the side of the square; null is "
        "sqrt(count) x cells.radius.",
    )
    min_separation_m: Metres | None = Field(
        None,
        gt=0,
        alias="min_separation",
        description="Least distance between two stations; null is cells.radius.",
    )


class GraphTopology(Config):
    """Stations and edges from a file: GraphML, or node-link JSON as networkx writes it.

    Nodes have `kind` (server, cell or router), cells also `x` and `y`; edges may have `latency` and
    `rate`, else `network.backhaul` says them. Plain numbers are m, s and bit/s; texts such as
    '300 m', '5 ms' and '1 Gbit/s' have units. Exactly one node is the server.
    """

    kind: Literal["graph"] = "graph"
    file: FileName = Field(
        min_length=1, description="A .graphml or .json file, relative to this one."
    )
    sha256: FileHash = None


TopologyConfig = Annotated[
    SingleTopology | HexGridTopology | RandomTopology | GraphTopology, Field(discriminator="kind")
]


class Backhaul(Config):
    """An edge of the wired network, where the topology does not say otherwise."""

    latency_s: Seconds = Field(
        0.0, ge=0, alias="latency", description="Delay of every edge, in each direction."
    )
    rate_bps: BitsPerSecond | None = Field(
        None,
        gt=0,
        alias="rate",
        description="Rate of every edge, in each direction; null is no limit.",
    )
