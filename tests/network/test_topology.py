"""Stations, routes and what the wires carry."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.network.topology import (
    Topology,
    build_topology,
    from_graph,
    hex_centres,
    max_min_rates,
    random_stations,
)
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.place import Cells
from wirelessfl.scenario.topology import (
    Backhaul,
    HexGridTopology,
    RandomTopology,
    SingleTopology,
)


def build(topology, seed: int = 0, radius_m: float = 100.0, **backhaul) -> Topology:
    config = NetworkConfig(
        topology=topology, cells=Cells(radius_m=radius_m), backhaul=Backhaul(**backhaul)
    )
    return build_topology(config, seed)


def wired(*edges: tuple[str, str, float, float], cells: str) -> Topology:
    """A topology of edges (a, b, latency, rate) with server 's', the given cells and router 'r'."""
    graph: nx.Graph[str] = nx.Graph()
    for place, name in enumerate(cells):
        graph.add_node(name, kind="cell", xy_m=(float(place), 0.0))
    graph.add_node("s", kind="server", xy_m=None)
    graph.add_node("r", kind="router", xy_m=None)
    for a, b, latency_s, rate_bps in edges:
        graph.add_edge(a, b, latency_s=latency_s, rate_bps=rate_bps)
    return from_graph(graph)


def test_a_single_cell_is_at_the_origin_without_delay_or_limit():
    topology = build(SingleTopology())
    assert topology.xy_m.tolist() == [[0.0, 0.0]]
    assert topology.latency_s.tolist() == [0.0]
    assert topology.backhaul_bps.tolist() == [math.inf]


@pytest.mark.parametrize("config", [SingleTopology(), HexGridTopology(rings=2)])
@pytest.mark.parametrize("backhaul", [{}, {"latency_s": 0.005, "rate_bps": 1e9}])
def test_a_star_is_what_paths_through_its_graph_say(config, backhaul: dict[str, float]):
    star = build(config, **backhaul)
    by_paths = from_graph(star.graph)
    assert star.graph is star.graph
    assert (star.names, star.routes) == (by_paths.names, by_paths.routes)
    for name in ("xy_m", "latency_s", "backhaul_bps"):
        own, expected = getattr(star, name), getattr(by_paths, name)
        assert own.dtype == expected.dtype
        np.testing.assert_array_equal(own, expected)


def test_the_first_ring_of_a_hex_grid_by_hand():
    half, high = 0.5, math.sqrt(3) / 2
    expected = [(0, 0), (1, 0), (half, high), (-half, high), (-1, 0), (-half, -high), (half, -high)]
    assert np.allclose(hex_centres(1), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rings", [0, 1, 2, 5])
def test_hexagons_have_six_neighbours_at_distance_one(rings: int):
    xy = hex_centres(rings)
    assert len(xy) == 1 + 3 * rings * (rings + 1)
    gap = np.hypot(*(xy[:, None] - xy).T)
    assert (gap + np.eye(len(xy)) > 1 - 1e-12).all()
    inner = np.hypot(*xy.T) <= (rings - 1) * math.sqrt(3) / 2 + 1e-9  # not of the outermost ring
    assert (np.isclose(gap, 1.0).sum(axis=0)[inner] == 6).all()
    assert np.allclose(xy[: 1 + 3 * rings * (rings - 1)], hex_centres(max(rings - 1, 0))[: len(xy)])


def test_hex_cells_of_the_given_radius_tile_the_plane_unless_the_distance_is_given():
    topology = build(HexGridTopology(rings=1), radius_m=100.0)
    assert np.hypot(*topology.xy_m[1:].T) == pytest.approx(np.full(6, 100 * math.sqrt(3)))
    topology = build(HexGridTopology(rings=1, inter_site_distance_m=500.0))
    assert np.hypot(*topology.xy_m[1:].T) == pytest.approx(np.full(6, 500.0))


def test_every_hex_cell_has_its_own_edge_to_the_server():
    topology = build(HexGridTopology(rings=2), latency_s=0.005, rate_bps=1e9)
    assert topology.routes == tuple(("server", f"cell-{cell}") for cell in range(19))
    assert (topology.latency_s == 0.005).all()
    assert (topology.backhaul_bps == 1e9).all()


@pytest.mark.parametrize("area", ["disc", "square"])
def test_random_stations_are_inside_apart_and_a_function_of_the_seed(area):
    config = RandomTopology(count=40, area=area, size_m=1000.0, min_separation_m=120.0)
    xy = random_stations(config, 100.0, seed=7)
    inside = np.hypot(*xy.T) if area == "disc" else np.abs(xy).max(axis=1)
    assert inside.max() <= 1000.0
    gap = np.hypot(*(xy[:, None] - xy).T) + np.diag(np.full(40, np.inf))
    assert 120.0 <= gap.min() < 200.0
    assert (random_stations(config, 100.0, seed=7) == xy).all()
    assert not np.isclose(random_stations(config, 100.0, seed=8), xy).any()
    fewer = config.model_copy(update={"count": 10})
    assert (random_stations(fewer, 100.0, seed=7) == xy[:10]).all()


def test_random_stations_without_separation_fill_the_disc_uniformly():
    config = RandomTopology(count=1000, size_m=1.0, min_separation_m=1e-6)
    squared = np.square(random_stations(config, 1.0, seed=0)).sum(axis=1)
    # r^2 is uniform on [0, 1]: mean 1/2, standard error 1/sqrt(12 n)
    assert squared.mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * 1000))


def test_random_stations_that_do_not_fit_are_refused():
    config = RandomTopology(count=8, size_m=100.0, min_separation_m=150.0)
    with pytest.raises(InputError, match=r"no place for station \d of 8 that is 150 m"):
        random_stations(config, 100.0, seed=0)


def test_random_stations_are_joined_by_a_minimum_spanning_tree_around_the_server():
    topology = build(RandomTopology(count=30), seed=3, latency_s=0.002, rate_bps=1e8)
    xy, graph = topology.xy_m, topology.graph
    root = int(np.hypot(*xy.T).argmin())
    assert list(graph.neighbors("server")) == [f"cell-{root}"]
    assert nx.is_tree(graph)

    complete: nx.Graph[int] = nx.Graph()
    gap = np.hypot(*(xy[:, None] - xy).T)
    complete.add_weighted_edges_from((a, b, gap[a, b]) for a in range(30) for b in range(a))
    shortest = nx.minimum_spanning_tree(complete).size(weight="weight")
    number = {name: cell for cell, name in enumerate(topology.names)}
    between = [(number[a], number[b]) for a, b in graph.edges if "server" not in (a, b)]
    assert sum(gap[a, b] for a, b in between) == pytest.approx(shortest)

    hops = np.array([len(route) - 2 for route in topology.routes])  # the server's edge is free
    assert np.allclose(topology.latency_s, 0.002 * hops)
    assert math.isinf(topology.backhaul_bps[root])
    for branch in set(graph.neighbors(f"cell-{root}")) - {"server"}:
        over = [c for c, route in enumerate(topology.routes) if branch in route]
        assert topology.backhaul_bps[over].sum() == pytest.approx(1e8)


def test_routes_go_by_latency_and_then_by_hops():
    # 3 ms directly, or 1 ms + 2 ms over r: a tie although the floats 0.001 + 0.002 != 0.003
    topology = wired(
        ("s", "r", 0.1, math.inf),
        ("r", "a", 0.2, math.inf),
        ("s", "a", 0.3, math.inf),
        ("r", "b", 0.1, math.inf),
        ("a", "b", 0.0, math.inf),
        cells="ab",
    )
    assert topology.routes[1] == ("s", "r", "b")
    assert topology.routes[0] == ("s", "r", "b", "a")  # 0.2 s, over a cell
    assert topology.latency_s == pytest.approx([0.2, 0.2])
    tied = wired(
        ("s", "r", 0.1, math.inf), ("r", "a", 0.2, math.inf), ("s", "a", 0.3, math.inf), cells="a"
    )
    assert 0.1 + 0.2 != 0.3
    assert tied.routes == (("s", "a"),)


def test_a_limited_edge_is_divided_among_the_cells_routed_over_it():
    topology = wired(("s", "a", 1.0, 25.0), ("a", "b", 2.0, 10.0), cells="ab")
    assert topology.backhaul_bps.tolist() == [15.0, 10.0]
    assert topology.latency_s.tolist() == [1.0, 3.0]


def test_a_tree_of_limited_edges_is_filled_level_by_level():
    """A trunk of 100, branches of 20 and 90 with two cells each, and a cell at the router.

    All grow alike to 10, where the first branch is full; the other three share 80 of the trunk.
    """
    topology = wired(
        ("s", "r", 1.0, 100.0),
        ("r", "a", 1.0, 20.0),
        ("a", "b", 1.0, math.inf),
        ("r", "c", 1.0, 90.0),
        ("c", "d", 1.0, math.inf),
        ("r", "e", 1.0, math.inf),
        cells="abcde",
    )
    assert topology.backhaul_bps == pytest.approx([10.0, 10.0, 80 / 3, 80 / 3, 80 / 3])
    narrow = max_min_rates([[0, 1], [0, 1], [0, 2], [0]], np.array([100.0, 20.0, 15.0]))
    assert narrow.tolist() == [10.0, 10.0, 15.0, 65.0]


@st.composite
def networks(draw):
    edges = draw(st.integers(1, 6))
    rates = draw(
        st.lists(st.one_of(st.floats(1.0, 1e9), st.just(math.inf)), min_size=edges, max_size=edges)
    )
    route = st.lists(st.integers(0, edges - 1), max_size=edges, unique=True)
    return draw(st.lists(route, min_size=1, max_size=8)), np.array(rates)


@given(networks())
def test_max_min_rates_fit_and_every_flow_has_a_bottleneck(network):
    """A feasible allocation is max-min fair iff every flow is the fastest on some full edge."""
    used, rate_bps = network
    flows_bps = max_min_rates(used, rate_bps)
    load = np.zeros(len(rate_bps))
    for edges, flow in zip(used, flows_bps, strict=True):
        load[edges] += flow
    assert (load <= rate_bps * (1 + 1e-9)).all()
    for edges, flow in zip(used, flows_bps, strict=True):
        limits = [e for e in edges if math.isfinite(rate_bps[e])]
        fastest = {
            e: max(f for other, f in zip(used, flows_bps, strict=True) if e in other)
            for e in limits
        }
        if not limits:
            assert math.isinf(flow)
        else:
            assert any(
                load[e] >= rate_bps[e] * (1 - 1e-9) and flow >= fastest[e] * (1 - 1e-9)
                for e in limits
            )
