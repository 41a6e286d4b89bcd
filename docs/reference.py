"""Write the parts of docs/trace.md and docs/scenario.md that the code decides: `make pages`.

A part stands between `<!-- begin NAME -->` and `<!-- end -->`; everything else is written by hand.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from wirelessfl.scenario.describe import Kind, list_kinds, plain_sections
from wirelessfl.trace.tables import CLIENTS, EVENT_LOG, HOLDINGS, ROUNDS, SCHEMA_VERSION

DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- begin ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def columns(schema: pa.Schema) -> str:
    """A table of a trace's columns."""
    rows = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for field in schema:
        unit, text = (field.metadata[key].decode() for key in (b"unit", b"description"))
        rows.append(f"| `{field.name}` | {field.type} | {unit} | {_cell(text)} |")
    return "\n".join(rows)


def sections() -> str:
    """Every section without a kind, with its fields."""
    return "\n\n".join(_fields(kind, f"### `{kind.name}`") for kind in plain_sections())


def kinds() -> str:
    """Every kind, by the field that chooses it."""
    chosen = [kind for kind in list_kinds() if kind.topic not in ("devices", "models")]
    parts = []
    for topic, group in itertools.groupby(chosen, key=lambda kind: kind.topic):
        parts.append(f"### `{topic}`")
        parts += [_fields(kind, f"**`{kind.name}`**") for kind in group]
    return "\n\n".join(parts)


def catalogue() -> str:
    """Devices and models that come with the package."""
    rows = ["| section | name | source |", "|---|---|---|"]
    for topic in ("devices", "models"):
        rows += [f"| {topic} | `{k.name}` | {_cell(k.summary)} |" for k in list_kinds(topic)]
    return "\n".join(rows)


def _fields(kind: Kind, heading: str) -> str:
    lines = [f"{heading}: {kind.summary}" if kind.summary else heading]
    if kind.options:
        lines += ["", "| field | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{o.name}` | {_cell(o.default)} | {_cell(o.description)} |" for o in kind.options
        ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that cannot end its cell or become mark-up."""
    return re.sub(r"([|<*_])", r"\\\1", " ".join(text.split()))


PARTS: dict[str, Callable[[], str]] = {
    "rounds": lambda: columns(ROUNDS),
    "clients": lambda: columns(CLIENTS),
    "events": lambda: columns(EVENT_LOG),
    "holdings": lambda: columns(HOLDINGS),
    "version": lambda: f"The schema version is **{SCHEMA_VERSION}**.",
    "sections": sections,
    "kinds": kinds,
    "catalogue": catalogue,
}


def renewed(page: str) -> str:
    """The page with its parts as the code has them now."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", page)


if __name__ == "__main__":
    for path in (DOCS / "trace.md", DOCS / "scenario.md"):
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
