"""Columns of a table as texts, whatever it is kept in: CSV, JSON Lines, Parquet, `datasets`.

Numbers are written out, and what is missing is the empty text; lists and the like are refused, for
nobody can have meant how Python prints them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wirelessfl.errors import InputError, reason
from wirelessfl.scenario.datafile import check_hash, csv_rows, line_error


@dataclass(frozen=True)
class Table:
    """A table, of which only the columns that are asked for are turned into Python values.

    Attributes:
        source: What messages call it.
        names: Its columns.
        values: The values of one of them, row after row.
    """

    source: str
    names: tuple[str, ...]
    values: Callable[[str], Iterable[Any]]

    def texts(self, name: str) -> list[str]:
        """One column as texts.

        Raises:
            InputError: If there is no such column, or a value is neither text nor number.
        """
        if name not in self.names:
            raise InputError(f"{self.source}: has no column {name!r}; it has: {self._named()}")
        if self.names.count(name) > 1:
            raise InputError(f"{self.source}: has several columns {name!r}: {self._named()}")
        return [self._text(name, row, value) for row, value in enumerate(self.values(name), 1)]

    def _named(self) -> str:
        return ", ".join(self.names)

    def _text(self, name: str, row: int, value: object) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if isinstance(value, str | int | float):
            return str(value)
        found = type(value).__name__
        raise InputError(f"{self.source}: {name} is a {found} in row {row}; must be text or number")


def read_table(path: Path, sha256: str | None = None) -> Table:
    """A .csv, .jsonl or .parquet file.

    Args:
        path: The file; CSV and JSON Lines in UTF-8.
        sha256: What its hash must be, if that is known.

    Raises:
        InputError: If it cannot be read, has changed, or is not what its name says.
    """
    readers: Mapping[str, Callable[[Path, str | None], Table]] = {
        ".csv": _csv,
        ".jsonl": _json_lines,
        ".parquet": _parquet,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise InputError(f"{path}: is not a .csv, .jsonl or .parquet file")
    return read(path, sha256)


def read_saved(folder: Path) -> Mapping[str, Table]:
    """What `save_to_disk` of the library `datasets` wrote: splits by name, `train` if it has none.

    Classes (`ClassLabel`) are told by their names; one that is not given (-1) is missing.

    Raises:
        InputError: If the library is not installed, or the folder is not one of its own.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            "learning.task.folder: needs the package datasets: pip install 'wirelessfl[datasets]'"
        ) from None
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        message = f"{folder}: is not a folder of save_to_disk: {reason(error)}"
        raise InputError(message) from None
    if not isinstance(found, datasets.DatasetDict):
        return {"train": _saved(str(folder), found)}
    return {name: _saved(f"{folder}/{name}", split) for name, split in found.items()}


def _saved(source: str, split: Any) -> Table:
    def values(name: str) -> Iterable[Any]:
        classes = getattr(split.features[name], "names", None)
        if classes is None:
            return split[name]  # type: ignore[no-any-return]
        return [None if of is None or of < 0 else classes[of] for of in split[name]]

    return Table(source, tuple(split.column_names), values)


def _csv(path: Path, sha256: str | None) -> Table:
    rows = csv_rows(path, sha256)
    _, names = next(rows)
    if not names:
        raise line_error(path, 1, "is empty; the first line names the columns")
    cells: list[Sequence[str]] = []
    for line, row in rows:
        if len(row) != len(names):
            counts = f"has {len(row)} values for {len(names)} columns"
            raise line_error(path, line, f"{counts}; a value with a comma in it needs quotes")
        cells.append(row)
    columns = dict(zip(names, zip(*cells, strict=True), strict=True)) if cells else {}
    return Table(str(path), tuple(names), lambda name: columns.get(name, ()))


def _json_lines(path: Path, sha256: str | None) -> Table:
    rows: list[dict[str, Any]] = []
    for line, text in enumerate(_bytes(path, sha256).splitlines(), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, too
            raise line_error(path, line, f"is not JSON: {reason(error)}") from None
        if not isinstance(row, dict):
            raise line_error(path, line, f"is a {type(row).__name__}, must be an object {{...}}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: has no rows")
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(str(path), names, lambda name: (row.get(name) for row in rows))


def _parquet(path: Path, sha256: str | None) -> Table:
    data = _bytes(path, sha256)
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: is not Parquet: {reason(error)}") from None
    return Table(str(path), tuple(table.column_names), lambda name: table.column(name).to_pylist())


def _bytes(path: Path, sha256: str | None) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    check_hash(path, data, sha256)
    return data
