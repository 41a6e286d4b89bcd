"""The varied fields of a sweep: what is written after `--vary`, and what it comes to."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, dump, loads
from wirelessfl.scenario.field_at import field_at
from wirelessfl.scenario.located import read_yaml
from wirelessfl.study.executor import Value

LOG_RATIO = 20.0  # an axis whose largest value is this many times the smallest is logarithmic
PARENTHESES = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class Axis:
    """One varied field.

    Attributes:
        path: The field, e.g. 'network.uplink.bandwidth'.
        unit: SI unit of the values; '' if they have none.
        values: Numbers in SI units if the scenario holds numbers there, else the texts.
        texts: The values as they were written.
    """

    path: str
    unit: str
    values: tuple[Value, ...]
    texts: tuple[str, ...]

    @property
    def label(self) -> str:
        """Field and unit, for pictures."""
        return f"{self.path} ({self.unit})" if self.unit else self.path

    @property
    def numeric(self) -> bool:
        """Whether the values have places on a line."""
        return not isinstance(self.values[0], str)

    @property
    def log(self) -> bool:
        """Whether the values are seen best on a logarithmic scale."""
        return self.unit not in ("dB", "dBm") and spans_decades(
            [value for value in self.values if not isinstance(value, str)]
        )


def spans_decades(numbers: Sequence[float]) -> bool:
    """Whether numbers are seen best on a logarithmic scale."""
    return len(numbers) > 0 and 0 < LOG_RATIO * min(numbers) <= max(numbers)


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """What follows each `--vary`: 'network.uplink.bandwidth=1 MHz, 5 MHz' gives two values.

    Commas within braces, brackets or quotes do not separate values, which are YAML.

    Raises:
        InputError: If a text is something else, or a field is given twice.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        path, equals, values = text.partition("=")
        path = path.strip()
        pieces = [piece.strip() for piece in _split(values, text)]
        if not equals or not all(path.split(".")) or not all(pieces):
            raise InputError(
                f"--vary {text}: write a field and its values, e.g. "
                "'network.uplink.bandwidth=1 MHz, 5 MHz'"
            )
        if path in found:
            raise InputError(f"--vary {path} is given twice; write all its values after one '='")
        found[path] = [read_yaml(piece, f"--vary {path}").plain() for piece in pieces]
    return found


def _split(values: str, text: str) -> list[str]:
    """The pieces between the commas that are not inside anything."""
    pieces, closing, quote = [""], [], ""
    for letter in values:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in PARENTHESES:
            closing.append(PARENTHESES[letter])
        elif letter in PARENTHESES.values():
            if not closing or closing.pop() != letter:
                raise InputError(f"--vary {text}: the {letter!r} closes nothing")
        elif letter == "," and not closing:
            pieces.append("")
            continue
        pieces[-1] += letter
    if quote or closing:
        raise InputError(f"--vary {text}: a {quote or closing[-1]} is missing at the end")
    return pieces


def text_of(value: Any) -> str:
    """A plain YAML value as one would write it in a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key}: {text_of(child)}" for key, child in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text_of, value))}]"
    return json.dumps(value)


@dataclass(frozen=True)
class Point:
    """One combination of the varied values.

    Attributes:
        values: Value of every axis, by path.
        label: The combination for people: 'bandwidth=1 MHz, count=40'.
        folder: The same as a folder's name.
        scenario: With the fields at these values.
    """

    values: Mapping[str, Value]
    label: str
    folder: str
    scenario: Scenario


def grid(
    scenario: Scenario, vary: Mapping[str, Sequence[Any]], allow_custom: bool = False
) -> tuple[list[Axis], list[Point]]:
    """The axes, and a point for every combination of their values, the last axis fastest.

    Raises:
        InputError: If a field is not there or cannot be varied, or a value cannot be used.
    """
    _refuse(vary)
    base, names = dump(scenario), _short_names(list(vary))
    chosen = [dict(zip(vary, one, strict=True)) for one in itertools.product(*vary.values())]
    variants = [_variant(base, fields, allow_custom) for fields in chosen]
    axes = [_axis(path, values, chosen, variants) for path, values in vary.items()]
    points = []
    for fields, variant in zip(chosen, variants, strict=True):
        texts = {axis.path: text_of(fields[axis.path]) for axis in axes}
        values = {a.path: a.values[a.texts.index(texts[a.path])] for a in axes}
        label = ", ".join(f"{names[path]}={text}" for path, text in texts.items())
        folder = ",".join(f"{names[path]}={slug(text)}" for path, text in texts.items())
        points.append(Point(values, label, folder, variant))
    return axes, points


def _axis(
    path: str,
    values: Sequence[Any],
    chosen: Sequence[Mapping[str, Any]],
    variants: Sequence[Scenario],
) -> Axis:
    """The axis of a field, its values as the variants hold them if these are all numbers."""
    texts = tuple(map(text_of, values))
    found = {
        text_of(fields[path]): field_at(variant, path)
        for fields, variant in zip(chosen, variants, strict=True)
    }
    held = tuple(found[text][0] for text in texts)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in held):
        return Axis(path, found[texts[0]][1], held, texts)
    return Axis(path, "", texts, texts)


def _refuse(vary: Mapping[str, Sequence[Any]]) -> None:
    """What cannot be varied, as the sweep has another word for it."""
    if not vary:
        raise InputError("a sweep needs --vary, e.g. --vary 'network.uplink.bandwidth=1 MHz,5 MHz'")
    for path, values in vary.items():
        if path == "seed":
            raise InputError("--vary seed: write the seeds after --seeds")
        if path in ("strategy", "strategy.kind"):
            raise InputError(f"--vary {path}: name the strategies after --strategies")
        if isinstance(values, str) or not values:
            raise InputError(f"--vary {path}: needs a list of at least one value")
        texts = list(map(text_of, values))
        for text in texts:
            if texts.count(text) > 1:
                raise InputError(f"--vary {path}: {text} is there twice")


def _variant(base: str, fields: Mapping[str, Any], allow_custom: bool) -> Scenario:
    """The scenario (as YAML) with the fields at their values, checked like any other.

    The hash that the scenario noted of a file says nothing of another file.
    """
    overrides: dict[str, Any] = {}
    for path, value in fields.items():
        section, _, name = path.rpartition(".")
        if name == "file":
            overrides[f"{section}.sha256"] = None
        overrides[path] = value
    try:
        return loads(base, overrides=overrides, allow_custom=allow_custom)
    except InputError as error:
        message = str(error).replace("--set ", "--vary ")
        if not message.startswith("--vary "):  # the scenario's own fields do not go with it
            where = ", ".join(f"{path}={text_of(value)}" for path, value in fields.items())
            message = f"with {where}: {message}"
        raise InputError(message) from None


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The end of each path, as much of it as tells the paths apart."""
    names = {}
    for path in paths:
        keys = path.split(".")
        ends = (".".join(keys[-n:]) for n in range(1, len(keys) + 1))
        names[path] = next(
            end for end in ends if not any(p != path and f".{p}".endswith(f".{end}") for p in paths)
        )
    return names


def slug(text: str) -> str:
    """A text as a part of a folder's name that is unique to it but for white space."""
    dense = "".join(text.split())
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", dense).strip("-")[:40]
    if name != dense:
        name += "-" + hashlib.sha256(dense.encode()).hexdigest()[:8]
    return name
