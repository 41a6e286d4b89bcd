"""When an asynchronous server's clients start, end and go stale: by hand, and against a second,
naive simulator of processor sharing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.test_rounds import TWO, rate_bps
from wirelessfl.learning.model_size import sized_workload
from wirelessfl.scenario import Scenario, loads
from wirelessfl.simulation import simulate

DOWN_BPS, UP_BPS = rate_bps(2e6, 30, 7), rate_bps(2e4, 20, 5)
REST = "memory_bandwidth: 1 TB/s, memory: 4 GB"


def timed(strategy: str, *overrides: str) -> Scenario:
    """`TWO` without learning, with an asynchronous strategy."""
    return loads(TWO, "two.yaml", [f"strategy={strategy}", *overrides]).timing_only()


def works(scenario: Scenario) -> tuple[float, np.ndarray]:
    """Bits of a transfer, the same both ways, and operations of each client's training."""
    count = scenario.devices.count
    workload = sized_workload(scenario.learning, count, scenario.seed)
    bits = float(workload.download_bits(4))
    assert bits == float(workload.upload_bits(4))
    return bits, workload.local_flops(np.arange(count), np.full(count, 4))


def test_one_at_a_time_is_one_after_the_other():
    scenario = timed(
        "{kind: fedasync, participation: {concurrency: 1}}", "stop.rounds=4", "server.overhead=1 s"
    )
    bits, flops = works(scenario)
    trace = simulate(scenario)
    clients = trace.clients
    flops_per_s = np.where(clients["profile"] == "slow", 8e6, 40e6)
    alone_s = bits / DOWN_BPS + flops[clients["client"]] / flops_per_s + bits / UP_BPS
    assert np.allclose(clients["download_start_s"], np.cumsum(alone_s + 1) - alone_s - 1, atol=1e-9)
    assert np.allclose(clients["upload_end_s"], np.cumsum(alone_s + 1) - 1, atol=1e-9)
    assert np.allclose(trace.rounds["end_s"][1:], np.cumsum(alone_s + 1), atol=1e-9)
    assert clients["staleness"].tolist() == [0, 0, 0, 0]
    assert trace.rounds["server_version"].tolist() == [0, 1, 2, 3, 4]


def test_two_clients_overlap_as_one_computes_by_hand():
    """The fast one is first, goes again with version 1, and the slow one meets that version."""
    scenario = timed(
        "{kind: fedasync, participation: {concurrency: 2}}", "stop.rounds=2", "server.overhead=0 s"
    )
    bits, flops = works(scenario)
    trace = simulate(scenario)
    profile = dict(zip(trace.clients["client"], trace.clients["profile"], strict=True))
    fast, slow = sorted(profile, key=profile.__getitem__)
    got = 2 * bits / DOWN_BPS  # both download together
    ready_fast, ready_slow = got + flops[fast] / 40e6, got + flops[slow] / 8e6
    alone_s = bits / UP_BPS
    left_s = alone_s - (ready_slow - ready_fast)  # of the fast upload, when the slow one joins
    assert 0 < left_s < alone_s
    first_s = ready_slow + 2 * left_s
    again_s = first_s + bits / DOWN_BPS + flops[fast] / 40e6  # the fast one's second upload
    left_s = alone_s - left_s  # of the slow upload, when the fast one ends
    joined_s = left_s - (again_s - first_s)  # and when it is back
    assert joined_s > 0
    second_s = again_s + 2 * joined_s

    rows = trace.clients[trace.clients["outcome"] == "completed"]
    assert rows["client"].tolist() == [fast, slow]
    assert rows["upload_end_s"].tolist() == pytest.approx([first_s, second_s], abs=1e-9)
    assert rows["staleness"].tolist() == [0, 1]
    assert rows["weight"].tolist() == pytest.approx([1.0, 2**-0.5])
    assert trace.rounds["mean_staleness"].tolist()[1:] == [0.0, 1.0]
    cut = trace.clients[trace.clients["outcome"] == "cancelled"]
    assert cut["client"].tolist() == [fast]
    assert cut["round"].tolist() == [2]
    assert cut["download_start_s"].tolist() == pytest.approx([first_s])
    assert cut["uplink_bits"].tolist() == pytest.approx([joined_s * UP_BPS])


