"""YAML text as a tree that remembers where every value was written.

YAML 1.2 with plain values only: no tags of one's own, no duplicate keys, bounded size and depth,
aliases within bounds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from wirelessfl.errors import InputError

MAX_DEPTH = 32
MAX_VALUES = 200_000
MAX_MESSAGES = 20
TAG = "tag:yaml.org,2002:"

Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written: a file's line and column, or an option."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: " if self.line else f"{self.source} "


@dataclass(frozen=True)
class Located:
    """A value with its place.

    Attributes:
        value: A scalar, or located values in a list or by key.
        place: Where the value stands.
        key: Where its key stands; the value's place in a list.
        whole: Whether it takes the place of a section instead of being merged into it.
    """

    value: Any
    place: Place
    key: Place
    whole: bool = False

    @property
    def children(self) -> Mapping[str | int, Located]:
        """The values in it, by key or position; none in a scalar."""
        if isinstance(self.value, list):
            return dict(enumerate(self.value))
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """The bare values."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def __str__(self) -> str:
        """The value, as messages show it."""
        if isinstance(self.value, dict | list):
            return "a mapping" if isinstance(self.value, dict) else "a list"
        if self.value is None or isinstance(self.value, bool):
            return {None: "null", True: "true", False: "false"}[self.value]
        text = repr(self.value)
        return text if len(text) <= 80 else f"{text[:77]}..."


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a scenario; problems sort in the order of the file."""

    place: Place
    path: Path
    message: str

    def __str__(self) -> str:
        path = ".".join(map(str, self.path))
        return f"{self.place}{path}: {self.message}" if path else f"{self.place}{self.message}"


def report(problems: Iterable[Problem]) -> InputError:
    """One error that lists every problem, one a line."""
    lines = [str(problem) for problem in sorted(problems, key=lambda p: (p.place, str(p)))]
    hidden = len(lines) - MAX_MESSAGES
    more = [f"and {hidden} more"] if hidden > 0 else []
    return InputError("\n".join(lines[:MAX_MESSAGES] + more))


def suggestion(name: str, allowed: Sequence[str]) -> str:
    """The nearest valid name, if one is near, and all of them."""
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}(allowed: {', '.join(allowed)})"


def read_yaml(text: str, source: str) -> Located:
    """Parse one YAML document.

    Args:
        text: The document.
        source: What messages call it.

    Raises:
        InputError: If it is not YAML, empty, or holds something a scenario cannot.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
    except MaxDepthExceededError as error:
        mark = error.problem_mark
        place = Place(source, mark.line + 1, mark.column + 1)
        raise InputError(f"{place}values are nested deeper than {MAX_DEPTH}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1)
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise InputError(f"{place}not valid YAML: {what}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise InputError(f"{Place(source, line, column)}not valid YAML: {error.reason}") from None
    except YAMLError as error:
        raise InputError(f"{source}: not valid YAML: {error}") from None
    if root is None:
        raise InputError(f"{source}: is empty")
    builder = _Builder(source, yaml.constructor)
    tree = builder.build(root, (), None)
    if builder.problems:
        raise report(builder.problems)
    return tree


@dataclass
class _Builder:
    """Turns composed nodes into located values, collecting what a scenario cannot hold."""

    source: str
    constructor: Any
    problems: list[Problem] = field(default_factory=list)
    values: int = 0

    def build(self, node: Node, path: Path, key: Place | None) -> Located:
        place = self._place(node)
        self.values += 1
        if len(path) > MAX_DEPTH or self.values > MAX_VALUES:
            raise InputError(f"{place}too many or too deeply nested values, or aliases that repeat")
        value: Any = None
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            value = self._mapping(node, path)
        elif isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            value = [self.build(child, (*path, i), None) for i, child in enumerate(node.value)]
        elif isinstance(node, ScalarNode):
            value = self._scalar(node, path)
        else:
            self._refuse(node, path, f"the tag {node.tag} is not allowed")
        return Located(value, place, key or place)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Located]:
        found: dict[str, Located] = {}
        for key_node, value_node in node.value:
            if key_node.tag != TAG + "str":
                self._refuse(key_node, path, "a key must be text (numbers as keys need quotes)")
                continue
            key, place = key_node.value, self._place(key_node)
            if key in found:
                message = f"duplicate key {key!r} (first in line {found[key].key.line})"
                self._refuse(key_node, (*path, key), message)
            found[key] = self.build(value_node, (*path, key), place)
        return found

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        try:
            text.encode()
            match str(node.tag).removeprefix(TAG):
                case "null":
                    return None
                case "bool":
                    return self.constructor.construct_yaml_bool(node)
                case "int":
                    return self.constructor.construct_yaml_int(node)
                case "float":
                    return self.constructor.construct_yaml_float(node)
                case "str" | "timestamp":  # dates are a YAML 1.1 type
                    return text
                case _:
                    self._refuse(node, path, f"the tag {node.tag} is not allowed")
        except (ValueError, KeyError):  # e.g. '!!int x', half a surrogate pair, a million digits
            self._refuse(node, path, f"{text[:40]!r} is not valid here")
        return None

    def _refuse(self, node: Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self._place(node), path, message))

    def _place(self, node: Node) -> Place:
        return Place(self.source, node.start_mark.line + 1, node.start_mark.column + 1)
