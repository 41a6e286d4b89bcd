"""Where the base stations are, and the wires between them and the server.

A cell's route is the path to the server with the least latency, sum over its edges; of those
equally fast, one with the fewest edges. A limited edge carries its rate in each direction at once,
divided max-min fairly among the cells routed over it (`max_min_rates`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.topology import (
    GraphTopology,
    HexGridTopology,
    RandomTopology,
    SingleTopology,
)

if TYPE_CHECKING:
    import networkx as nx  # slow to import, and a star needs no paths

Floats = NDArray[np.float64]

SERVER = "server"  # its name in the topologies made here

_TRIES = 10_000  # places tried for a random station
_STEPS = ((-1, 1), (-1, 0), (0, -1), (1, -1), (1, 0), (0, 1))  # round a ring, anticlockwise
_TICK_S = 1e-12  # latencies are compared in these, so that 1 ms + 2 ms ties with 3 ms
_MOST_HOPS = 1 << 20


@dataclass(frozen=True, eq=False)
class Topology:
    """Base stations, and how each is wired to the server.

    Attributes:
        xy_m: Ground coordinates of the stations, [cells, 2].
        names: Node of each cell in the graph, [cells].
        make_graph: Makes `graph`.
        routes: Nodes from the server to each cell, both included, [cells].
        latency_s: Delay of each cell's route, one way, [cells].
        backhaul_bps: Rate of each cell's route, each way; inf if unlimited, [cells].
    """

    xy_m: Floats
    names: tuple[str, ...]
    make_graph: Callable[[], nx.Graph[str]]
    routes: tuple[tuple[str, ...], ...]
    latency_s: Floats
    backhaul_bps: Floats

    @cached_property
    def graph(self) -> nx.Graph[str]:
        """Nodes with `kind` (server, cell or router) and `xy_m` (None if it has no place).

        Edges have `latency_s` and `rate_bps` (inf if unlimited).
        """
        return self.make_graph()

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.names)


def build_topology(config: NetworkConfig, seed: int) -> Topology:
    """The topology that a scenario asks for; random ones are a pure function of the seed.

    Raises:
        InputError: If random stations find no place, or a graph's file cannot be used.
    """
    topology = config.topology
    if isinstance(topology, GraphTopology):
        from wirelessfl.network.topology_file import read_graph

        return from_graph(read_graph(Path(topology.file), topology.sha256, config.backhaul))
    rate_bps = math.inf if config.backhaul.rate_bps is None else config.backhaul.rate_bps
    edge = {"latency_s": config.backhaul.latency_s, "rate_bps": rate_bps}
    if isinstance(topology, RandomTopology):
        return from_graph(_tree(random_stations(topology, config.cells.radius_m, seed), edge))
    if isinstance(topology, HexGridTopology):
        between_m = topology.inter_site_distance_m or math.sqrt(3.0) * config.cells.radius_m
        return _star(between_m * hex_centres(topology.rings), edge)
    assert isinstance(topology, SingleTopology)
    return _star(np.zeros((1, 2)), edge)


def from_graph(graph: nx.Graph[str]) -> Topology:
    """The topology of a connected graph with the attributes that `Topology` documents."""
    import networkx as nx

    server = next(name for name in graph if graph.nodes[name]["kind"] == "server")
    names = tuple(name for name in graph if graph.nodes[name]["kind"] == "cell")

    def weight(_: str, __: str, edge: dict[str, Any]) -> int:
        ticks: int = round(edge["latency_s"] / _TICK_S)
        return ticks * _MOST_HOPS + 1

    paths = nx.single_source_dijkstra_path(graph, server, weight=weight)
    routes = tuple(tuple(paths[name]) for name in names)
    return Topology(
        xy_m=np.array([graph.nodes[name]["xy_m"] for name in names]),
        names=names,
        make_graph=lambda: graph,
        routes=routes,
        latency_s=np.array(
            [sum(graph.edges[edge]["latency_s"] for edge in nx.utils.pairwise(r)) for r in routes],
            dtype=float,
        ),
        backhaul_bps=_backhaul_bps(graph, routes),
    )


def hex_centres(rings: int) -> Floats:
    """Centres of hexagons in rings around the origin, a distance of 1 apart, [cells, 2].

    In axial coordinates (q, r) a centre is at (q + r/2, sqrt(3)/2 r); ring k begins at (k, 0).
    """
    axial = [(0, 0)]
    for ring in range(1, rings + 1):
        q, r = ring, 0
        for step_q, step_r in _STEPS:
            for _ in range(ring):
                axial.append((q, r))
                q, r = q + step_q, r + step_r
    column, row = np.array(axial, dtype=float).T
    return np.stack([column + row / 2.0, math.sqrt(3.0) / 2.0 * row], axis=1)


def random_stations(config: RandomTopology, radius_m: float, seed: int) -> Floats:
    """Simple sequential inhibition: each station takes the first place far enough from the others.

    (Diggle, "Statistical Analysis of Spatial Point Patterns", 2nd ed. 2003, section 6.5.)
    A station's place depends on those before it, not on how many follow.

    Args:
        config: How many, where, how far apart.
        radius_m: Radius of a cell, for what `config` leaves open.
        seed: The scenario's seed.

    Returns:
        Ground coordinates, [cells, 2].

    Raises:
        InputError: If a station finds no place.
    """
    size_m = config.size_m or math.sqrt(config.count) * radius_m
    apart_m = config.min_separation_m or radius_m
    xy_m = np.empty((config.count, 2))
    for station in range(config.count):
        first, tries = 0, 8
        while True:
            tried = np.arange(first, first + tries)
            u, v = (
                randomness.uniform(seed, f"topology.{axis}", station, tried) for axis in ("u", "v")
            )
            if config.area == "disc":
                distance_m, angle = size_m * np.sqrt(u), 2.0 * np.pi * v
                place = np.stack([distance_m * np.cos(angle), distance_m * np.sin(angle)], axis=1)
            else:
                place = size_m * np.stack([2.0 * u - 1.0, 2.0 * v - 1.0], axis=1)
            gap_m = np.hypot(*np.moveaxis(place[:, None] - xy_m[:station], -1, 0))
            free = (gap_m >= apart_m).all(axis=1)
            if free.any():
                xy_m[station] = place[free.argmax()]
                break
            first, tries = first + tries, min(8 * tries, 512)
            if first >= _TRIES:
                raise InputError(
                    f"network.topology: no place for station {station + 1} of {config.count} that "
                    f"is {apart_m:g} m from the others in a {config.area} of size {size_m:g} m; "
                    "allow a smaller min_separation or a larger size"
                )
    return xy_m


def max_min_rates(used: Sequence[Sequence[int]], rate_bps: Floats) -> Floats:
    """Max-min fair rates of flows over fixed routes: no rate can grow but at a smaller one's cost.

    Progressive filling: all rates grow alike until an edge is full, which fixes the rates over it.
    (Bertsekas and Gallager, "Data Networks", 2nd ed. 1992, section 6.5.2.)

    Args:
        used: The edges on each flow's route, [flows].
        rate_bps: Rate of each edge, inf if unlimited, [edges].

    Returns:
        Rate of each flow, inf where nothing limits it, [flows].
    """
    if len({e for edges in used for e in edges}) == sum(map(len, used)):  # nothing is shared
        return np.array([min((rate_bps[e] for e in edges), default=math.inf) for edges in used])
    from scipy.sparse import coo_array  # slow to import

    flow = np.repeat(np.arange(len(used)), [len(edges) for edges in used])
    edge = np.array([e for edges in used for e in edges], dtype=np.int64)
    shape = (len(rate_bps), len(used))
    over = coo_array((np.ones(len(edge)), (edge, flow)), shape=shape).tocsr()
    flows_bps = np.full(len(used), math.inf)
    left_bps, growing = rate_bps.copy(), np.ones(len(used))
    while True:
        sharing = np.asarray(over @ growing)
        level_bps = np.divide(
            left_bps, sharing, out=np.full(len(rate_bps), math.inf), where=sharing > 0
        )
        lowest_bps = level_bps.min(initial=math.inf)
        if math.isinf(lowest_bps):
            return flows_bps
        full = (level_bps <= lowest_bps * (1.0 + 1e-12)).astype(float)
        stopped = (over.T @ full > 0) & (growing > 0)
        flows_bps[stopped] = lowest_bps
        growing[stopped] = 0.0
        left_bps = np.maximum(left_bps - lowest_bps * (over @ stopped.astype(float)), 0.0)


def _backhaul_bps(graph: nx.Graph[str], routes: Sequence[Sequence[str]]) -> Floats:
    from networkx.utils import pairwise

    number = {frozenset(edge): index for index, edge in enumerate(graph.edges)}
    used = [[number[frozenset(edge)] for edge in pairwise(route)] for route in routes]
    return max_min_rates(used, np.array([graph.edges[edge]["rate_bps"] for edge in graph.edges]))


def _star(xy_m: Floats, edge: dict[str, float]) -> Topology:
    """Every cell has its own edge to a server that is nowhere in particular."""
    names = tuple(_name(cell) for cell in range(len(xy_m)))
    return Topology(
        xy_m=xy_m,
        names=names,
        make_graph=partial(_star_graph, xy_m, edge),
        routes=tuple((SERVER, name) for name in names),
        latency_s=np.full(len(names), edge["latency_s"]),
        backhaul_bps=np.full(len(names), edge["rate_bps"]),
    )


def _star_graph(xy_m: Floats, edge: dict[str, float]) -> nx.Graph[str]:
    graph = _stations(xy_m, server_xy_m=None)
    graph.add_edges_from((SERVER, _name(cell), edge) for cell in range(len(xy_m)))
    return graph


def _tree(xy_m: Floats, edge: dict[str, float]) -> nx.Graph[str]:
    """A minimum spanning tree over distances; the server is at the station nearest the centre."""
    from scipy.sparse.csgraph import minimum_spanning_tree  # slow to import
    from scipy.spatial.distance import pdist, squareform

    root = int(np.hypot(*xy_m.T).argmin())
    graph = _stations(xy_m, server_xy_m=xy_m[root])
    tree = minimum_spanning_tree(squareform(pdist(xy_m))).tocoo()
    ends = zip(tree.row.tolist(), tree.col.tolist(), strict=True)
    graph.add_edges_from((_name(a), _name(b), edge) for a, b in sorted(ends))
    graph.add_edge(SERVER, _name(root), latency_s=0.0, rate_bps=math.inf)
    return graph


def _stations(xy_m: Floats, server_xy_m: Floats | None) -> nx.Graph[str]:
    import networkx as nx

    graph: nx.Graph[str] = nx.Graph()
    place = None if server_xy_m is None else (float(server_xy_m[0]), float(server_xy_m[1]))
    graph.add_node(SERVER, kind="server", xy_m=place)
    for cell, (x_m, y_m) in enumerate(xy_m.tolist()):
        graph.add_node(_name(cell), kind="cell", xy_m=(x_m, y_m))
    return graph


def _name(cell: int) -> str:
    return f"cell-{cell}"
