"""A small, complete trace made by hand: two rounds of three clients on a one-second grid."""

from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.trace import Recorder, Trace
from wirelessfl.trace.tables import SERVER

NAN = float("nan")


def a_round(number: int, **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "round": number,
        "start_s": 10.0 * (number - 1),
        "end_s": 10.0 * number,
        "duration_s": 10.0,
        "phase": "planned",
        "planned": number == 1,
        "available": 5,
        "participants": 3,
        "completed": 2,
        "dropped": 1,
        "crashed": 0,
        "offline": 0,
        "lost": 0,
        "expected_participants": 3.5,
        "expected_round_s": 9.0,
        "server_step": 1.0,
        "noise_to_signal": NAN,
        "noise_to_signal_error": NAN,
        "relative_rounds": NAN,
        "update_norm": NAN,
        "mean_rank": 8.0,
        "mean_staleness": 0.5,
        "downlink_bits": 3e6,
        "uplink_bits": 2e6,
        "energy_j": 12.0,
        "train_loss": 1.5,
        "server_version": number,
        "loss": 4.0 / (number + 1),
        "accuracy": 1.0 - 0.9 / (number + 1),
        "perplexity": NAN,
    }
    assert set(changes) <= set(row)
    return row | changes


def some_clients(number: int) -> dict[str, object]:
    start = 10.0 * (number - 1)
    return {
        "round": np.full(3, number),
        "client": np.array([0, 4, 7]),
        "profile": ["jetson-nano", "phone-sd778g", "jetson-nano"],
        "cell": np.array([0, 1, 0]),
        "distance_m": np.array([100.0, 200.0, 300.0]),
        "probability": np.array([0.5, 0.25, 1.0]),
        "rank": np.array([4, 8, 16]),
        "weight": np.array([0.2, 0.4, 0.1]),
        "staleness": np.array([0, 1, 0]),
        "outcome": ["completed", "completed", "dropped"],
        "download_start_s": np.full(3, start),
        "download_end_s": start + np.array([1.0, 1.0, 1.0]),
        "compute_start_s": start + np.array([1.0, 2.0, 1.0]),
        "compute_end_s": start + np.array([3.0, 7.0, NAN]),
        "upload_start_s": start + np.array([3.0, 7.0, NAN]),
        "upload_end_s": start + np.array([4.0, 9.0, NAN]),
        "download_s": np.ones(3),
        "queue_s": np.array([0.0, 1.0, 0.0]),
        "compute_s": np.array([2.0, 5.0, 0.5]),
        "upload_s": np.array([1.0, 2.0, 0.0]),
        "downlink_bits": np.full(3, 1e6),
        "uplink_bits": np.array([1e6, 1e6, 0.0]),
        "receive_j": np.zeros(3),
        "idle_j": np.zeros(3),
        "compute_j": np.array([0.75, NAN, 2.0]),
        "transmit_j": np.array([0.25, 0.5, 0.0]),
        "energy_j": np.array([1.0, NAN, 2.0]),
        "train_loss": np.array([1.0, 2.0, NAN]),
        "update_norm": np.array([0.1, 0.2, NAN]),
    }


def some_events(number: int) -> dict[str, object]:
    start = 10.0 * (number - 1)
    return {
        "time_s": start + np.array([1.5, 0.0, 10.0]),
        "round": np.full(3, number),
        "client": np.array([7, SERVER, SERVER]),
        "event": ["drop", "round_start", "aggregate"],
    }


def make_trace() -> Trace:
    recorder = Recorder()
    recorder.append_round(a_round(0, start_s=0.0, duration_s=0.0, phase="initial"))
    for number in (1, 2):
        recorder.append_round(a_round(number))
        recorder.append_clients(some_clients(number))
        recorder.append_events(some_events(number))
    return Trace(
        rounds=recorder.rounds(),
        clients=recorder.clients(),
        events=recorder.events(),
        summary={"strategy": "uniform", "seed": 3},
        scenario_yaml="name: by-hand\n",
    )


@pytest.fixture
def trace() -> Trace:
    return make_trace()
