"""A run as a timeline for people: Trace Event format, opens in https://ui.perfetto.dev.

One track for the server's rounds, one for each client with a slice for each thing it does, and
counters of what is in the air. Trace Event times are microseconds; here they are simulated ones.

A timeline is for looking at, so it is bounded: of a large run it shows some clients whole rather
than all of them in part, and says so under `otherData`. Counters are always of all clients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from wirelessfl.trace.tables import SERVER
from wirelessfl.trace.utilisation import counters

MOST_ROWS = 20_000  # of the clients table whose slices are shown: about 80,000 slices, 12 MB
MOST_ROUNDS = 20_000
MOST_INSTANTS = 20_000

_SERVER_PROCESS, _CLIENTS_PROCESS, _NETWORK_PROCESS = 1, 2, 3
_PROCESSES = ((_SERVER_PROCESS, "server"), (_CLIENTS_PROCESS, "clients"))
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
    and missing slices are left out), instants from the events table, counters from the clients
    table. More than MOST_ROWS, MOST_ROUNDS or MOST_INSTANTS of them are not shown.
    """
    shown = _whole_clients(clients)
    numbers = np.append(shown["client"].unique(), SERVER)
    instants = events[events["event"].isin(_INSTANTS) & events["client"].isin(numbers)]
    trace_events = [
        *_track_names(shown),
        *_round_slices(rounds[:MOST_ROUNDS]),
        *_client_slices(shown),
        *_instants(instants[:MOST_INSTANTS]),
        *_counters(clients),
    ]
    left_out = {
        "clients": clients["client"].nunique() - shown["client"].nunique(),
        "client rounds": len(clients) - len(shown),
        "rounds": max(len(rounds) - MOST_ROUNDS, 0),
        "instants of these clients": max(len(instants) - MOST_INSTANTS, 0),
    }
    document: Event = {"displayTimeUnit": "ms", "traceEvents": trace_events}
    if any(left_out.values()):
        document["otherData"] = {"left out": {what: n for what, n in left_out.items() if n}}
    return json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n"


def _whole_clients(clients: pd.DataFrame) -> pd.DataFrame:
    """All rows, or those of every second, fourth, ... client until they are few enough."""
    shown, numbers = clients, np.sort(clients["client"].unique())
    while len(shown) > MOST_ROWS and len(numbers) > 1:
        numbers = numbers[::2]
        shown = clients[clients["client"].isin(numbers)]
    return shown[:MOST_ROWS]


def _track_names(clients: pd.DataFrame) -> Iterator[Event]:
    for process, name in (*_PROCESSES, (_NETWORK_PROCESS, "network")):
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    yield _track_name(_SERVER_PROCESS, 0, "rounds")
    devices = clients.drop_duplicates("client").sort_values("client")
    for client, profile in zip(devices["client"], devices["profile"], strict=True):
        yield _track_name(_CLIENTS_PROCESS, int(client), f"client {client} ({profile})")


def _track_name(process: int, track: int, name: str) -> Event:
    return {"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": name}}


def _round_slices(rounds: pd.DataFrame) -> Iterator[Event]:
    columns = ("round", "start_s", "end_s", "participants", "completed")
    for number, start_s, end_s, participants, completed in _rows(rounds, columns):
        if end_s > start_s:
            arguments = {"participants": participants, "completed": completed}
            yield _slice(f"round {number}", _SERVER_PROCESS, 0, start_s, end_s, arguments)


def _client_slices(clients: pd.DataFrame) -> Iterator[Event]:
    """Slices by client and time; those of one client never overlap, not even by rounding."""
    parts = [
        clients[["client", "round", "rank", "outcome"]].assign(
            name=name, start_s=clients[start], end_s=clients[start] + clients[duration]
        )
        for name, start, duration in _SLICES
    ]
    slices = pd.concat(parts)
    slices = slices[slices["end_s"] > slices["start_s"]]  # not those that are missing
    slices = slices.sort_values(["client", "start_s"], kind="stable")
    next_s = slices.groupby("client")["start_s"].shift(-1)
    slices["end_s"] = np.fmin(slices["end_s"], next_s)
    columns = ("name", "client", "start_s", "end_s", "round", "rank", "outcome")
    for name, client, start_s, end_s, number, rank, outcome in _rows(slices, columns):
        arguments = {"round": number, "rank": rank, "outcome": outcome}
        yield _slice(name, _CLIENTS_PROCESS, client, start_s, end_s, arguments)


def _slice(
    name: str, process: int, track: int, start_s: float, end_s: float, arguments: Event
) -> Event:
    start_ns, end_ns = round(start_s * 1e9), round(end_s * 1e9)
    return {
        "ph": "X",
        "name": name,
        "pid": process,
        "tid": track,
        "ts": start_ns / 1000,
        "dur": (end_ns - start_ns) / 1000,
        "args": arguments,
    }


def _instants(events: pd.DataFrame) -> Iterator[Event]:
    for time_s, number, client, name in _rows(events, ("time_s", "round", "client", "event")):
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


def _counters(clients: pd.DataFrame) -> Iterator[Event]:
    for counter in counters(clients):
        for time_s, values in zip(counter.times_s.tolist(), counter.values.tolist(), strict=True):
            yield {
                "ph": "C",
                "name": counter.name,
                "pid": _NETWORK_PROCESS,
                "tid": 0,
                "ts": _microseconds(time_s),
                "args": dict(zip(counter.series, values, strict=True)),
            }


def _rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The columns' rows as plain Python values, which JSON can write."""
    return zip(*(frame[column].tolist() for column in columns), strict=True)


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e9) / 1000
