"""The Trace Event format as far as a timeline uses it, as a JSON Schema.

From "Trace Event Format" (D. Duca and D. Sinclair, the Chromium project): the JSON object format,
and the fields of complete (X), instant (i), counter (C) and metadata (M) events. Beside it: what a
schema cannot say of slices on one track.
"""

from __future__ import annotations

import itertools
from typing import Any

import jsonschema


def _event(phase: str, required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    number, integer = {"type": "number", "minimum": 0}, {"type": "integer", "minimum": 0}
    common = {
        "ph": {"const": phase},
        "name": {"type": "string", "minLength": 1},
        "pid": integer,
        "tid": integer,
        "ts": number,
        "args": {"type": "object"},
    }
    return {
        "type": "object",
        "required": ["ph", "name", "pid", *required],
        "properties": {**common, **properties},
        "additionalProperties": False,
    }


_COUNTS = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}
_NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_METADATA = {"enum": ["process_name", "thread_name"]}
SCHEMA = {
    "type": "object",
    "required": ["traceEvents"],
    "properties": {
        "traceEvents": {
            "type": "array",
            "items": {
                "oneOf": [
                    _event("X", ["tid", "ts", "dur"], dur={"type": "number", "minimum": 0}),
                    _event("i", ["tid", "ts", "s"], s={"enum": ["g", "p", "t"]}),
                    _event("C", ["ts", "args"], args=_COUNTS),
                    _event("M", ["args"], name=_METADATA, args=_NAME),
                ]
            },
        },
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object"},
    },
    "additionalProperties": False,
}


def check_format(document: dict[str, Any]) -> None:
    """Raise if the document is not of the format, or slices of a track overlap."""
    jsonschema.validate(document, SCHEMA)
    slices = [event for event in document["traceEvents"] if event["ph"] == "X"]
    slices.sort(key=lambda event: (event["pid"], event["tid"], event["ts"]))
    for a, b in itertools.pairwise(slices):
        if (a["pid"], a["tid"]) == (b["pid"], b["tid"]):
            assert round(1000 * (a["ts"] + a["dur"])) <= round(1000 * b["ts"]), (a, b)
