"""A picture of a network: its cells, the wires behind them, and who is served by which.

The area of a cell is where its station is the nearest, within the cells' radius.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, MultipleLocator
from numpy.typing import NDArray
from scipy.spatial import Voronoi

from wirelessfl.network.channel import build_channel
from wirelessfl.network.fading import Index
from wirelessfl.network.topology import Topology, build_topology
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.units import DATA_RATE, TIME
from wirelessfl.trace.plots import COLOURS, STYLE, save_figure

Floats = NDArray[np.float64]
Places = dict[str, tuple[float, float]]

_WIRE = "#444444"
_MOST_LABELS = 25  # edges labelled one by one; beyond, the legend gives the range
_MARKERS = {"cell": "^", "server": "s", "router": "D"}


def draw_network(config: NetworkConfig, clients: int, seed: int, path: Path) -> Topology:
    """Draw the network of a scenario as its clients find it at time 0; PNG with SVG beside it.

    Replayed clients have no place and are left out.

    Raises:
        InputError: As `build_topology` and `build_channel`.
    """
    topology = build_topology(config, seed)
    radius_m = config.cells.radius_m
    if config.replay is not None:
        draw(topology, radius_m, path)
        return topology
    channel, everyone = build_channel(config, clients, seed, topology.xy_m), np.arange(clients)
    xy_m, serving = channel.positions_m(everyone, 0.0), channel.serving(everyone, 0.0)
    draw(topology, radius_m, path, xy_m, serving)
    return topology


def draw(
    topology: Topology,
    radius_m: float,
    path: Path,
    clients_xy_m: Floats | None = None,
    serving: Index | None = None,
) -> None:
    """Draw stations, areas, wires and clients as PNG, with SVG beside it.

    Args:
        topology: What to draw.
        radius_m: Radius of every cell.
        path: Where to write; the suffix is replaced by .png and .svg.
        clients_xy_m: Ground coordinates of the clients, [clients, 2].
        serving: The cell of each client, [clients].
    """
    places = _places(topology, radius_m)
    points = np.array(list(places.values()))
    if clients_xy_m is not None:
        points = np.concatenate([points, clients_xy_m])
    reach = np.concatenate([topology.xy_m - radius_m, topology.xy_m + radius_m, points])
    low, high = reach.min(axis=0), reach.max(axis=0)
    scale, unit = (1e3, "km") if (high - low).max() >= 2e3 else (1.0, "m")
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        width, height = (high - low) / (high - low).max() * 6.4
        figure = Figure(figsize=(max(width, 4.6) + 0.9, max(height, 3.0) + 1.1))
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        regions, colours = _areas(topology, radius_m)
        for region, xy_m, colour in zip(regions, topology.xy_m, colours, strict=True):
            _area(axes, region / scale, xy_m / scale, radius_m / scale, colour)
        drawn = {name: (x / scale, y / scale) for name, (x, y) in places.items()}
        note = _wires(axes, topology.graph, drawn)
        if clients_xy_m is not None and serving is not None:
            size = float(np.clip(2500.0 / len(serving), 1.0, 26.0))
            axes.scatter(
                clients_xy_m[:, 0] / scale,
                clients_xy_m[:, 1] / scale,
                s=size,
                c=np.array(COLOURS)[np.array(colours)[serving]],
                edgecolors="white",
                linewidths=0.5 if size > 5 else 0.0,
                zorder=3,
                rasterized=len(serving) > 5000,
            )
        _nodes(axes, topology.graph, drawn)
        axes.set_aspect("equal")
        margin = 0.04 * (high - low).max()
        left, bottom = ((low - margin) / scale).tolist()
        right, top = ((high + margin) / scale).tolist()
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        axes.set_xlabel(f"x ({unit})")
        axes.set_ylabel(f"y ({unit})")
        ticks = MaxNLocator(nbins=7).tick_values(0.0, float((high - low).max()) / scale)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MultipleLocator(ticks[1] - ticks[0]))
        _legend(figure, topology, note, 0 if serving is None else len(serving))
        save_figure(figure, path)


def _places(topology: Topology, radius_m: float) -> Places:
    """Where each node is drawn: those without a place, or at a cell's, stand beside it."""
    graph = topology.graph
    places: Places = {name: graph.nodes[name]["xy_m"] for name in topology.names}
    for name in graph:
        if name in places:
            continue
        xy_m = graph.nodes[name]["xy_m"]
        if xy_m is None:
            known = [places.get(n) or graph.nodes[n]["xy_m"] for n in graph.neighbors(name)]
            near = [place for place in known if place is not None] or list(places.values())
            xy_m = tuple(np.mean(near, axis=0).tolist())
        while any(math.dist(xy_m, other) < 0.2 * radius_m for other in places.values()):
            xy_m = (xy_m[0] + 0.17 * radius_m, xy_m[1] + 0.36 * radius_m)
        places[name] = xy_m
    return places


