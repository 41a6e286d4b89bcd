"""The timeline shows each client's work where and as long as it happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.trace.trace_event_format import check_format
from wirelessfl.scenario import Scenario
from wirelessfl.simulation import simulate
from wirelessfl.trace import Trace
from wirelessfl.trace import timeline as timeline_module
from wirelessfl.trace.timeline import timeline


def document(trace: Trace) -> dict[str, Any]:
    return json.loads(timeline(trace.rounds, trace.clients, trace.events))


def test_slices_and_instants_are_where_they_happened_in_microseconds(trace: Trace):
    events = json.loads(timeline(trace.rounds, trace.clients, trace.events))["traceEvents"]
    slices = {(e["name"], e["pid"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"}
    assert ("round 2", 1, 0, 10e6, 10e6) in slices
    assert {s for s in slices if s[2] == 4 and s[3] < 10e6} == {
        ("download", 2, 4, 0.0, 1e6),
        ("queue", 2, 4, 1e6, 1e6),
        ("compute", 2, 4, 2e6, 5e6),
        ("upload", 2, 4, 7e6, 2e6),
    }
    instants = {(e["name"], e["pid"], e["tid"], e["ts"]) for e in events if e["ph"] == "i"}
    assert instants == {
        ("drop", 2, 7, 1.5e6),
        ("drop", 2, 7, 11.5e6),
        ("aggregate", 1, 0, 10e6),
        ("aggregate", 1, 0, 20e6),
    }


def test_work_that_never_happened_has_no_slice(trace: Trace):
    events = json.loads(timeline(trace.rounds, trace.clients, trace.events))["traceEvents"]
    dropped = {e["name"] for e in events if e["ph"] == "X" and e["tid"] == 7}
    assert dropped == {"download", "compute"}


def test_tracks_are_named(trace: Trace):
    events = json.loads(timeline(trace.rounds, trace.clients, trace.events))["traceEvents"]
    names = {(e["pid"], e.get("tid")): e["args"]["name"] for e in events if e["ph"] == "M"}
    assert names[1, None] == "server"
    assert names[2, 4] == "client 4 (phone-sd778g)"


def test_a_run_without_events_or_clients_is_an_empty_timeline(trace: Trace):
    text = timeline(trace.rounds[:1], trace.clients[:0], trace.events[:0])
    assert {e["ph"] for e in json.loads(text)["traceEvents"]} == {"M"}


TIMING = "learning.task={kind: none}"


@pytest.mark.parametrize(
    "overrides",
    [
        [TIMING, "stop.rounds=20", "devices.failures={drop_probability: 0.2}"],
        [
            TIMING,
            "stop.rounds=40",
            "strategy={kind: fedbuff, participation: {concurrency: 4}, buffer: 2}",
        ],
        [TIMING, "network.topology={kind: hex_grid, rings: 1}", "server.deadline=2 s"],
    ],
    ids=["synchronous", "asynchronous", "cells"],
)
def test_timelines_of_runs_are_of_the_format(small: Callable[..., Scenario], overrides: list[str]):
    trace = simulate(small(*overrides))
    drawn = document(trace)
    check_format(drawn)
    assert {event["ph"] for event in drawn["traceEvents"]} == {"M", "X", "i", "C"}
    assert "otherData" not in drawn


def test_counters_show_what_is_in_the_air(trace: Trace):
    events = [e for e in document(trace)["traceEvents"] if e["ph"] == "C" and e["ts"] < 10e6]
    active = [(e["ts"], e["args"]) for e in events if e["name"] == "active transfers"]
    assert active == [
        (0.0, {"download": 3.0, "upload": 0.0}),
        (1e6, {"download": 0.0, "upload": 0.0}),
        (3e6, {"download": 0.0, "upload": 1.0}),
        (4e6, {"download": 0.0, "upload": 0.0}),
        (7e6, {"download": 0.0, "upload": 1.0}),
        (9e6, {"download": 0.0, "upload": 0.0}),
    ]
    second_cell = [(e["ts"], e["args"]) for e in events if e["name"] == "cell 1 (Mbit/s)"]
    assert second_cell == [
        (0.0, {"download": 1.0, "upload": 0.0}),
        (1e6, {"download": 0.0, "upload": 0.0}),
        (7e6, {"download": 0.0, "upload": 0.5}),
        (9e6, {"download": 0.0, "upload": 0.0}),
    ]


def test_a_large_run_shows_some_clients_whole_and_says_how_many_it_leaves_out(
    trace: Trace, monkeypatch: pytest.MonkeyPatch
):
    many = [trace.clients.assign(client=trace.clients["client"] + 10 * n) for n in range(50)]
    clients = pd.concat(many, ignore_index=True)
    full = json.loads(timeline(trace.rounds, clients, trace.events))
    monkeypatch.setattr(timeline_module, "MOST_ROWS", 100)
    monkeypatch.setattr(timeline_module, "MOST_INSTANTS", 1)
    cut = json.loads(timeline(trace.rounds, clients, trace.events))
    check_format(cut)
    of_client = {
        client: [
            e for e in full["traceEvents"] if (e["ph"], e["pid"], e.get("tid")) == ("X", 2, client)
        ]
        for client in clients["client"].unique()
    }
    shown = [e for e in cut["traceEvents"] if (e["ph"], e["pid"]) == ("X", 2)]
    numbers = {e["tid"] for e in shown}
    assert len(numbers) == 38  # every fourth of 150
    assert shown == [e for client in sorted(numbers) for e in of_client[client]]
    assert cut["otherData"]["left out"] == {
        "clients": 112,
        "client rounds": 224,
        "instants of these clients": 1,
    }
    counters = [[e for e in d["traceEvents"] if e["ph"] == "C"] for d in (full, cut)]
    assert counters[0] == counters[1]


def test_neighbouring_slices_do_not_overlap_by_rounding(trace: Trace):
    clients = trace.clients.copy()
    rng = np.random.default_rng(0)
    start_s = rng.uniform(1e4, 1e5, len(clients))
    clients["download_start_s"], clients["download_s"] = start_s, rng.uniform(0, 1, len(clients))
    clients["download_end_s"] = np.nextafter(start_s + clients["download_s"], 0.0)
    clients["compute_start_s"] = clients["download_end_s"] + clients["queue_s"]
    check_format(json.loads(timeline(trace.rounds, clients, trace.events)))
