"""Files that are either whole or not there, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from wirelessfl.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name to write to; what was written gets `path`'s name once it is complete and durable.

    Raises:
        InputError: If `path` is there and is no ordinary file, such as a device.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not an ordinary file")
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder if it is not there, and see that it can be written to.

    Raises:
        InputError: If that cannot be, before anything has taken time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise InputError(f"{folder} is a file, not a folder") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
