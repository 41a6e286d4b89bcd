"""From a file to a Scenario, or to one error that lists everything wrong with the file.

`extends: base.yaml` merges a file over another, section by section; a section that changes its
`kind` starts afresh, for the old kind's options mean nothing to the new one. Overrides then set
single fields, whatever the file says. A data file is looked for beside the file that names it
(in the current folder if an override does); the scenario knows it by absolute path and SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wirelessfl.errors import InputError
from wirelessfl.scenario.document import Scenario
from wirelessfl.scenario.explain import Shape, explain
from wirelessfl.scenario.located import Located, Place, read_yaml, report
from wirelessfl.scenario.named_files import not_ordinary, note_code, note_files

MAX_BYTES = 1 << 20
MAX_EXTENDS = 16
OVERRIDE = Place("--set")

Overrides = Mapping[str, object] | Sequence[str]


def load(path: str | Path, overrides: Overrides = (), allow_custom: bool = False) -> Scenario:
    """Read a scenario file.

    Args:
        path: The file.
        overrides: Fields to set, by dotted path: `{'seed': 3, 'network.carrier': '2 GHz'}`, or
            texts like `'network.carrier=2 GHz'`, whose values are YAML.
        allow_custom: Whether `kind: custom` may import and run code of the user's own.

    Raises:
        InputError: If the scenario cannot be used; one line for each problem.
    """
    return _scenario(file_tree(Path(path)), overrides, allow_custom)


def file_tree(path: Path) -> Located:
    """What a scenario file says, over the files it extends; nothing of it is checked.

    Raises:
        InputError: If one of them cannot be read.
    """
    return _extended(_text(path), path, ())


def loads(
    text: str, name: str = "scenario", overrides: Overrides = (), allow_custom: bool = False
) -> Scenario:
    """Read a scenario from YAML text.

    Args:
        text: The YAML.
        name: What messages call the text; `extends` is relative to it, as to a file's path.
        overrides: As for `load`.
        allow_custom: As for `load`.

    Raises:
        InputError: If the scenario cannot be used; one line for each problem.
    """
    return _scenario(_extended(text, Path(name), ()), overrides, allow_custom)


def _scenario(tree: Located, overrides: Overrides, allow_custom: bool) -> Scenario:
    tree = _merge(tree, _override_tree(overrides))
    shape = Shape(tree, Scenario)
    data = tree.plain()
    note_files(data, shape)
    note_code(data, shape, allow_custom)
    try:
        # As JSON, since there a list may be a tuple, but '3' is no number and true is not 1.
        scenario = Scenario.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise report(explain(tree, shape, error)) from None
    if shape.problems:
        raise report(shape.problems.values())
    return scenario


def _text(path: Path, said_by: str = "") -> str:
    """A file's content; `said_by` begins the message of what cannot be read."""
    data = b""
    try:
        why = not_ordinary(path)
        if not why:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{said_by}{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{said_by}{path}: cannot be read: {error}") from None
    if why:
        raise InputError(f"{said_by}{path}: {why}, not a scenario file")
    if len(data) > MAX_BYTES:
        raise InputError(f"{said_by}{path}: is larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{said_by}{path}: is not UTF-8 text (byte {error.start})") from None


def _extended(text: str, path: Path, above: tuple[Path, ...]) -> Located:
    """A file's tree over those it extends. `above` are the files that led here."""
    tree = read_yaml(text, str(path))
    if not isinstance(tree.value, dict):
        raise InputError(f"{tree.place}a scenario is a mapping (name: ...), not {tree}")
    content = dict(tree.value)
    extends = content.pop("extends", None)
    if extends is None:
        return tree
    where = f"{extends.place}extends: "
    if not isinstance(extends.value, str):
        raise InputError(f"{where}{extends} must be the path of a scenario file")
    base, above = path.parent / extends.value, (*above, path.resolve())
    below = _text(base, where)
    if base.resolve() in above:
        raise InputError(f"{where}{base} extends itself")
    if len(above) > MAX_EXTENDS:
        raise InputError(f"{where}more than {MAX_EXTENDS} files extend one another")
    return _merge(_extended(below, base, above), replace(tree, value=content))


def _merge(base: Located, top: Located) -> Located:
    """`top` over `base`: sections are merged, anything else is replaced."""
    if top.whole or not (isinstance(base.value, dict) and isinstance(top.value, dict)):
        return top
    kinds = [node.value["kind"].value for node in (base, top) if "kind" in node.value]
    if len(kinds) == 2 and kinds[0] != kinds[1]:
        return top
    merged = dict(base.value)
    for key, child in top.value.items():
        merged[key] = _merge(merged[key], child) if key in merged else child
    return replace(base, value=merged)


def _override_tree(overrides: Overrides) -> Located:
    """All overrides as one tree, so that their order matters only where they set the same field."""
    tree = Located({}, OVERRIDE, OVERRIDE)
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_parsed, overrides)
    for path, value in pairs:
        node = value if isinstance(value, Located) else _located(value, path)
        for key in reversed(path.split(".")):
            node = Located({key: node}, OVERRIDE, OVERRIDE)
        tree = _merge(tree, node)
    return tree


def _parsed(text: str) -> tuple[str, Located]:
    path, equals, value = text.partition("=")
    if not equals or not all(path.split(".")):
        raise InputError(f"--set {text}: write a field and its value, e.g. 'stop.rounds=50'")
    tree = read_yaml(value, f"--set {path}") if value.strip() else Located(None, OVERRIDE, OVERRIDE)
    return path, _located(tree.plain(), path)


def _located(value: Any, path: str) -> Located:
    """A plain value of an override as a tree."""
    if isinstance(value, Mapping):
        value = {str(key): _located(child, f"{path}.{key}") for key, child in value.items()}
    elif isinstance(value, list | tuple):
        value = [_located(child, path) for child in value]
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise InputError(f"--set {path}: {value!r} is not a YAML value")
    return Located(value, OVERRIDE, OVERRIDE, whole=True)
