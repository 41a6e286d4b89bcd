"""Runs made by hand whose every number is known: an evaluation a round, equal rounds."""

from __future__ import annotations

import numpy as np

from tests.trace.conftest import a_round, some_clients
from wirelessfl.scenario import Scenario, dump, loads
from wirelessfl.study import Study
from wirelessfl.trace import Recorder, Trace

TEXT = """
name: by-hand
stop: {rounds: 9, time: 1000 s, target: {metric: loss, below: 1.0}}
devices: {count: 8}
strategies: {quick: {kind: uniform}, slow: {kind: uniform}, hopeless: {kind: uniform}}
"""


def scenario() -> Scenario:
    return loads(TEXT)


def a_run(round_s: float, losses: list[float], summary: dict[str, object] | None = None) -> Trace:
    """A run whose round r ends at r x round_s with losses[r]; 5 Mbit and 12 J a round."""
    recorder = Recorder()
    for number, loss in enumerate(losses):
        changes: dict[str, object] = {
            "start_s": round_s * (number - 1),
            "end_s": round_s * number,
            "duration_s": round_s,
            "expected_round_s": 0.5 * round_s,
            "loss": loss,
        }
        if number == 0:
            nothing = {"downlink_bits": 0.0, "uplink_bits": 0.0, "energy_j": 0.0}
            changes |= nothing | {"start_s": 0.0, "duration_s": 0.0, "phase": "initial"}
        recorder.append_round(a_round(number, **changes))
        if number:
            clients = some_clients(number)
            shift = round_s * (number - 1) - 10.0 * (number - 1)
            moved = {
                name: np.asarray(column, np.float64) + shift
                for name, column in clients.items()
                if name.endswith(("start_s", "end_s"))
            }
            recorder.append_clients(clients | moved)
    return Trace(
        rounds=recorder.rounds(),
        clients=recorder.clients(),
        events=recorder.events(),
        summary=summary or {"name": "by-hand", "strategy": "uniform", "seed": 0},
        scenario_yaml=dump(scenario()),
    )


def a_study() -> Study:
    """`quick` arrives at 20 and 40 s, `slow` twice as late, `hopeless` with one seed of two."""
    falling, stuck = [4.0, 2.0, 1.0], [4.0, 3.0, 2.0]
    traces = {
        "quick": {0: a_run(10.0, falling), 1: a_run(20.0, falling)},
        "slow": {0: a_run(20.0, falling), 1: a_run(40.0, falling)},
        "hopeless": {0: a_run(40.0, falling), 1: a_run(60.0, stuck)},
    }
    return Study(scenario(), tuple(traces), traces)
