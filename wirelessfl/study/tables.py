"""A study's tables on disk: CSV for people and spreadsheets, Parquet with units for programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wirelessfl.trace.files import whole_file

Columns = Mapping[str, tuple[str, str]]
"""Unit and description of every column, by name."""


def write_tables(frame: pd.DataFrame, path: Path, columns: Columns) -> None:
    """Write a table twice, as PATH.csv and PATH.parquet; missing numbers are empty, and null.

    Args:
        frame: The table.
        path: Where, without a suffix; `table` gives `table.csv` and `table.parquet`.
        columns: Unit and description of every column, kept in the Parquet file as in a trace's.
    """
    with whole_file(path.with_name(path.name + ".csv")) as part:
        frame.to_csv(part, index=False, lineterminator="\n")
    arrays = [pa.array(frame[name], from_pandas=True) for name in columns]
    fields = [
        pa.field(name, array.type, metadata={"unit": unit, "description": description})
        for array, (name, (unit, description)) in zip(arrays, columns.items(), strict=True)
    ]
    with whole_file(path.with_name(path.name + ".parquet")) as part:
        pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), part)
