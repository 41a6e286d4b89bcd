"""Code of the user's own: `kind: custom`, the one door through which a scenario brings any.

A scenario is data, so nothing here runs unless whoever loads it says `--allow-custom`
(`load(..., allow_custom=True)`). The module's source is hashed when the scenario is loaded, so that
another version of it is another scenario; what the module imports is not followed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, JsonValue, field_validator

from wirelessfl.errors import InputError, reason
from wirelessfl.scenario.base import Config, FileHash, FolderName

Built = TypeVar("Built")


class Custom(Config):
    """A class of your own, run only with --allow-custom."""

    kind: Literal["custom"] = "custom"
    target: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="The class, as package.module:Class.",
    )
    parameters: dict[str, JsonValue] = Field(
        {}, description="Arguments of the class by name, plain numbers, texts and lists."
    )
    folder: FolderName | None = Field(
        None,
        min_length=1,
        description="Folder the module is looked for in, after Python's own path; null is the "
        "folder of this file, which loading notes.",
    )
    sha256: FileHash = None

    @field_validator("parameters")
    @classmethod
    def _survive_being_written(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise ValueError("holds a number that is not finite") from None
        return value


def build_custom(config: Custom, base: type[Built], where: str, /, **offered: Any) -> Built:
    """An instance of the user's class.

    Args:
        config: Which class, and its parameters.
        base: What the class must extend.
        where: The scenario's field, for messages.
        offered: Further arguments, given to the class if its constructor names them.

    Raises:
        InputError: If there is no such class, it does not extend `base`, or it cannot be built.
    """
    try:
        return _instance(config, find_class(config), base, offered)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error.__cause__


def find_class(config: Custom) -> type:
    """The class that a section names; its module is imported.

    Raises:
        InputError: If it cannot be, or is not the source that the scenario has noted.
    """
    name, _, attribute = config.target.partition(":")
    module = _module(name, config.folder)
    if config.sha256 not in (None, source_hash(config)):
        raise InputError(
            f"{module.__file__} has changed since the scenario noted its SHA-256, {config.sha256}"
        )
    found = getattr(module, attribute, None)
    if not inspect.isclass(found):
        own = [n for n, c in vars(module).items() if getattr(c, "__module__", "") == name]
        classes = [n for n in own if inspect.isclass(vars(module)[n])]
        raise InputError(
            f"{module.__file__} has no class {attribute!r} (classes: {', '.join(classes)})"
        )
    return cast(type, found)


def source_hash(config: Custom) -> str:
    """SHA-256 (hexadecimal) of the source of a section's module, as it was imported.

    Raises:
        InputError: If the module cannot be imported, or is not a file.
    """
    module = _module(config.target.partition(":")[0], config.folder)
    return _first_hash(module)


def _module(name: str, folder: str | None) -> ModuleType:
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)  # the last, so that a file beside a scenario hides no package
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a module can do anything while it is imported
        beside = "" if folder is None else f" (looked for on Python's path, then in {folder})"
        missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        why = f"there is no module {name!r}{beside}" if missing else _said(error, name)
        raise InputError(why) from error
    if getattr(module, "__file__", None) is None:
        raise InputError(f"the module {name!r} is no file of Python source")
    if _first_hash(module) != _hash(module):
        raise InputError(
            f"{module.__file__} has changed since this process imported it; start Python anew"
        )
    return module


@functools.cache
def _first_hash(module: ModuleType) -> str:
    """The hash when the module was first seen here, which is what runs."""
    return _hash(module)


def _hash(module: ModuleType) -> str:
    return hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()


def _instance(config: Custom, found: type, base: type[Built], offered: dict[str, Any]) -> Built:
    target = config.target
    if not issubclass(found, base):
        raise InputError(f"{target} must extend {base.__module__}.{base.__qualname__}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise InputError(f"{target} does not define {', '.join(missing)}")
    signature = inspect.signature(found)
    if taken := sorted(config.parameters.keys() & offered.keys()):
        raise InputError(f"parameters: {', '.join(taken)}: given by the simulation itself")
    arguments = {name: offered[name] for name in offered if name in signature.parameters}
    arguments |= config.parameters
    try:
        signature.bind(**arguments)
    except TypeError as error:
        own = [name for name in signature.parameters if name not in offered]
        raise InputError(
            f"parameters: {target}: {error} (takes: {', '.join(own) or 'none'})"
        ) from None
    try:
        return found(**arguments)
    except InputError as error:
        raise InputError(f"{target}: {error}") from error
    except Exception as error:
        module = target.partition(":")[0]
        raise InputError(f"{target} cannot be built: {_said(error, module)}") from error


def _said(error: BaseException, module: str) -> str:
    """What went wrong in the user's code, and in which line of the module if in one."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(sys.modules.get(module), "__file__", None)
    own = [frame for frame in frames if frame.filename == file or file is None]
    outside = ("<frozen", str(Path(importlib.__file__).parent))
    own = [frame for frame in own if not frame.filename.startswith(outside)]
    line = f" ({own[-1].filename}:{own[-1].lineno})" if own and own[-1].filename != __file__ else ""
    return f"{type(error).__name__}: {reason(error)}{line}"
