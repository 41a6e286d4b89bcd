"""A network graph from a file that somebody wrote: GraphML or node-link JSON, checked.

Nothing in the file is trusted: its size is bounded, GraphML with a DOCTYPE (and so with entities)
is refused, and every complaint names the node or edge.
"""

from __future__ import annotations

import difflib
import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx

from wirelessfl.errors import InputError
from wirelessfl.scenario.datafile import check_hash
from wirelessfl.scenario.topology import Backhaul
from wirelessfl.scenario.units import DATA_RATE, LENGTH, TIME, Dimension

MAX_BYTES = 4 << 20
KINDS = ("server", "cell", "router")
UNLIMITED = "unlimited"

_FURTHEST_M = 1e7
_NODE_KEYS = ("kind", "x", "y")
_EDGE_KEYS = ("latency", "rate")
_GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"

_Nodes = list[tuple[str, Mapping[str, Any]]]
_Edges = list[tuple[str, str, Mapping[str, Any]]]


def read_graph(path: Path, sha256: str | None, backhaul: Backhaul) -> nx.Graph[str]:
    """Read stations, routers, the server and their edges.

    Args:
        path: A .graphml or .json file, UTF-8.
        sha256: What the file's hash must be, if that is known.
        backhaul: Latency and rate of edges that do not have their own.

    Returns:
        A connected graph with the attributes that `wirelessfl.network.topology.Topology` documents.

    Raises:
        InputError: If the file cannot be used; names the file, and the node or edge.
    """
    reader = _Reader(path)
    text = reader.text(sha256)
    if path.suffix.lower() == ".graphml":
        nodes, edges = reader.graphml(text)
    elif path.suffix.lower() == ".json":
        nodes, edges = reader.node_link(text)
    else:
        raise reader.error("must be a .graphml or a .json file")
    graph: nx.Graph[str] = nx.Graph()
    for name, attributes in nodes:
        graph.add_node(name, **reader.node(name, attributes))
    for a, b, attributes in edges:
        reader.check_ends(graph, a, b)
        graph.add_edge(a, b, **reader.edge(a, b, attributes, backhaul))
    reader.check_whole(graph)
    return graph