def _areas(topology: Topology, radius_m: float) -> tuple[list[Floats], list[int]]:
    """Each cell's Voronoi polygon [corners, 2], and colours that differ between neighbours.

    Four far points close the polygons at the border.
    """
    centre = topology.xy_m.mean(axis=0)
    far_m = 20.0 * (np.abs(topology.xy_m - centre).max() + radius_m)
    around = centre + far_m * np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    voronoi = Voronoi(np.concatenate([topology.xy_m, around]))
    regions: list[Floats] = []
    for cell in range(topology.cells):
        corners = voronoi.vertices[voronoi.regions[voronoi.point_region[cell]]]
        angle = np.arctan2(*(corners - topology.xy_m[cell]).T[::-1])
        regions.append(corners[np.argsort(angle)])
    touching: nx.Graph[int] = nx.Graph()
    touching.add_nodes_from(range(topology.cells))
    pairs = voronoi.ridge_points[(voronoi.ridge_points < topology.cells).all(axis=1)]
    touching.add_edges_from(pairs.tolist())
    colour: dict[int, int] = nx.greedy_color(touching, strategy="DSATUR")
    return regions, [colour[cell] % len(COLOURS) for cell in range(topology.cells)]


def _area(axes: Axes, corners: Floats, centre: Floats, radius: float, colour: int) -> None:
    tint = tuple(1.0 - 0.17 * (1.0 - part) for part in to_rgb(COLOURS[colour]))
    circle = Circle((float(centre[0]), float(centre[1])), radius, transform=axes.transData)
    area = Polygon(corners, facecolor=tint, edgecolor="white", linewidth=2.5, zorder=1)
    axes.add_patch(area)
    area.set_clip_path(circle)


def _wires(axes: Axes, graph: nx.Graph[str], places: Places) -> str:
    """Draw the edges; label them where they differ, else say for the legend what all are."""
    labels = {(a, b): _label(graph.edges[a, b]) for a, b in graph.edges}
    told = sorted({label for label in labels.values() if label})
    each = len(told) > 1 and len(labels) <= _MOST_LABELS
    thick = 1.4 if len(labels) <= _MOST_LABELS else 0.7
    for (a, b), label in labels.items():
        ends = np.array([places[a], places[b]])
        axes.plot(*ends.T, color=_WIRE, linewidth=thick, zorder=2, solid_capstyle="round")
        if each and label:
            axes.annotate(
                label.replace(", ", "\n"),
                tuple(ends.mean(axis=0).tolist()),
                ha="center",
                va="center",
                fontsize=7,
                color=_WIRE,
                linespacing=1.1,
                bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "linewidth": 0},
                zorder=5,
            )
    if each or not told:
        return "backhaul" if told else "backhaul (no delay, no limit)"
    return f"backhaul ({told[0]} each)" if len(told) == 1 else "backhaul (edges differ)"


def _label(edge: dict[str, Any]) -> str:
    """'5 ms, 1 Gbit/s', without what does not matter."""
    parts = [TIME.format(edge["latency_s"])] if edge["latency_s"] > 0 else []
    if math.isfinite(edge["rate_bps"]):
        parts.append(DATA_RATE.format(edge["rate_bps"]))
    return ", ".join(parts)


def _nodes(axes: Axes, graph: nx.Graph[str], places: Places) -> None:
    named = len(places) <= _MOST_LABELS
    for name, (x, y) in places.items():
        kind = graph.nodes[name]["kind"]
        axes.plot(x, y, zorder=6, **_marker(kind))
        if named:
            axes.annotate(
                name.removeprefix("cell-"),
                (x, y),
                xytext=(0, -13 if kind == "cell" else 9),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold" if kind == "server" else "normal",
                parse_math=False,
                path_effects=[withStroke(linewidth=2.0, foreground="white")],
                zorder=7,
            )


def _marker(kind: str) -> dict[str, Any]:
    size = {"cell": 9.0, "server": 10.0, "router": 7.0}[kind]
    face = "white" if kind == "router" else "black"
    edge = "black" if kind == "router" else "white"
    return {
        "marker": _MARKERS[kind],
        "markersize": size,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "linestyle": "none",
    }


def _legend(figure: Figure, topology: Topology, note: str, clients: int) -> None:
    kinds = [topology.graph.nodes[name]["kind"] for name in topology.graph]
    handles = [
        Line2D([], [], label=label, **_marker(kind))
        for kind, label in (("cell", "base station"), ("server", "server"), ("router", "router"))
        if kind in kinds
    ]
    handles.append(Line2D([], [], color=_WIRE, linewidth=1.4, label=note))
    if clients:
        dot: dict[str, Any] = {
            "marker": "o",
            "markersize": 5,
            "color": COLOURS[0],
            "linestyle": "none",
        }
        handles.append(Line2D([], [], label="client, coloured by its cell", **dot))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
