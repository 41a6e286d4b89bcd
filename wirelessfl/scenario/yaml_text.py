"""YAML of our own: the catalogues that come with the package, and values written for people."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, TypeVar

from pydantic import TypeAdapter
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from wirelessfl.scenario.base import Config

Entry = TypeVar("Entry", bound=Config)


def read_catalogue(file: str, entry: type[Entry]) -> Mapping[str, Entry]:
    """The entries of a file in `wirelessfl/scenario/data`, by name."""
    text = files("wirelessfl.scenario").joinpath("data", file).read_text(encoding="utf-8")
    return TypeAdapter(dict[str, entry]).validate_python(  # type: ignore[valid-type]
        YAML(typ="safe").load(text)
    )


def yaml_text(value: Any) -> str:
    """JSON values as YAML, in their order, one to a line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 100
    yaml.representer.add_representer(str, _text_node)
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _text_node(representer: SafeRepresenter, text: str) -> ScalarNode:
    """Plain or quoted as need be; a NEL (U+0085) only survives as an escape in double quotes."""
    style = '"' if "\x85" in text else None
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)
