"""What is wrong with a scenario, said in the words and at the places of its file.

pydantic checks values. What it cannot say well is found here first, by walking file and models side
by side: unknown keys and kinds with the nearest valid name, and numbers that lack their unit.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import ValidationError

from wirelessfl.scenario.base import (
    Config,
    FileMark,
    FolderMark,
    kinds,
    parts,
    sections,
    yaml_fields,
)
from wirelessfl.scenario.custom import Custom
from wirelessfl.scenario.located import Located, Path, Place, Problem, suggestion
from wirelessfl.scenario.units import Dimension

BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
WORDS = {  # pydantic's to ours
    "Input should": "must",
    "String should": "must",
    "Tuple should": "must",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid ": "a ",
    "array": "list",
    "tuple": "list",
    "an object": "a mapping",
    " after validation": "",
}


class Shape:
    """How a file's tree fits the models.

    Attributes:
        problems: What does not fit, by path.
        dimensions: The dimension of every value that has one, by path.
        files: Every value that names a file, by path.
        folders: Every value that names a folder, by path.
        customs: Every section that names code of the user's own, by path.
    """

    def __init__(self, tree: Located, model: type[Config]) -> None:
        self.problems: dict[Path, Problem] = {}
        self.dimensions: dict[Path, Dimension] = {}
        self.files: dict[Path, Located] = {}
        self.folders: dict[Path, Located] = {}
        self.customs: dict[Path, Located] = {}
        self._walk(tree, model, ())

    def _walk(self, node: Located, annotation: Any, path: Path) -> None:
        if isinstance(node.value, dict) and sections(annotation):
            self._section(node, annotation, path)
        elif isinstance(node.value, dict | list):
            container, item = (dict, 1) if isinstance(node.value, dict) else (tuple, 0)
            items = [get_args(p)[item] for p in parts(annotation) if get_origin(p) is container]
            for key, child in node.children.items() if items else ():
                self._walk(child, items[0], (*path, key))
        else:
            self._leaf(node, annotation, path)

    def _section(self, node: Located, annotation: Any, path: Path) -> None:
        model = self._choose(node, annotation, path)
        if model is None:
            return
        if issubclass(model, Custom):
            self.customs[path] = node
        fields = yaml_fields(model)
        for key, child in node.value.items():
            if key in fields:
                self._walk(child, fields[key].rebuild_annotation(), (*path, key))
            else:
                message = f"unknown key {key!r}; {suggestion(key, list(fields))}"
                self._note(child.key, (*path, key), message)

    def _choose(self, node: Located, annotation: Any, path: Path) -> type[Config] | None:
        """The section that `kind` names, or the only one there is."""
        models, by_kind = sections(annotation), kinds(annotation)
        if len(models) == 1:
            return models[0]
        kind = node.value.get("kind")
        if kind is None:
            self._note(node.place, (*path, "kind"), f"is missing; one of: {', '.join(by_kind)}")
        elif str(kind.value) in by_kind:
            return by_kind[str(kind.value)]
        else:
            message = f"unknown kind {kind}; {suggestion(str(kind.value), list(by_kind))}"
            self._note(kind.place, (*path, "kind"), message)
        return None

    def _leaf(self, node: Located, annotation: Any, path: Path) -> None:
        dimension = next((p for p in parts(annotation) if isinstance(p, Dimension)), None)
        if dimension is not None:
            self.dimensions[path] = dimension
            if isinstance(node.value, int | float):
                self._note(node.place, path, f"{node} {dimension.requirement}")
        elif any(isinstance(p, FolderMark) for p in parts(annotation)):
            self.folders[path] = node
        elif any(isinstance(p, FileMark) for p in parts(annotation)):
            self.files[path] = node
        elif (by_kind := kinds(annotation)) and type(node.value) not in parts(annotation):
            example = node.value if str(node.value) in by_kind else next(iter(by_kind))
            message = f"{node} must be a mapping such as {{kind: {example}}}"
            self._note(node.place, path, f"{message} (kinds: {', '.join(by_kind)})")

    def _note(self, place: Place, path: Path, message: str) -> None:
        self.problems[path] = Problem(place, path, message)


def explain(tree: Located, shape: Shape, error: ValidationError) -> list[Problem]:
    """Every problem of a scenario: those of its shape, and pydantic's in our words."""
    found: dict[Path, tuple[Located, list[str]]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        misfit = getattr(detail.get("ctx", {}).get("error"), "path", ())
        node, path = _follow(tree, (*detail["loc"], *misfit))
        if detail["type"] == "too_short" and len(node.children) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts only what is valid, and has said what is not
        if detail["type"] == "missing":
            path = (*path, detail["loc"][-1])
        elif detail["type"].startswith("union_tag"):
            path = (*path, "kind")
        if path not in shape.problems:
            phrase = _phrase(detail, shape.dimensions.get(path))
            found.setdefault(path, (node, []))[1].append(phrase)
    problems = [
        Problem(node.place, path, _sentence(node, phrases))
        for path, (node, phrases) in found.items()
    ]
    return [*shape.problems.values(), *problems]


def _follow(tree: Located, location: tuple[int | str, ...]) -> tuple[Located, Path]:
    """The value pydantic speaks of; its names for the branches of unions are passed over."""
    node = tree
    path: Path = ()
    for step in location:
        if step in node.children:
            node, path = node.children[step], (*path, step)
    return node, path


def _phrase(detail: Any, dimension: Dimension | None) -> str:
    if detail["type"] in BOUNDS:
        name, words = BOUNDS[detail["type"]]
        bound = detail["ctx"][name]
        return f"must be {words} {dimension.format(bound) if dimension else f'{bound:g}'}"
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    text: str = detail["msg"]
    for theirs, ours in WORDS.items():
        text = text.replace(theirs, ours)
    return text


def _sentence(node: Located, phrases: list[str]) -> str:
    """What was written, and the one thing or the several things it could be."""
    first, *others = dict.fromkeys(phrases)
    text = " or ".join([first, *(phrase.removeprefix("must be ") for phrase in others)])
    return f"{node} {text}" if text.startswith("must ") else text
