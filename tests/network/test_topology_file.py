"""Graphs from files: what is read, and one clear message for everything that cannot be."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.network.topology import build_topology
from wirelessfl.network.topology_file import MAX_BYTES, read_graph
from wirelessfl.scenario import load
from wirelessfl.scenario.topology import Backhaul

BACKHAUL = Backhaul(latency_s=0.5, rate_bps=7.0)

SERVER = {"id": "s", "kind": "server"}
A = {"id": "a", "kind": "cell", "x": 0, "y": "1 km"}
B = {"id": "b", "kind": "cell", "x": "300 m", "y": -4.5}
ROUTER = {"id": "r", "kind": "router"}
SA = {"source": "s", "target": "a", "latency": "5 ms", "rate": "1 Gbit/s"}
SB = {"source": "s", "target": "b", "latency": 2, "rate": 3e6}


def a_file(tmp_path: Path, nodes=(SERVER, A, B), edges=(SA, SB), **more) -> Path:
    path = tmp_path / "cells.json"
    text = json.dumps({"nodes": list(nodes), "edges": list(edges)} | more)
    path.write_text(text, encoding="utf-8")
    return path


GRAPHML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="k" for="node" attr.name="kind" attr.type="string"><default>cell</default></key>
  <key id="x" for="node" attr.name="x" attr.type="double"/>
  <key id="y" for="node" attr.name="y" attr.type="string"/>
  <key id="l" for="edge" attr.name="latency" attr.type="string"><default>5 ms</default></key>
  <key id="r" for="edge" attr.name="rate" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="s"><data key="k">server</data></node>
    <node id="a"><data key="x">0</data><data key="y">1 km</data></node>
    <edge source="s" target="a"><data key="r">1000000</data></edge>
  </graph>
</graphml>
"""


