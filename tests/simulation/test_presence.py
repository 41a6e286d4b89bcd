"""Rounds with devices that go off, crash, lose uploads or run out of charge, by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.simulation.test_rounds import TWO, count_trained, rate_bps
from wirelessfl.scenario import Scenario, loads
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.trace import Trace

REST = "memory_bandwidth: 1 TB/s, memory: 4 GB, compute_power: 5 W, receive_power: 1 W"
POWERS = (
    f"devices.profiles={{slow: {{effective_flops: 8 MFLOP/s, {REST}}}, "
    f"fast: {{effective_flops: 40 MFLOP/s, {REST}}}}}"
)
ALONE_BPS = rate_bps(2e4, 20, 5)  # uplink of `TWO` with the whole band


def two(*overrides: str) -> Scenario:
    return loads(TWO, "two.yaml", ["strategy.bandwidth.kind=equal_share", *overrides])


def on_during(tmp_path: Path, *intervals: tuple[int, float, float]) -> str:
    rows = "".join(f"{client},{on!r},{off!r}\n" for client, on, off in intervals)
    path = tmp_path / "on.csv"
    path.write_text("client,on_s,off_s\n" + rows, encoding="utf-8")
    return f"devices.availability={{kind: trace, file: {path}}}"


def clients_of(trace: Trace) -> pd.DataFrame:
    return trace.clients.sort_values(["round", "client"]).set_index("client")


def events_of(trace: Trace, kind: str) -> list[tuple[float, int]]:
    found = trace.events[trace.events["event"] == kind]
    return list(zip(found["time_s"].tolist(), found["client"].tolist(), strict=True))


@pytest.fixture
def undisturbed() -> pd.DataFrame:
    return clients_of(simulate(two()))


@pytest.mark.parametrize("step", ["download", "compute", "upload"])
def test_who_goes_off_is_lost_from_that_moment_on(
    tmp_path: Path, monkeypatch, undisturbed: pd.DataFrame, step: str
):
    """Half way through a step of client 0; the other then has the link for itself."""
    own = undisturbed.loc[0]
    off_s = float(own[f"{step}_start_s"] + own[f"{step}_end_s"]) / 2
    scenario = two(on_during(tmp_path, (0, 0.0, off_s), (1, 0.0, 1e6)))
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    gone, other = clients_of(trace).loc[0], clients_of(trace).loc[1]
    assert gone["outcome"] == "offline"
    assert other["outcome"] == "completed"
    assert trained == [(1, 1)]
    assert events_of(trace, "offline") == [(off_s, 0)]
    assert trace.rounds["offline"].tolist() == [0, 1]
    assert trace.rounds["completed"].tolist() == [0, 1]
    assert math.isnan(gone[f"{step}_end_s"])
    bits = float(shared_learner(scenario).workload.download_bits(4))
    if step == "download":
        assert gone["downlink_bits"] == pytest.approx(bits / 2)
        assert other["download_end_s"] == pytest.approx(0.75 * undisturbed.loc[1]["download_end_s"])
        assert math.isnan(gone["compute_start_s"])
        assert gone["compute_s"] == 0
    elif step == "compute":
        assert gone["compute_s"] == pytest.approx(float(own["compute_s"]) / 2)
        assert gone["uplink_bits"] == 0
        alone_s = other["upload_end_s"] - other["upload_start_s"]
        assert alone_s == pytest.approx(bits / ALONE_BPS)
    else:
        assert gone["upload_s"] == pytest.approx(off_s - own["upload_start_s"])
        assert 0 < gone["uplink_bits"] < bits


def test_only_those_who_are_on_when_the_round_starts_take_part(tmp_path: Path):
    scenario = two(on_during(tmp_path, (0, 0.2, 1e6), (1, 0.0, 1e6)), "stop.rounds=2")
    trace = simulate(scenario)
    first, second = (trace.clients[trace.clients["round"] == r] for r in (1, 2))
    assert first["client"].tolist() == [1]
    assert sorted(second["client"]) == [0, 1]
    assert trace.rounds["available"].tolist() == [1, 1, 2]
    # The weight is not corrected for who is off: a_n / q_n.
    assert first["weight"].tolist() == pytest.approx([shared_learner(scenario).workload.weights[1]])


def test_the_server_waits_until_somebody_is_on(tmp_path: Path):
    trace = simulate(two(on_during(tmp_path, (0, 100.0, 1e6), (1, 40.0, 40.1))))
    assert trace.rounds["start_s"].tolist() == [0.0, 40.0]
    assert trace.clients["outcome"].tolist() == ["offline"]
    assert events_of(trace, "wait") == [(0.0, -1)]
    assert not trace.summary["nobody_left"]


def test_a_run_ends_when_nobody_will_ever_be_on_again(tmp_path: Path):
    scenario = two(on_during(tmp_path, (0, 0.0, 6.0), (1, 0.0, 6.0)), "stop.rounds=1000")
    trace = simulate(scenario)
    assert trace.summary["nobody_left"]
    assert 1 < trace.rounds["round"].max() < 1000
    assert trace.rounds["start_s"].max() < 6.0


def test_waiting_ends_at_the_time_limit(tmp_path: Path):
    trace = simulate(two(on_during(tmp_path, (0, 100.0, 1e6), (1, 90.0, 95.0)), "stop.time=80 s"))
    assert trace.rounds["round"].tolist() == [0]
    assert not trace.summary["nobody_left"]


def test_a_device_that_crashes_reboots_before_it_computes_again(small, monkeypatch):
    scenario = small(
        "strategy.kind=full",
        "stop.rounds=6",
        "devices.failures={crash_probability: 0.3, reboot: 50 s}",
    )
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    crashed = trace.clients[trace.clients["outcome"] == "crashed"]
    assert len(crashed) == trace.rounds["crashed"].sum() > 0
    assert (crashed["uplink_bits"] == 0).all()
    done = trace.clients[trace.clients["outcome"] == "completed"]
    assert set(trained) == set(zip(done["round"], done["client"], strict=True))
    crash_s = (crashed["compute_start_s"] + crashed["compute_s"]).to_numpy()
    told = sorted(events_of(trace, "crash"))
    assert np.allclose([time_s for time_s, _ in told], np.sort(crash_s))
    waited = False
    for client, round, at_s in zip(crashed["client"], crashed["round"], crash_s, strict=True):
        later = (trace.clients["client"] == client) & (trace.clients["round"] > round)
        assert (trace.clients[later]["compute_start_s"].dropna() >= at_s + 50 - 1e-9).all()
        waited |= bool((trace.clients[later]["queue_s"] > 0).any())
    assert waited


def test_a_lost_upload_costs_all_and_brings_nothing(monkeypatch, undisturbed: pd.DataFrame):
    scenario = two("devices.failures.upload_loss_probability=0.999")
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    own = clients_of(trace)
    assert own["outcome"].tolist() == ["lost", "lost"]
    assert trained == []
    same = ["upload_end_s", "uplink_bits", "compute_s", "upload_s", "transmit_j"]
    assert (own[same] == undisturbed[same]).all(axis=None)
    assert trace.rounds.iloc[-1][["lost", "completed", "server_version"]].tolist() == [2, 0, 0]
    assert trace.rounds["loss"].nunique() == 1  # the model is what it was
    assert len(events_of(trace, "lost")) == 2


def test_a_battery_that_runs_empty_takes_its_device_off_at_that_moment():
    """The slow one has nine tenths of what receiving at 1 W and computing at 5 W would take."""
    whole = clients_of(simulate(two(POWERS)))
    slow = int((whole["profile"] == "slow").to_numpy().argmax())
    need_j = whole["receive_j"] + whole["compute_j"]
    assert np.allclose(whole["receive_j"], whole["download_s"])
    capacity_j = float(need_j[slow]) * 0.9
    scenario = two(
        POWERS, f"devices.battery={{capacity: {capacity_j!r} J, recharge: 0 W}}", "stop.rounds=3"
    )
    trace = simulate(scenario)
    dead = clients_of(trace).loc[slow]
    assert (dead["round"], dead["outcome"]) == (1, "offline")  # one row: it never comes back
    assert dead["energy_j"] == pytest.approx(capacity_j)
    empty_s = whole["compute_start_s"][slow] + (capacity_j - whole["receive_j"][slow]) / 5
    assert events_of(trace, "offline")[0] == (pytest.approx(empty_s), slow)


def test_a_battery_never_gives_more_than_it_had():
    for mode in ("per_rb", "total"):
        trace = simulate(
            two(
                POWERS,
                "devices.battery={capacity: 1.2 J, recharge: 100 mW, resume: 0.3}",
                f"network.uplink.power_mode={mode}",
                "stop.rounds=20",
            )
        )
        assert (trace.clients["outcome"] == "offline").any()
        for _, own in trace.clients.groupby("client"):
            start_s = own["download_start_s"].to_numpy()
            spent_j = own["energy_j"].cumsum().to_numpy()
            had_j = 1.2 + 0.1 * start_s
            assert (spent_j <= had_j + 1e-9).all()
            assert (own["energy_j"] <= 1.2 + 1e-9).all()


EVERYTHING = (
    "stop.rounds=8",
    "strategy.kind=full",
    "devices.count=12",
    "devices.mix={jetson-nano: 0.5, orin-nano: 0.5}",
    "devices.jitter.kind=lognormal",
    "devices.availability={kind: on_off, mean_on: 12 s, mean_off: 4 s}",
    "devices.failures={drop_probability: 0.15, crash_probability: 0.15, reboot: 3 s, "
    "upload_loss_probability: 0.2}",
    "devices.background={jobs_per_hour: 1800, duration: 1 s}",
    "devices.battery={capacity: 30 J, recharge: 500 mW}",
    "server.deadline=3 s",
)


def test_outcomes_exclude_one_another_and_add_up_and_only_completed_jobs_are_computed(
    small, monkeypatch
):
    scenario = small(*EVERYTHING)
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    clients, rounds = trace.clients, trace.rounds.iloc[1:]
    counts = clients["outcome"].value_counts()
    assert set(counts.index) == {
        "completed",
        "dropped",
        "crashed",
        "offline",
        "lost",
        "cancelled",
    }
    for outcome in ("completed", "dropped", "crashed", "offline", "lost"):
        by_round = clients[clients["outcome"] == outcome].groupby("round").size()
        expected = by_round.reindex(rounds["round"], fill_value=0)
        assert rounds[outcome].tolist() == expected.tolist()
    done = clients[clients["outcome"] == "completed"]
    assert sorted(trained) == sorted(zip(done["round"], done["client"], strict=True))
    assert trace.summary["gradient_jobs"] == len(done)
    events = trace.events["event"].value_counts()
    for event, outcome in {
        "drop": "dropped",
        "crash": "crashed",
        "offline": "offline",
        "lost": "lost",
    }.items():
        assert events[event] == counts[outcome]
    parts = clients[["receive_j", "idle_j", "compute_j", "transmit_j"]].sum(axis=1)
    assert np.allclose(parts, clients["energy_j"])
    assert (clients["queue_s"].dropna() > 0).any()


def test_with_everything_switched_on_two_runs_are_the_same_bytes(small, tmp_path: Path):
    for name in ("a", "b"):
        simulate(small(*EVERYTHING)).write(tmp_path / name)
    for table in ("rounds", "clients", "events"):
        first, second = ((tmp_path / n / f"{table}.parquet").read_bytes() for n in "ab")
        assert first == second


def test_availability_is_the_same_for_every_strategy(small):
    """Those on at the same time are the same whoever asks; batteries aside."""
    overrides = ("devices.availability={kind: on_off, mean_on: 20 s, mean_off: 20 s}",)
    first = simulate(small(*overrides, "strategy.kind=full"))
    other = simulate(small(*overrides, "strategy.kind=uniform"))
    assert first.rounds["available"][0] == other.rounds["available"][0] < 6
    assert first.rounds["available"][1] == other.rounds["available"][1]
