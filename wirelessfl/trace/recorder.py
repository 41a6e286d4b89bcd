"""Gathers a run's rows as they happen: checked when they come, joined into tables at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from wirelessfl.trace.tables import CLIENTS, EVENT_LOG, ROUNDS, coded, to_arrow, to_frame


class Recorder:
    """The three tables of a trace, growing.

    Every method takes all columns of its table by name (see `wirelessfl.trace.tables`) and raises
    ValueError on a missing, unknown or ill-typed one, at the moment it is given.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {"rounds": [], "clients": [], "events": []}

    def append_round(self, row: Mapping[str, Any]) -> None:
        """Add one round; a value per column, NaN where there is none."""
        columns = {name: np.asarray([value]) for name, value in row.items()}
        self._parts["rounds"].append(to_arrow(columns, coded(ROUNDS)))

    def append_clients(self, columns: Mapping[str, Any]) -> None:
        """Add the participants of a round; an array per column. [participants]"""
        self._parts["clients"].append(to_arrow(columns, coded(CLIENTS)))

    def append_events(self, columns: Mapping[str, Any]) -> None:
        """Add events in any order of time; an array per column. [events]"""
        self._parts["events"].append(to_arrow(columns, coded(EVENT_LOG)))

    def rounds(self) -> pd.DataFrame:
        """One row a round, in the order given."""
        return to_frame(_joined(self._parts["rounds"], ROUNDS))

    def clients(self) -> pd.DataFrame:
        """One row a client and round, in the order given."""
        return to_frame(_joined(self._parts["clients"], CLIENTS))

    def events(self) -> pd.DataFrame:
        """One row an event, by time; events of one instant stay in the order given."""
        events = to_frame(_joined(self._parts["events"], EVENT_LOG))
        if events["time_s"].is_monotonic_increasing:  # as a run gives them: sorting would copy all
            return events
        return events.sort_values("time_s", kind="stable", ignore_index=True)


def _joined(parts: list[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([coded(schema).empty_table(), *parts]).cast(schema)