def graphml(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in GRAPHML
    path = tmp_path / "cells.graphml"
    path.write_text(GRAPHML.replace(old, new) if old else GRAPHML, encoding="utf-8")
    return path


def complaint(path: Path, sha256: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_graph(path, sha256, BACKHAUL)
    message, where = str(caught.value), str(path).replace("\0", "\\x00") + ": "
    assert message.startswith(where)
    assert "\n" not in message
    return message.removeprefix(where)


def test_json_numbers_are_si_and_texts_have_units(tmp_path: Path):
    graph = read_graph(a_file(tmp_path), None, BACKHAUL)
    assert graph.nodes["a"] == {"kind": "cell", "xy_m": (0.0, 1000.0)}
    assert graph.nodes["b"] == {"kind": "cell", "xy_m": (300.0, -4.5)}
    assert graph.nodes["s"] == {"kind": "server", "xy_m": None}
    assert graph.edges["s", "a"] == {"latency_s": 0.005, "rate_bps": 1e9}
    assert graph.edges["s", "b"] == {"latency_s": 2.0, "rate_bps": 3e6}


def test_edges_take_from_the_scenario_what_they_do_not_say(tmp_path: Path):
    edges = ({"source": "s", "target": "a"}, SB | {"rate": "unlimited"})
    graph = read_graph(a_file(tmp_path, edges=edges), None, BACKHAUL)
    assert graph.edges["s", "a"] == {"latency_s": 0.5, "rate_bps": 7.0}
    assert graph.edges["s", "b"]["rate_bps"] == math.inf
    no_limit = read_graph(a_file(tmp_path, edges=edges), None, Backhaul())
    assert no_limit.edges["s", "a"] == {"latency_s": 0.0, "rate_bps": math.inf}


def test_graphml_defaults_count(tmp_path: Path):
    graph = read_graph(graphml(tmp_path), None, BACKHAUL)
    assert graph.nodes["a"] == {"kind": "cell", "xy_m": (0.0, 1000.0)}
    assert graph.edges["s", "a"] == {"latency_s": 0.005, "rate_bps": 1e6}


@pytest.mark.parametrize("suffix", [".graphml", ".json"])
def test_what_networkx_writes_is_read(tmp_path: Path, suffix: str):
    graph = nx.Graph()
    graph.add_node("core", kind="server")
    graph.add_node("hub", kind="router", x=5.0, y=5.0)
    graph.add_node("roof", kind="cell", x=10.0, y=-20.0, label="town hall")
    graph.add_edge("core", "hub", latency=0.001)
    graph.add_edge("hub", "roof", latency=0.002, rate=1e8)
    path = tmp_path / f"cells{suffix}"
    if suffix == ".graphml":
        nx.write_graphml_xml(graph, path)
    else:
        path.write_text(json.dumps(nx.node_link_data(graph)), encoding="utf-8")
    read = read_graph(path, None, Backhaul())
    assert read.nodes["roof"] == {"kind": "cell", "xy_m": (10.0, -20.0)}
    assert read.nodes["hub"] == {"kind": "router", "xy_m": (5.0, 5.0)}
    assert read.edges["hub", "roof"] == {"latency_s": 0.002, "rate_bps": 1e8}


def test_a_scenario_finds_the_file_beside_it_and_notes_its_hash(tmp_path: Path):
    file = a_file(tmp_path)
    scenario_file = tmp_path / "a.yaml"
    scenario_file.write_text(
        "name: a\nnetwork: {topology: {kind: graph, file: cells.json}}", encoding="utf-8"
    )
    scenario = load(scenario_file)
    assert scenario.network.topology.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    topology = build_topology(scenario.network, 0)
    assert topology.names == ("a", "b")
    assert np.allclose(topology.xy_m, [[0, 1000], [300, -4.5]])
    a_file(tmp_path, edges=(SA, SB | {"rate": 4e6}))
    with pytest.raises(InputError, match="has changed since the scenario noted its SHA-256"):
        build_topology(scenario.network, 0)


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ((SERVER, A), (), "node 'a' is not connected to the server 's'"),
        ((SERVER, A, B), (SA,), "node 'b' is not connected to the server 's'"),
        ((SERVER, A, B, ROUTER), (SA,), "node 'b' (and 1 more) is not connected"),
        ((A,), (), "needs exactly one node of kind server, has none"),
        (
            (SERVER, SERVER | {"id": "t"}, A),
            (SA,),
            "needs exactly one node of kind server, has 's', 't'",
        ),
        ((SERVER,), (), "has no cell"),
        ((), (), "needs exactly one node of kind server"),
        ((SERVER, A, A), (SA,), "node 'a' is there 2 times"),
        ((SERVER, A, A | {"id": "c"}), (SA,), "cells 'a' and 'c' are at the same place"),
        ((SERVER, A | {"kind": "tower"}), (SA,), "node 'a' has the unknown kind 'tower'; one of:"),
        ((SERVER, {"id": "a", "x": 0, "y": 0}), (SA,), "node 'a' has no kind; one of: server"),
        ((SERVER, {"id": "a", "kind": "cell", "x": 0}), (SA,), "node 'a' has no y"),
        ((SERVER, {"id": "a", "kind": "cell"}), (SA,), "node 'a' has no x"),
        ((SERVER, ROUTER | {"y": 3}), (), "node 'r' has no x"),
        ((SERVER, A | {"x": math.nan}), (SA,), "node 'a': x is nan, must be a number in m"),
        ((SERVER, A | {"x": 10**400}), (SA,), "node 'a': x is 1000"),
        ((SERVER, A | {"x": None}), (SA,), "node 'a': x is None, must be a number in m"),
        ((SERVER, A | {"x": True}), (SA,), "node 'a': x is True, must be a number in m"),
        ((SERVER, A | {"x": "3 miles"}), (SA,), "node 'a': x is '3 miles', must be a number in m"),
        ((SERVER, A | {"x": 1e300}), (SA,), "node 'a' is at (1e+300, 1000.0), must be within"),
        ((SERVER, A | {"kinds": 1}), (SA,), "node 'a': unknown attribute 'kinds'; did you mean"),
        ((SERVER, A | {"X": 1}), (SA,), "node 'a': unknown attribute 'X'; did you mean 'x'?"),
        ((SERVER, A), (SA | {"latancy": 1},), "edge 's' - 'a': unknown attribute 'latancy'; did"),
        ((SERVER, A), (SA | {"latency": -1},), "edge 's' - 'a': latency is -1 s, must not be neg"),
        ((SERVER, A), (SA | {"latency": math.inf},), "edge 's' - 'a': latency is inf, must be a"),
        ((SERVER, A), (SA | {"latency": "5 mm"},), "edge 's' - 'a': latency is '5 mm', must be a"),
        ((SERVER, A), (SA | {"rate": 0},), "edge 's' - 'a': rate is 0 bit/s, must be positive"),
        ((SERVER, A), (SA | {"rate": "-1 Mbit/s"},), "edge 's' - 'a': rate is -1e+06 bit/s, must"),
        ((SERVER, A), (SA | {"rate": math.nan},), "edge 's' - 'a': rate is nan, must be a number"),
        ((SERVER, A), (SA | {"rate": None},), "edge 's' - 'a': rate is None, must be a number in"),
        ((SERVER, A), (SA, SB), "edge 's' - 'b': there is no node 'b'"),
        ((SERVER, A), (SA, SA), "edge 's' - 'a' is there twice"),
        ((SERVER, A), (SA | {"source": "a", "target": "s"}, SA), "edge 's' - 'a' is there twice"),
        ((SERVER, A), (SA, SA | {"source": "a"}), "edge 'a' - 'a' joins a node to itself"),
    ],
)
def test_what_is_wrong_is_said_with_its_node_or_edge(tmp_path: Path, nodes, edges, message: str):
    assert complaint(a_file(tmp_path, nodes, edges)).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be a JSON object with the lists nodes and edges"),
        ('{"nodes": 3}', "must have a list nodes"),
        ('{"nodes": []}', "must have a list edges or links"),
        ('{"nodes": [3], "edges": []}', "nodes[0] must be an object whose 'id' is a text"),
        ('{"nodes": [{"id": "s"}, {}], "edges": []}', "nodes[1] must be an object whose 'id'"),
        ('{"nodes": [{"id": [1]}], "edges": []}', "nodes[0] must be an object whose 'id' is a"),
        ('{"nodes": [{"id": 1}, {"id": "1"}], "edges": []}', "node '1' is there 2 times"),
        ('{"nodes": [], "edges": [{"source": "a"}]}', "edges[0] must be an object whose 'target'"),
        ('{"nodes": [], "edges": [], "directed": true}', "is a directed graph"),
    ],
)
def test_json_of_another_form_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "cells.json"
    path.write_text(text, encoding="utf-8")
    assert complaint(path).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</graphml>", "", "is not GraphML that networkx can read: ParseError"),
        (GRAPHML, "<html/>", "is not GraphML that networkx can read: NetworkXError"),
        ('edgedefault="undirected"', 'edgedefault="directed"', "is a directed graph"),
        ('<data key="x">0</data>', '<data key="x">east</data>', "is not GraphML that networkx"),
        ('<data key="x">0</data>', '<data key="x">nan</data>', "node 'a': x is nan, must be"),
        ('<data key="x">0</data>', "", "node 'a' has no x"),
        ('<data key="x">0</data>', '<data key="q">0</data>', "is not GraphML that networkx"),
        ('attr.type="double"', 'attr.type="pickle"', "is not GraphML that networkx can read"),
        ('target="a"', 'target="b"', "edge 's' - 'b': there is no node 'b'"),
        ('<node id="a">', '<node id="s">', "node 's' is there 2 times"),
        ('<node id="a">', "<node>", "has a node without an id"),
        ("</edge>", '</edge><edge source="a" target="s"/>', "is there twice"),
        ("</graph>", '</graph><graph edgedefault="undirected"/>', "holds several graphs"),
        ("1000000", "-1", "edge 's' - 'a': rate is -1 bit/s, must be positive"),
        ("5 ms", "five", "edge 's' - 'a': latency is 'five', must be a number in s"),
    ],
)
def test_graphml_of_another_form_is_refused(tmp_path: Path, old: str, new: str, message: str):
    assert message in complaint(graphml(tmp_path, old, new))


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]>\n<graphml'


def test_entities_never_reach_the_parser(tmp_path: Path):
    assert "has a DOCTYPE" in complaint(graphml(tmp_path, "<graphml", BOMB))
    hidden = tmp_path / "hidden.graphml"
    text = GRAPHML.replace("UTF-8", "UTF-16").replace("<graphml", BOMB)
    hidden.write_text(text, encoding="utf-16")
    assert "is not UTF-8 text" in complaint(hidden)


@pytest.mark.parametrize("name", ["none.json", "folder.json", "nul\0.json"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str):
    (tmp_path / "folder.json").mkdir()
    assert "cannot be read" in complaint(tmp_path / name)


def test_neither_other_formats_nor_large_files_are_read(tmp_path: Path):
    pickle = tmp_path / "cells.gpickle"
    pickle.write_bytes(b"cos\nsystem\n")
    assert "must be a .graphml or a .json file" in complaint(pickle)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (MAX_BYTES + 1))
    assert "is larger than 4 MiB" in complaint(large)
    assert "has changed since the scenario noted" in complaint(a_file(tmp_path), "0" * 64)
