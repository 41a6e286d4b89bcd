"""The pydoc task: English that every Python carries, so nothing is downloaded.

The documentation strings of the running Python's own standard library, parsed from its source
files; nothing is imported. A string belongs to the top-level package or module it is in, which is
its natural owner. By the hash of its name, an owner is one whose strings a tiny language model is
pre-trained on, or one that takes part in the federated task: no owner is both.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import math
import os
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.texts import Corpus, Text

SHORTEST = 40
"""Characters that a string has at least; below it is mostly boilerplate."""

_SPLIT_SEED = 0
_SOURCE_SHARE = 0.35  # of the owners, about
_FEWEST_OWNERS = 50  # a whole standard library has more than 150
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")  # of statements that hold statements
# Not the library's own, or its tests.
_LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idle_test")


def pydoc_corpus(test_fraction: float = 0.2, folder: Path | None = None) -> Corpus:
    """The texts, the same for a version of Python: no split depends on a scenario's seed.

    Args:
        test_fraction: Share of every owner's strings held out, rounded down.
        folder: Where the library's source is; the running Python's own if None.

    Raises:
        InputError: If there is no source there (some distributions leave it out), or the fraction
            holds nothing out.
    """
    folder = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    with _no_garbage_collection():
        strings = _strings_by_owner(folder)
    if len(strings) < _FEWEST_OWNERS:
        raise InputError(
            f"learning.task: pydoc reads the source of Python's standard library, and {folder} has "
            f"only {len(strings)} packages with documentation; use a complete Python"
        )
    federated = [name for name in strings if not _is_source(name)]
    train: list[Text] = []
    test: list[Text] = []
    for owner, name in enumerate(federated):
        mine = strings[name]
        rng = randomness.generator(_SPLIT_SEED, f"pydoc-split/{name}")
        held_out = set(rng.permutation(len(mine))[: int(test_fraction * len(mine))].tolist())
        for number, text in enumerate(mine):
            (test if number in held_out else train).append(Text(text, owner=owner))
    if not test:
        largest = max(len(strings[name]) for name in federated)
        raise InputError(
            f"learning.task.test_fraction: {test_fraction:g} holds out no string of any package; "
            f"the largest has {largest}, so use at least {math.ceil(100 / largest) / 100:g}"
        )
    source = [Text(text) for name, mine in strings.items() if _is_source(name) for text in mine]
    return Corpus(train, test, source, owners=tuple(federated))


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees are so many objects that looking for garbage would take most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _strings_by_owner(folder: Path) -> dict[str, list[str]]:
    """Every owner's strings in order of their files, owners by name; repeats are left out."""
    strings: dict[str, list[str]] = {}
    seen: set[str] = set()
    for path in sorted(_files(folder)):
        new = [text for text in _docstrings(path) if len(text) >= SHORTEST and text not in seen]
        new = list(dict.fromkeys(new))
        seen.update(new)
        if new:
            owner = path.relative_to(folder).with_suffix("").parts[0]
            strings.setdefault(owner, []).extend(new)
    return dict(sorted(strings.items()))


def _files(folder: Path) -> Iterator[Path]:
    """The library's own source files."""
    for name, folders, files in os.walk(folder):
        folders[:] = [below for below in folders if below not in _LEFT_OUT]
        yield from (Path(name, file) for file in files if file.endswith(".py"))


def _docstrings(path: Path) -> Iterator[str]:
    """Documentation of a module, its classes and functions, with common indentation removed."""
    try:
        with warnings.catch_warnings():  # such as invalid escapes in old files
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # templates and broken files some Pythons carry
        return
    for node in _documented(tree):
        if text := ast.get_docstring(node):
            yield text


def _documented(tree: ast.Module) -> Iterator[_Documented]:
    """What can have documentation, outer before inner; expressions are not looked into."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _Documented):
            yield node
        inner = [child for name in _BLOCKS for child in getattr(node, name, ())]
        waiting += reversed(inner)


def _is_source(owner: str) -> bool:
    """Whether an owner's strings are for pre-training."""
    digest = hashlib.blake2b(owner.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < _SOURCE_SHARE * 2**64
