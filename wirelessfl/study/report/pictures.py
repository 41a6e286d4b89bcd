"""Pictures drawn by Matplotlib, as data for an <img>: nothing in them can run or be fetched."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wirelessfl.errors import InputError
from wirelessfl.network.map import draw_network
from wirelessfl.scenario.custom import Custom
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.study.report.subject import Subject
from wirelessfl.trace.partition_plot import plot_partition

LARGEST_SVG = 250_000  # bytes; of a larger drawing the PNG is taken


@dataclass(frozen=True)
class Picture:
    """A picture of the page; `source` is a data URL."""

    title: str
    note: str
    source: str


def pictures(subject: Subject) -> tuple[list[Picture], list[str]]:
    """The network and the partition of the data, and why one of them is left out."""
    found: list[Picture] = []
    left_out: list[str] = []
    seed, trace = next(iter(next(iter(subject.traces.values())).items()))
    scenario = subject.scenario
    if scenario is None:
        left_out.append(f"The network's map is left out: {subject.problem}.")
    else:
        network, clients = scenario.network, scenario.devices.count
        try:
            _check_needs_no_code(network)
            source = _drawn(lambda path: draw_network(network, clients, seed, path))
            found.append(Picture("Network", f"As seed {seed} finds it at time 0.", source))
        except InputError as error:
            left_out.append(f"The network's map is left out: {error}")
    if not trace.holdings.empty:
        source = _drawn(lambda path: plot_partition(trace.holdings, path))
        classes = "of each class " if trace.holdings["class"].nunique() > 1 else ""
        note = f"Training samples {classes}that each client holds, seed {seed}."
        found.append(Picture("Data", note, source))
    return found, left_out


def _check_needs_no_code(network: NetworkConfig) -> None:
    """Nobody has allowed the code that results name: they may be a stranger's."""
    for name, section in network:
        if isinstance(section, Custom):
            raise InputError(
                f"network.{name} is code of its author's own, which a report does not "
                "run. wirelessfl draw scenario.yaml --allow-custom draws it"
            )


def _drawn(draw: Callable[[Path], Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        svg = path.with_suffix(".svg").read_bytes()
        kind, data = ("svg+xml", svg) if len(svg) <= LARGEST_SVG else ("png", path.read_bytes())
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
