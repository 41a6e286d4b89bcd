"""A run as a timeline for people: Trace Event format, opens in https://ui.perfetto.dev.

One track for the server's rounds and one for each client, with a slice for each thing it does.
Trace Event times are microseconds; here they are simulated ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from wirelessfl.trace.tables import SERVER

_SERVER_PROCESS, _CLIENTS_PROCESS = 1, 2
_SLICES = (
    ("download", "download_start_s", "download_s"),
    ("queue", "download_end_s", "queue_s"),
    ("compute", "compute_start_s", "compute_s"),
    ("upload", "upload_start_s", "upload_s"),
)
_INSTANTS = ("drop", "crash", "offline", "lost", "wait", "plan", "aggregate", "evaluate")

Event = dict[str, Any]


def timeline(rounds: pd.DataFrame, clients: pd.DataFrame, events: pd.DataFrame) -> str:
    """The JSON text of a trace's tables.

    Slices come from the rounds and clients tables (work cut short has the length it had, empty
    and missing slices are left out), instants from the events table.
    """
    trace_events = [
        *_track_names(clients),
        *_round_slices(rounds),
        *_client_slices(clients),
        *_instants(events),
    ]
    document = {"displayTimeUnit": "ms", "traceEvents": trace_events}
    return json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"


def _track_names(clients: pd.DataFrame) -> Iterator[Event]:
    for process, name in ((_SERVER_PROCESS, "server"), (_CLIENTS_PROCESS, "clients")):
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    yield _track_name(_SERVER_PROCESS, 0, "rounds")
    devices = clients.drop_duplicates("client").sort_values("client")
    for client, profile in zip(devices["client"], devices["profile"], strict=True):
        yield _track_name(_CLIENTS_PROCESS, int(client), f"client {client} ({profile})")


def _track_name(process: int, track: int, name: str) -> Event:
    return {"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": name}}


def _round_slices(rounds: pd.DataFrame) -> Iterator[Event]:
    columns = ("round", "start_s", "duration_s", "participants", "completed")
    for number, start_s, duration_s, participants, completed in _rows(rounds, columns):
        if duration_s > 0:
            arguments = {"participants": participants, "completed": completed}
            yield _slice(f"round {number}", _SERVER_PROCESS, 0, start_s, duration_s, arguments)


def _client_slices(clients: pd.DataFrame) -> Iterator[Event]:
    for name, start, duration in _SLICES:
        columns = ("client", "round", "rank", "outcome", start, duration)
        for client, number, rank, outcome, start_s, duration_s in _rows(clients, columns):
            if duration_s > 0 and not math.isnan(start_s):
                arguments = {"round": number, "rank": rank, "outcome": outcome}
                yield _slice(name, _CLIENTS_PROCESS, client, start_s, duration_s, arguments)


def _slice(
    name: str, process: int, track: int, start_s: float, duration_s: float, arguments: Event
) -> Event:
    return {
        "ph": "X",
        "name": name,
        "pid": process,
        "tid": track,
        "ts": _microseconds(start_s),
        "dur": _microseconds(duration_s),
        "args": arguments,
    }


def _instants(events: pd.DataFrame) -> Iterator[Event]:
    shown = events[events["event"].isin(_INSTANTS)]
    for time_s, number, client, name in _rows(shown, ("time_s", "round", "client", "event")):
        at_server = client == SERVER
        yield {
            "ph": "i",
            "s": "t",
            "name": name,
            "pid": _SERVER_PROCESS if at_server else _CLIENTS_PROCESS,
            "tid": 0 if at_server else client,
            "ts": _microseconds(time_s),
            "args": {"round": number},
        }


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The columns' rows as plain Python values, which JSON can write."""
    return zip(*(frame[column].tolist() for column in columns), strict=True)


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3)
