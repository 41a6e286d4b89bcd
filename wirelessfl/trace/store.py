"""A finished run: its tables, what it was, and its files.

A folder is written file by file, each complete before it gets its name, and `summary.json` last: a
folder with a summary holds a whole run. Equal traces give equal bytes, but for `summary["host"]`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wirelessfl.errors import InputError, reason
from wirelessfl.trace.files import whole_file
from wirelessfl.trace.partition_plot import plot_partition
from wirelessfl.trace.plots import plot_convergence
from wirelessfl.trace.tables import (
    CLIENTS,
    EVENT_LOG,
    HOLDINGS,
    ROUNDS,
    SCHEMA_VERSION,
    to_arrow,
    to_frame,
)
from wirelessfl.trace.timeline import timeline

Metric = Literal["loss", "accuracy", "perplexity"]
Curve = list[tuple[float, float]]

_TABLES = {"rounds": ROUNDS, "clients": CLIENTS, "events": EVENT_LOG}


# What a run may leave, and the one before it in the folder may have left.
_OPTIONAL = (
    *("holdings.parquet", "partition.png", "partition.svg"),
    *("convergence.png", "convergence.svg"),
)

# What the summary of a run says, and as what.
_SAID: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "strategy": str,
    "seed": int,
    "fingerprint": str,
    "versions": dict,
    "task": (dict, type(None)),
    "memory": dict,
    "target_reached": bool,
    "diverged": (str, type(None)),
    "host": dict,
    "totals": dict,
}

Table = pd.DataFrame | Callable[[], pd.DataFrame]


class Trace:
    """Everything a run left behind.

    Args:
        rounds, clients, events: The tables, or functions that make them when first looked at.
        summary: See below.
        scenario_yaml: See below.

    Attributes:
        rounds: One row a round (round 0: the evaluation before the first).
        clients: One row a participant and round.
        events: One row an event, by time; empty if the scenario records none.
        summary: What ran and how it ended; JSON values, of this machine only under `host`.
        scenario_yaml: The resolved scenario; running it again gives the same tables.
        adapter: The trained adapter as the files of a folder that PEFT loads; empty if nothing was
            learnt, or if the trace was read from files.
        holdings: Who holds what: one row a client and class it has; empty if nothing was learnt.

    `wirelessfl.trace.tables` documents the columns and their units.
    """

    def __init__(
        self,
        rounds: Table,
        clients: Table,
        events: Table,
        summary: dict[str, Any],
        scenario_yaml: str,
        adapter: Mapping[str, bytes] | None = None,
        holdings: pd.DataFrame | None = None,
    ) -> None:
        self._given = {"rounds": rounds, "clients": clients, "events": events}
        self.summary, self.scenario_yaml = summary, scenario_yaml
        self.adapter = dict(adapter or {})
        self.holdings = to_frame(HOLDINGS.empty_table()) if holdings is None else holdings

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """See the class."""
        return self._made("rounds")

    @cached_property
    def clients(self) -> pd.DataFrame:
        """See the class."""
        return self._made("clients")

    @cached_property
    def events(self) -> pd.DataFrame:
        """See the class."""
        return self._made("events")

    def _made(self, name: str) -> pd.DataFrame:
        given = self._given.pop(name)
        return given() if callable(given) else given

    def curve(self, metric: Metric) -> Curve:
        """(simulated second, value) of every evaluation, in order."""
        evaluated = self.rounds[self.rounds[metric].notna()]
        return list(zip(evaluated["end_s"].tolist(), evaluated[metric].tolist(), strict=True))

    def time_to(
        self,
        metric: Metric,
        below: float | None = None,
        above: float | None = None,
        smooth: int = 1,
    ) -> float | None:
        """Simulated seconds until the metric reaches a level, or None if it never does.

        Args:
            metric: What was evaluated.
            below: Level to come down to, inclusive; give it or `above`.
            above: Level to come up to, inclusive.
            smooth: The mean of so many evaluations in a row must reach it; the time is the last's.

        Raises:
            InputError: If not exactly one level is given, or `smooth` is less than one.
        """
        if (below is None) == (above is None):
            raise InputError("time_to needs exactly one of below and above")
        if smooth < 1:
            raise InputError(f"time_to: smooth is {smooth}; it must be at least 1")
        curve = self.curve(metric)
        for last in range(smooth, len(curve) + 1):
            # The same arithmetic as the server's own test, so that both agree to the last bit.
            mean = sum(value for _, value in curve[last - smooth : last]) / smooth
            if (below is not None and mean <= below) or (above is not None and mean >= above):
                return curve[last - 1][0]
        return None

    def write(self, folder: str | Path) -> None:
        """Write the trace, its pictures and its timeline into a folder.

        Files of an earlier run there are replaced; a crash leaves a folder without `summary.json`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").unlink(missing_ok=True)
        _write_text(folder / "scenario.yaml", self.scenario_yaml)
        for name, schema in _TABLES.items():
            _write_table(folder / f"{name}.parquet", getattr(self, name), schema)
        for old in _OPTIONAL:
            (folder / old).unlink(missing_ok=True)
        if not self.holdings.empty:
            _write_table(folder / "holdings.parquet", self.holdings, HOLDINGS)
            plot_partition(self.holdings, folder / "partition.png")
        for name, data in self.adapter.items():
            (folder / "adapter").mkdir(exist_ok=True)
            with whole_file(folder / "adapter" / name) as part:
                part.write_bytes(data)
        _write_text(folder / "timeline.json", timeline(self.rounds, self.clients, self.events))
        curve = self.curve("loss")
        if curve:
            name = str(self.summary.get("strategy", "run"))
            plot_convergence({name: [curve]}, "loss", None, folder / "convergence.png")
        summary = {"schema_version": SCHEMA_VERSION} | self.summary
        _write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Trace:
        """Read a trace that `write` wrote.

        Raises:
            InputError: If the folder holds no finished trace, one of another version, or one that
                is damaged.
        """
        folder = Path(folder)
        try:
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
            if summary.pop("schema_version", None) != SCHEMA_VERSION:
                raise InputError(
                    f"{folder} was written by another version of wirelessfl; run it again"
                )
            for key, kind in _SAID.items():
                if key in summary and not isinstance(summary[key], kind):
                    raise ValueError(f"summary.json: {key!r} is {summary[key]!r}")
            tables = {name: _read_table(folder, name, schema) for name, schema in _TABLES.items()}
            held = None
            if (folder / "holdings.parquet").exists():
                held = _read_table(folder, "holdings", HOLDINGS)
            scenario_yaml = (folder / "scenario.yaml").read_text(encoding="utf-8")
        except InputError:
            raise
        except (OSError, ValueError, TypeError, AttributeError) as error:  # Arrow's are ValueErrors
            if not (folder / "summary.json").exists():
                raise InputError(f"{folder} holds no finished run (no summary.json)") from None
            raise InputError(f"{folder} is damaged: {reason(error)}; run it again") from None
        return cls(
            tables["rounds"],
            tables["clients"],
            tables["events"],
            summary,
            scenario_yaml,
            holdings=held,
        )


def _read_table(folder: Path, name: str, schema: pa.Schema) -> pd.DataFrame:
    """A table as it was written.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    path = folder / f"{name}.parquet"
    # Not by its name, as a folder of that name would be read as a table in parts; nor as a file of
    # Python's, which Arrow's threads may still want when the interpreter ends.
    with pa.OSFile(str(path)) as file:
        if missing := set(schema.names) - set(pq.read_schema(file).names):
            raise ValueError(f"{path.name}: lacks the columns {sorted(missing)}")
        table = pq.read_table(file, schema=schema, page_checksum_verification=True)
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"{path.name}: column {field.name!r} has missing values")
    if name == "rounds" and not table.num_rows:
        raise ValueError(f"{path.name} has no rows")
    return to_frame(table)


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Parquet whose bytes depend on the table and the pyarrow version alone."""
    table = to_arrow({column: frame[column] for column in frame.columns}, schema)
    with whole_file(path) as part:
        pq.write_table(table, part, compression="zstd", write_page_checksum=True)
