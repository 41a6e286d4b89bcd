"""Files that a scenario names: their hash, and CSV tables; a complaint names its line."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator
from pathlib import Path

from wirelessfl.errors import InputError


def csv_table(
    path: Path, columns: tuple[str, ...], sha256: str | None = None, optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row below the header, at least one.

    Args:
        path: The file, UTF-8.
        columns: What the header must name, in this order.
        sha256: What the file's hash must be, if that is known.
        optional: Columns that may follow, all or none of them; cells then do too.

    Raises:
        InputError: If the file cannot be read, has changed, or is not UTF-8 text, CSV, or a table
            of these columns.
    """
    rows = csv_rows(path, sha256)
    names = tuple(cell.strip() for cell in next(rows)[1])
    if names not in (columns, columns + optional):
        found = f"has columns {','.join(names)}" if names else "is empty"
        needed = ",".join(columns) + "".join(f"[,{name}]" for name in optional)
        raise line_error(path, 1, f"{found}; needs {needed}")
    line = None
    for line, cells in rows:
        if len(cells) != len(names):
            raise line_error(path, line, f"has {len(cells)} values for {len(names)} columns")
        yield line, cells
    if line is None:
        raise line_error(path, 1, "has a header but no rows")


def csv_rows(path: Path, sha256: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank; the first line's even if it is.

    Raises:
        InputError: If the file cannot be read, has changed, or is not UTF-8 text or CSV.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read: {error}") from None
    check_hash(path, data, sha256)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise line_error(path, line, "is not UTF-8 text") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield 1, next(rows, [])
        for cells in rows:
            if cells:
                yield rows.line_num, cells
    except csv.Error as error:
        raise line_error(path, rows.line_num, f"is not CSV: {error}") from None


def check_hash(path: Path, data: bytes, sha256: str | None) -> None:
    """Checks what was read from a file against the hash that a scenario has noted, if it has.

    Raises:
        InputError: If the file has changed.
    """
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise InputError(f"{path}: has changed since the scenario noted its SHA-256, {sha256}")


def client_cell(path: Path, line: int, cell: str, clients: int) -> int:
    """A cell as the number of one of `clients` clients.

    Raises:
        InputError: If it is not.
    """
    text = cell.strip()
    if not (text.isascii() and text.isdecimal()):
        raise line_error(path, line, f"client is {cell!r}, must be a whole number from 0 on")
    if len(text) > 18 or int(text) >= clients:
        message = f"unknown client {text[:18]}; the scenario has 0 to {clients - 1}"
        raise line_error(path, line, message)
    return int(text)


def number_cell(
    path: Path,
    line: int,
    name: str,
    cell: str,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """A cell of the column `name` as a finite number within bounds.

    Raises:
        InputError: If it is not.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and least <= value <= most):
        bound = "" if math.isinf(least) else f" of at least {least:g}"
        bound += f" up to {most:g}" if value > most else ""
        raise line_error(path, line, f"{name} is {cell!r}, must be a number{bound}")
    return value


def line_error(path: Path, line: int, message: str) -> InputError:
    """What is wrong in one line of a file."""
    return InputError(f"{path}:{line}: {message}")
