"""The page itself: one file that needs no network and runs no script but ours.

A Content-Security-Policy names our scripts by their hashes, so nothing that came in with a name or
a scenario could run even if it were not escaped. The same runs give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from wirelessfl.errors import InputError
from wirelessfl.study.report.figures import Chart, Json
from wirelessfl.study.report.pictures import Picture
from wirelessfl.study.report.tables import Table
from wirelessfl.trace.files import whole_file


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: Its anchor.
        title: Its heading, and its name in the contents.
        note: What to know before reading it.
        charts, tables, pictures: What is in it, in this order.
    """

    id: str
    title: str
    note: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Page:
    """Everything that the template shows.

    Attributes:
        name: Of the scenario.
        kind: 'run', 'comparison' or 'sweep'.
        facts: A line of what was run.
        question, answer: The first things to read.
        headline: The table behind the answer.
        warnings: What a reader must know to trust it.
        sections: The rest; those with nothing in them are left out.
        commands: What to type to run it again, and when.
        versions: Of the packages that it depends on.
        fingerprints: Of scenario, data and model, by what they are of.
        scenario_yaml: The resolved scenario.
        colours: Of each strategy named in tables.
    """

    name: str
    kind: str
    facts: str
    question: str
    answer: str
    headline: Table
    warnings: Sequence[str]
    sections: Sequence[Section]
    commands: Sequence[tuple[str, str]]
    versions: Mapping[str, str]
    fingerprints: Mapping[str, str]
    scenario_yaml: str
    colours: Mapping[str, str]


def render(page: Page) -> str:
    """The HTML text."""
    shown = [s for s in page.sections if s.charts or s.tables or s.pictures]
    charts = [chart.document() for section in shown for chart in section.charts]
    scripts = (_asset("plotly-basic.min.js"), _asset("report.js"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("report.html")).render(
        page=page,
        sections=shown,
        data=_for_script(charts),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        style=_asset("report.css"),
    )


def write(page: Page, path: Path) -> None:
    """Write the page, whole or not at all; a page that is already there is replaced.

    Raises:
        InputError: If it cannot be written there.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file, e.g. {path / 'report.html'}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    text = render(page)
    try:
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


@cache
def _asset(name: str) -> str:
    text = files("wirelessfl.study.report").joinpath("data", name).read_text(encoding="utf-8")
    if name.endswith(".js") and "</script" in text:
        raise AssertionError(f"{name} would end its own script element")
    return text


def _hash(script: str) -> str:
    """As a Content-Security-Policy names a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _for_script(value: Sequence[Json]) -> str:
    """JSON that can stand in a script element: no '<', so nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
