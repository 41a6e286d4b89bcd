"""What a scenario holds at a dotted path, and the unit it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wirelessfl.scenario.base import Config, parts, yaml_fields
from wirelessfl.scenario.units import Dimension


def field_at(config: Config, path: str) -> tuple[Any, str]:
    """Value and SI unit of a field; None and '' where the scenario's kinds have no such field.

    Args:
        config: A scenario, or a section.
        path: YAML names, e.g. 'network.uplink.bandwidth'.
    """
    node: Any = config
    unit = ""
    for key in path.split("."):
        if isinstance(node, Config):
            field = yaml_fields(type(node)).get(key)
            if field is None:
                return None, ""
            dimensions = [p for p in parts(field.rebuild_annotation()) if isinstance(p, Dimension)]
            unit = dimensions[0].unit if dimensions else ""
            node = next(getattr(node, n) for n, f in type(node).model_fields.items() if f is field)
        elif isinstance(node, Mapping):
            node, unit = node.get(key), ""
        else:
            return None, ""
    return node, unit