class _Reader:
    """Checks a file step by step."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def error(self, message: str) -> InputError:
        return InputError(f"{self._path}: {message}")

    def text(self, sha256: str | None) -> str:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise self.error(f"cannot be read: {error}") from None
        if len(data) > MAX_BYTES:
            raise self.error(f"is larger than {MAX_BYTES >> 20} MiB")
        check_hash(self._path, data, sha256)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.error(f"is not UTF-8 text (byte {error.start})") from None

    def graphml(self, text: str) -> tuple[_Nodes, _Edges]:
        # As text, so that no encoding that the file declares can hide a DOCTYPE from this test.
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise self.error("has a DOCTYPE; remove it, a GraphML file needs none")
        try:
            root = ElementTree.fromstring(text)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of ports, and of keys without a type
                graph: Any = nx.parse_graphml(text, force_multigraph=True)
        except (
            ElementTree.ParseError,
            nx.NetworkXException,
            ValueError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            raise self.error(f"is not GraphML that networkx can read: {error!r}") from None
        if len(root.findall(f"{_GRAPHML}graph")) > 1:
            raise self.error("holds several graphs; needs exactly one")
        names = [element.get("id", "") for element in root.iter(f"{_GRAPHML}node")]
        if "" in names:
            raise self.error("has a node without an id")
        self._refuse_twins(names)
        self._refuse_directed(graph.is_directed())
        node_defaults, edge_defaults = graph.graph["node_default"], graph.graph["edge_default"]
        return (
            [(name, node_defaults | graph.nodes[name]) for name in names if name in graph],
            [(a, b, edge_defaults | attributes) for a, b, attributes in graph.edges(data=True)],
        )

    def node_link(self, text: str) -> tuple[_Nodes, _Edges]:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.error(f"is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise self.error("must be a JSON object with the lists nodes and edges")
        nodes = self._objects(data, ("nodes",), ("id",))
        edges = self._objects(data, ("edges", "links"), ("source", "target"))
        self._refuse_twins([str(node["id"]) for node in nodes])
        self._refuse_directed(bool(data.get("directed", False)))
        return (
            [(str(node["id"]), node) for node in nodes],
            [(str(edge["source"]), str(edge["target"]), edge) for edge in edges],
        )

    def _objects(
        self, data: dict[str, Any], names: Sequence[str], keys: Sequence[str]
    ) -> list[dict[str, Any]]:
        """The list of objects that has one of `names`; each has all `keys`."""
        name = next((name for name in names if name in data), names[0])
        items = data.get(name)
        if not isinstance(items, list):
            raise self.error(f"must have a list {' or '.join(names)}")
        for number, item in enumerate(items):
            for key in keys:
                if not (isinstance(item, dict) and isinstance(item.get(key), str | int)):
                    message = f"must be an object whose {key!r} is a text or a whole number"
                    raise self.error(f"{name}[{number}] {message}")
        return items

    def _refuse_twins(self, names: Sequence[str]) -> None:
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise self.error(f"node {name!r} is there {count} times")

    def _refuse_directed(self, directed: bool) -> None:
        if directed:
            raise self.error("is a directed graph; edges carry both ways: make it undirected")

    def node(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        where = f"node {name!r}"
        self._refuse_misspelt(where, attributes, _NODE_KEYS)
        kind = attributes.get("kind")
        if kind not in KINDS:
            what = "has no kind" if kind is None else f"has the unknown kind {kind!r}"
            raise self.error(f"{where} {what}; one of: {', '.join(KINDS)}")
        given = [axis for axis in ("x", "y") if axis in attributes]
        if len(given) == 1 or (kind == "cell" and not given):
            missing = next(axis for axis in ("x", "y") if axis not in given)
            raise self.error(f"{where} has no {missing}")
        if not given:
            return {"kind": kind, "xy_m": None}
        xy_m = tuple(self._number(where, axis, attributes[axis], LENGTH) for axis in given)
        if max(map(abs, xy_m)) > _FURTHEST_M:
            raise self.error(f"{where} is at {xy_m}, must be within {_FURTHEST_M:g} m")
        return {"kind": kind, "xy_m": xy_m}

    def check_ends(self, graph: nx.Graph[str], a: str, b: str) -> None:
        for end in (a, b):
            if end not in graph:
                raise self.error(f"edge {a!r} - {b!r}: there is no node {end!r}")
        if a == b:
            raise self.error(f"edge {a!r} - {b!r} joins a node to itself")
        if graph.has_edge(a, b):
            raise self.error(f"edge {a!r} - {b!r} is there twice; add up the rates")

    def edge(
        self, a: str, b: str, attributes: Mapping[str, Any], backhaul: Backhaul
    ) -> dict[str, Any]:
        where = f"edge {a!r} - {b!r}"
        self._refuse_misspelt(where, attributes, _EDGE_KEYS)
        latency_s, rate_bps = backhaul.latency_s, backhaul.rate_bps
        if "latency" in attributes:
            latency_s = self._number(where, "latency", attributes["latency"], TIME)
            if latency_s < 0:
                raise self.error(f"{where}: latency is {latency_s:g} s, must not be negative")
        if attributes.get("rate") == UNLIMITED:
            rate_bps = None
        elif "rate" in attributes:
            rate_bps = self._number(where, "rate", attributes["rate"], DATA_RATE)
            if rate_bps <= 0:
                message = f"rate is {rate_bps:g} bit/s, must be positive or {UNLIMITED!r}"
                raise self.error(f"{where}: {message}")
        return {"latency_s": latency_s, "rate_bps": math.inf if rate_bps is None else rate_bps}

    def check_whole(self, graph: nx.Graph[str]) -> None:
        """One server, at least one cell, no two at one place, and all of it connected."""
        servers = [name for name in graph if graph.nodes[name]["kind"] == "server"]
        if len(servers) != 1:
            found = ", ".join(map(repr, servers)) or "none"
            raise self.error(f"needs exactly one node of kind server, has {found}")
        at: dict[tuple[float, float], str] = {}
        for name, node in graph.nodes(data=True):
            if node["kind"] == "cell" and at.setdefault(node["xy_m"], name) != name:
                raise self.error(f"cells {at[node['xy_m']]!r} and {name!r} are at the same place")
        if not at:
            raise self.error("has no cell")
        reached = nx.node_connected_component(graph, servers[0])
        lost = [name for name in graph if name not in reached]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            message = f"node {lost[0]!r}{more} is not connected to the server {servers[0]!r}"
            raise self.error(f"{message}; add the missing edges")

    def _refuse_misspelt(
        self, where: str, attributes: Mapping[str, Any], known: Sequence[str]
    ) -> None:
        """Other attributes are for the reader, but one that is nearly ours would be missed."""
        for name in attributes:
            near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
            if near and name not in known:
                raise self.error(f"{where}: unknown attribute {name!r}; did you mean {near[0]!r}?")

    def _number(self, where: str, name: str, value: Any, dimension: Dimension) -> float:
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            number = float(value)
        except OverflowError:
            number = math.inf
        except ValueError:
            try:
                number = dimension.parse(value) if isinstance(value, str) else math.nan
            except ValueError:
                number = math.nan
        if not math.isfinite(number):
            allowed = f"a number in {dimension.unit}, or a text such as {dimension.example!r}"
            raise self.error(f"{where}: {name} is {value!r}, must be {allowed}")
        return number
