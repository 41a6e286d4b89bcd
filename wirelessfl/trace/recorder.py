"""Gathers a run's rows as they happen: checked when they come, joined into tables at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from wirelessfl.trace.tables import CLIENTS, EVENT_LOG, ROUNDS, coded, to_arrow, to_frame

_TOGETHER = 256  # small tables that become one: each by itself takes 20 KB, however few its rows


class Recorder:
    """The three tables of a trace, growing.

    Every method takes all columns of its table by name (see `wirelessfl.trace.tables`) and raises
    ValueError on a missing, unknown or ill-typed one, at the moment it is given.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {"rounds": [], "clients": [], "events": []}
        self._recent: dict[str, list[pa.Table]] = {name: [] for name in self._parts}

    def append_round(self, row: Mapping[str, Any]) -> None:
        """Add one round; a value per column, NaN where there is none."""
        columns = {name: np.asarray([value]) for name, value in row.items()}
        self._append("rounds", to_arrow(columns, coded(ROUNDS)))

    def append_clients(self, columns: Mapping[str, Any]) -> None:
        """Add the participants of a round; an array per column. [participants]"""
        self._append("clients", to_arrow(columns, coded(CLIENTS)))

    def append_events(self, columns: Mapping[str, Any]) -> None:
        """Add events in any order of time; an array per column. [events]"""
        self._append("events", to_arrow(columns, coded(EVENT_LOG)))

    def rounds(self) -> pd.DataFrame:
        """One row a round, in the order given."""
        return to_frame(self._joined("rounds", ROUNDS))

    def clients(self) -> pd.DataFrame:
        """One row a client and round, in the order given."""
        return to_frame(self._joined("clients", CLIENTS))

    def events(self) -> pd.DataFrame:
        """One row an event, by time; events of one instant stay in the order given."""
        events = to_frame(self._joined("events", EVENT_LOG))
        if events["time_s"].is_monotonic_increasing:  # as a run gives them: sorting would copy all
            return events
        return events.sort_values("time_s", kind="stable", ignore_index=True)

    def _append(self, name: str, part: pa.Table) -> None:
        recent = self._recent[name]
        recent.append(part)
        if len(recent) == _TOGETHER:
            whole = pa.concat_tables(recent).unify_dictionaries().combine_chunks()
            self._parts[name].append(whole)
            recent.clear()

    def _joined(self, name: str, schema: pa.Schema) -> pa.Table:
        parts = [coded(schema).empty_table(), *self._parts[name], *self._recent[name]]
        return pa.concat_tables(parts).cast(schema)