@dataclass
class Naive:
    """All clients always at work over two shared links, one server; step by step."""

    compute_s: list[float]
    bits: float
    buffer: int
    overhead_s: float

    def updates(self, rounds: int) -> list[tuple[int, int, int, float, float]]:
        """(round, client, staleness, start, arrival) of every update, in order."""
        n, time_s, version = len(self.compute_s), 0.0, 0
        phase, left = ["down"] * n, [self.bits] * n
        start_s, started = [0.0] * n, [0] * n
        arrived: list[tuple[int, float]] = []
        taken: list[tuple[int, float, float, int]] = []
        sent: list[int] = []  # whose place is free
        busy_s, rows = None, []
        while version < rounds:
            pace = {
                "down": DOWN_BPS / max(1, phase.count("down")),
                "compute": 1.0,
                "up": UP_BPS / max(1, phase.count("up")),
                "wait": 0.0,
            }
            ends = [left[i] / pace[phase[i]] for i in range(n) if phase[i] != "wait"]
            if busy_s is not None:
                ends.append(max(busy_s - time_s, 0.0))
            step_s = min(ends)
            time_s += step_s
            for i in range(n):
                left[i] -= step_s * pace[phase[i]]
                if phase[i] != "wait" and left[i] <= 1e-9 * pace[phase[i]]:
                    if phase[i] == "down":
                        phase[i], left[i] = "compute", self.compute_s[i]
                    elif phase[i] == "compute":
                        phase[i], left[i] = "up", self.bits
                    else:
                        phase[i] = "wait"
                        arrived.append((i, time_s))
            if busy_s is not None and busy_s - time_s <= 1e-9:
                for i, arrival_s, began_s, began in taken:
                    rows.append((version + 1, i, version - began, began_s, arrival_s))
                taken, busy_s, version = [], None, version + 1
            while busy_s is None:
                for i in sent:
                    phase[i], left[i], start_s[i], started[i] = "down", self.bits, time_s, version
                sent = []
                while arrived and len(taken) < self.buffer:
                    i, arrival_s = arrived.pop(0)
                    taken.append((i, arrival_s, start_s[i], started[i]))
                    sent.append(i)
                if len(taken) == self.buffer:
                    busy_s = time_s + self.overhead_s
                elif not sent:
                    break
        return sorted(rows, key=lambda row: (row[0], row[1], row[4]))


@settings(max_examples=20, deadline=None)
@given(
    mflops=st.lists(st.integers(4, 60), min_size=3, max_size=3, unique=True),
    buffer=st.integers(1, 5),
    overhead_s=st.sampled_from([0.0, 0.3, 2.0]),
)
@pytest.mark.slow
def test_any_schedule_is_the_naive_simulators(mflops: list[int], buffer: int, overhead_s: float):
    """K updates of 3 clients, who may be in one model update more than once."""
    names = ["a", "b", "c"]
    profiles = ", ".join(
        f"{name}: {{effective_flops: {speed} MFLOP/s, {REST}}}"
        for name, speed in zip(names, mflops, strict=True)
    )
    scenario = timed(
        f"{{kind: fedbuff, buffer: {buffer}, participation: {{concurrency: 3}}}}",
        f"server.overhead={overhead_s!r} s",
        "stop.rounds=8",
        "devices.count=3",
        f"devices.profiles={{{profiles}}}",
        "devices.mix={a: 0.34, b: 0.33, c: 0.33}",
    )
    trace = simulate(scenario)
    bits, flops = works(scenario)
    kinds = trace.clients.drop_duplicates("client").set_index("client")["profile"]
    speed = {name: m * 1e6 for name, m in zip(names, mflops, strict=True)}
    compute_s = [flops[i] / speed[kinds[i]] for i in range(3)]
    expected = Naive(compute_s, bits, buffer, overhead_s).updates(8)
    got = trace.clients[~trace.clients["weight"].isna()]
    assert len(got) == len(expected) == 8 * buffer
    for column, position in (("round", 0), ("client", 1), ("staleness", 2)):
        assert got[column].tolist() == [row[position] for row in expected]
    for column, position in (("download_start_s", 3), ("upload_end_s", 4)):
        assert np.allclose(got[column], [row[position] for row in expected], rtol=0, atol=1e-6)
