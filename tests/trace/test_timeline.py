"""The timeline shows each client's work where and as long as it happened."""

from __future__ import annotations

import json

from wirelessfl.trace import Trace
from wirelessfl.trace.timeline import timeline


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
