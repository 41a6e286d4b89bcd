"""What a scenario names on disk: found beside the file that names it, noted by path and hash.

Only ordinary files of bounded size are read, so that neither a device that never ends nor a pipe
nobody writes to can stop a program that merely looks at a scenario. A path may lead anywhere, but
only as it is written: absolute or with `..`; nothing is expanded (`~`, `$HOME`). Links are
followed, and the file they lead to is the one that is noted.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from wirelessfl.errors import InputError
from wirelessfl.scenario.custom import Custom, find_class, source_hash
from wirelessfl.scenario.explain import Shape
from wirelessfl.scenario.located import Located, Problem
from wirelessfl.scenario.located import Path as FieldPath

MAX_DATA_BYTES = 4 << 30


def not_ordinary(path: Path) -> str:
    """Why a path is not an ordinary file that can be read, or nothing.

    Raises:
        OSError: If there is none.
        ValueError: If no file can be called so (a NUL).
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "is a folder"
    return "" if stat.S_ISREG(mode) else "is not an ordinary file (a device, pipe or socket)"


def note_files(data: Any, shape: Shape) -> None:
    """Make the paths of files and folders absolute and note the files' hashes.

    `shape` gets the problems.
    """
    for path, node in shape.files.items():
        if not isinstance(node.value, str) or not node.value:
            continue  # pydantic says so better
        section, file = _section(data, path), beside(node)
        try:
            if why := not_ordinary(file):
                raise ValueError(why)
            if file.stat().st_size > MAX_DATA_BYTES:
                raise ValueError(f"is larger than {MAX_DATA_BYTES >> 30} GiB")
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name, too
            reason = getattr(error, "strerror", None) or error
            shape.problems[path] = Problem(node.place, path, f"{file}: cannot be read: {reason}")
            continue
        section[path[-1]] = str(file.resolve())
        if section.get("sha256") is None:
            section["sha256"] = digest
    for path, node in shape.folders.items():
        if not isinstance(node.value, str) or not node.value:
            continue
        folder = beside(node)
        try:
            there = folder.is_dir()
        except ValueError:  # a NUL in the name
            there = False
        if not there:
            shape.problems[path] = Problem(node.place, path, f"{folder}: no such folder")
            continue
        _section(data, path)[path[-1]] = str(folder.resolve())


def note_code(data: Any, shape: Shape, allowed: bool) -> None:
    """Note folder and hash of the user's own code, which is imported, or refuse it.

    `shape` gets the problems. Call it after `note_files`.
    """
    for path, node in shape.customs.items():
        if not allowed:
            target = node.value.get("target", node)
            message = (
                f"kind: custom runs code of {target}, which must be allowed: --allow-custom "
                "on the command line, allow_custom=True in Python"
            )
            shape.problems[path] = Problem(node.value["kind"].place, path, message)
            continue
        section = _section(data, (*path, "target"))
        target = node.value.get("target")
        if target is None or section.get("folder", "") not in (None, ""):
            where = section.get("folder")
        else:
            where = section["folder"] = str(beside(target).parent.resolve())
        try:
            config = Custom(target=section["target"], folder=where, sha256=section.get("sha256"))
        except (KeyError, ValueError):
            continue  # pydantic says so better
        try:
            find_class(config)
            section["sha256"] = source_hash(config)
        except InputError as error:
            assert target is not None
            at = (*path, "target")
            shape.problems[at] = Problem(target.place, at, str(error))


def beside(node: Located) -> Path:
    """The path that a value names, relative to the file it is written in."""
    return Path(node.place.source).parent / str(node.value)


def _section(data: Any, path: FieldPath) -> Any:
    """The plain section that a field is in."""
    for key in path[:-1]:
        data = data[key]
    return data
