"""The picture of a network shows the right areas and colours, and equal networks look equal."""

from __future__ import annotations

import math
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from matplotlib import pyplot as plt

from wirelessfl.network import map as network_map
from wirelessfl.network.map import draw, draw_network
from wirelessfl.network.topology import build_topology, from_graph
from wirelessfl.scenario.network import NetworkConfig, Replay
from wirelessfl.scenario.place import Cells
from wirelessfl.scenario.topology import Backhaul, HexGridTopology, RandomTopology

CONFIG = NetworkConfig(
    topology=HexGridTopology(rings=1), cells=Cells(radius_m=100.0), backhaul=Backhaul(rate_bps=1e9)
)


def test_the_middle_cell_of_a_grid_is_a_hexagon_of_the_cells_radius():
    regions, _ = network_map._areas(build_topology(CONFIG, 0), 100.0)
    corners = regions[0]
    assert np.hypot(*corners.T) == pytest.approx(np.full(6, 100.0))
    angles = np.sort(np.degrees(np.arctan2(*corners.T[::-1])) % 360)
    assert angles == pytest.approx(np.arange(30.0, 360.0, 60.0))


def test_neighbouring_cells_have_different_colours():
    config = RandomTopology(count=60, min_separation_m=1.0)
    topology = build_topology(NetworkConfig(topology=config), 0)
    regions, colours = network_map._areas(topology, 500.0)
    corners = [{(round(x, 3), round(y, 3)) for x, y in region.tolist()} for region in regions]
    neighbours = [(a, b) for a in range(60) for b in range(a) if len(corners[a] & corners[b]) >= 2]
    assert len(neighbours) > 100
    assert all(colours[a] != colours[b] for a, b in neighbours)


def test_nodes_in_the_way_of_a_station_stand_beside_it():
    topology = build_topology(CONFIG.model_copy(update={"topology": HexGridTopology(rings=0)}), 0)
    places = network_map._places(topology, 100.0)
    assert places["cell-0"] == (0.0, 0.0)
    assert 20.0 <= math.dist(places["server"], (0.0, 0.0)) <= 50.0


def test_edges_are_labelled_one_by_one_only_where_they_differ():
    axes = plt.figure().subplots()
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edge("a", "b", latency_s=0.005, rate_bps=1e9)
    graph.add_edge("b", "c", latency_s=0.005, rate_bps=1e9)
    places = {"a": (0.0, 0.0), "b": (1.0, 0.0), "c": (2.0, 0.0)}
    assert network_map._wires(axes, graph, places) == "backhaul (5 ms, 1 Gbit/s each)"
    assert [text.get_text() for text in axes.texts] == []
    graph.edges["b", "c"]["rate_bps"] = math.inf
    assert network_map._wires(axes, graph, places) == "backhaul"
    assert [text.get_text() for text in axes.texts] == ["5 ms\n1 Gbit/s", "5 ms"]
    plt.close("all")


def test_equal_networks_give_equal_files_and_clients_are_in_them(tmp_path: Path):
    for name, clients in (("a", 30), ("b", 30), ("c", 31)):
        draw_network(CONFIG, clients, 0, tmp_path / f"{name}.png")
    for suffix in ("png", "svg"):
        a, b, c = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "abc")
        assert a == b != c


def test_replayed_clients_have_no_place(tmp_path: Path):
    config = NetworkConfig(replay=Replay(file="not read"))
    assert draw_network(config, 5, 0, tmp_path / "a.png").cells == 1
    draw(build_topology(config, 0), config.cells.radius_m, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_graph_without_places_for_routers_can_be_drawn(tmp_path: Path):
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("server", kind="server", xy_m=None)
    graph.add_node("hub", kind="router", xy_m=None)
    for cell, x in enumerate((0.0, 900.0)):
        graph.add_node(f"{cell}", kind="cell", xy_m=(x, 0.0))
        graph.add_edge("hub", f"{cell}", latency_s=0.001 * cell, rate_bps=math.inf)
    graph.add_edge("server", "hub", latency_s=0.0, rate_bps=1e9)
    draw(from_graph(graph), 500.0, tmp_path / "a.png")
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_a_dollar_in_a_name_is_no_mathematics(tmp_path: Path):
    graph: nx.Graph[str] = nx.Graph()
    graph.add_node("$\\frac{$", kind="server", xy_m=None)
    graph.add_node("a$b$", kind="cell", xy_m=(0.0, 0.0))
    graph.add_edge("$\\frac{$", "a$b$", latency_s=0.0, rate_bps=1e9)
    draw(from_graph(graph), 500.0, tmp_path / "a.png")
    assert (tmp_path / "a.svg").stat().st_size > 1000  # as mathematics it cannot be read
