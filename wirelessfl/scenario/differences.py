"""In what two resolved scenarios differ, for a person who wonders why one is not the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wirelessfl.scenario.document import Scenario, dump
from wirelessfl.scenario.located import read_yaml

_MOST = 12  # fields that are shown
_NO_DIFFERENCE = "trace.checkpoint_every"  # see `fingerprint`


def differences(before: str, after: Scenario) -> str:
    """The fields that differ, each with its old line (-) and its new one (+), unified by field.

    Args:
        before: A resolved scenario as `dump` wrote it, perhaps by an earlier version.
        after: The other.

    Raises:
        InputError: If `before` is no YAML.
    """
    old = dict(_fields(read_yaml(before, "scenario.yaml").plain()))
    new = dict(_fields(read_yaml(dump(after), "scenario.yaml").plain()))
    changed = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    changed = [path for path in changed if path != _NO_DIFFERENCE]
    lines = []
    for path in changed[:_MOST]:
        lines += [f"- {path}: {old[path]}"] if path in old else []
        lines += [f"+ {path}: {new[path]}"] if path in new else []
    if len(changed) > _MOST:
        lines.append(f"  and {len(changed) - _MOST} more fields")
    return "\n".join(lines)


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every field by its dotted path, with its value as JSON."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _fields(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.dumps(value)
