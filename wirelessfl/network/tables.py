"""Constants of the specifications, kept as YAML data with their sources beside them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML


@cache
def load_table(name: str) -> dict[str, Any]:
    """Contents of `network/data/<name>.yaml`; callers must not modify it."""
    text = (resources.files("wirelessfl.network") / "data" / f"{name}.yaml").read_text("utf-8")
    table: dict[str, Any] = YAML(typ="safe").load(text)
    return table
