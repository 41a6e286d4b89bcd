"""Whatever a scenario can name is shown by one of those in scenarios/."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.examples import FILES, OWN_CODE
from wirelessfl.scenario import load
from wirelessfl.scenario.describe import list_kinds


def named(node: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every (field, kind) below a node."""
    if isinstance(node, dict):
        if "kind" in node:
            yield key, node["kind"]
        for name, child in node.items():
            yield from named(child, name)


@cache
def shown() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for path in (*FILES, *OWN_CODE):
        scenario = load(path, allow_custom=True)
        for variant in (scenario, *(scenario.with_strategy(name) for name in scenario.strategies)):
            found.update(named(variant.model_dump(exclude={"strategies"}), ""))
    return found


@pytest.mark.parametrize(
    "topic",
    [
        "availability",
        "interference",
        "jitter",
        "model",
        "partition",
        "staleness",
        "strategy",
        "task",
    ],
)
def test_every_kind_is_shown(topic: str):
    assert {kind for field, kind in shown() if field == topic} == {
        kind.name for kind in list_kinds(topic)
    }
