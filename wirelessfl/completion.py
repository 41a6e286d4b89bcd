"""What the Tab key offers: scenario files, topics, strategies, and paths of fields.

The shell asks by running the command, so nothing heavier than the scenario's schema is imported,
and only when one of these functions is called. What cannot be read offers nothing: there is no good
place for a message in the middle of a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import typer

from wirelessfl.errors import InputError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from wirelessfl.scenario.base import Config

Offers = list[tuple[str, str]]
"""What may be typed, each with a help text, which may be empty."""


def scenario_files(incomplete: str) -> Offers:
    """YAML files and folders; the only folder is entered at once, since shells end a sole word."""
    found = list(_entries(incomplete))
    while len(found) == 1 and found[0].endswith("/"):
        found = list(_entries(found[0]))
    return [(path, "") for path in found]


def topics() -> Offers:
    """What `wirelessfl list` can be asked for."""
    from wirelessfl.scenario.describe import list_kinds

    kinds: dict[str, list[str]] = {}
    for kind in list_kinds():
        kinds.setdefault(kind.topic, []).append(kind.name)
    return [(topic, ", ".join(names)) for topic, names in kinds.items()]


def strategies(ctx: typer.Context) -> Offers:
    """Kinds of strategies, after those that the scenario of this command names."""
    from wirelessfl.scenario.describe import list_kinds

    kinds = [(kind.name, kind.summary) for kind in list_kinds("strategy") if kind.name != "custom"]
    # An option that still lacks its value stops the parser before it sorts out the arguments.
    scenario = ctx.params.get("scenario") or next(iter(ctx.args), None)
    return [*_named_strategies(scenario), *kinds]


def several_strategies(ctx: typer.Context, incomplete: str) -> Offers:
    """The same after any comma, without those that are there already."""
    before, comma, _ = incomplete.rpartition(",")
    there = before.split(",")
    return [(f"{before}{comma}{name}", text) for name, text in strategies(ctx) if name not in there]


def fields(incomplete: str) -> Offers:
    """Paths of fields, ready for a value; a path that is the only one comes with such values."""
    from wirelessfl.scenario.document import Scenario

    found: dict[str, tuple[list[str], str]] = {}
    for path, values, text in _fields(Scenario, ""):
        found.setdefault(path, ([], text))[0].extend(values)
    wanted = incomplete.partition("=")[0]
    fitting = [path for path in found if path == wanted or path.startswith(incomplete)]
    offers = [(f"{path}=", found[path][1]) for path in fitting]
    if len(fitting) == 1:
        [path] = fitting
        offers += [(f"{path}={value}", "") for value in dict.fromkeys(found[path][0])]
    return offers


def _entries(start: str) -> Iterator[str]:
    """Folders (with a slash) and YAML files whose path begins so."""
    folder, _, name = start.rpartition("/")
    try:
        entries = sorted(Path(f"{folder}/" if "/" in start else ".").iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            path = start.removesuffix(name) + entry.name
            if entry.is_dir():
                yield f"{path}/"
            elif entry.suffix in (".yaml", ".yml"):
                yield path


def _named_strategies(scenario: Path | str | None) -> Offers:
    from wirelessfl.scenario.loader import file_tree

    if scenario is None:
        return []
    try:
        named = file_tree(Path(scenario)).plain().get("strategies")
    except InputError:
        return []
    return [(name, "of this scenario") for name in named] if isinstance(named, dict) else []


def _fields(model: type[Config], before: str) -> Iterator[tuple[str, list[str], str]]:
    """Path, values and description of every field; those of several kinds come several times."""
    from wirelessfl.scenario.base import sections, yaml_fields

    for name, field in yaml_fields(model).items():
        below = sections(field.rebuild_annotation())
        for section in below:
            yield from _fields(section, f"{before}{name}.")
        if not below and name != "sha256":
            yield f"{before}{name}", _values(field), field.description or ""


def _values(field: FieldInfo) -> list[str]:
    """The words a field allows, else its default."""
    from wirelessfl.scenario.base import parts
    from wirelessfl.scenario.units import Dimension

    default = field.get_default(call_default_factory=True)
    for part in parts(field.rebuild_annotation()):
        if get_origin(part) is Literal:
            return [str(word) for word in get_args(part)]
        if part is bool:
            return ["true", "false"]
        if isinstance(part, Dimension) and isinstance(default, float | int):
            return [part.format(default)]
    return [json.dumps(default)] if isinstance(default, float | int) else []
