"""`adaptive-async` on channels that come and go: no outage and no deadline holds everything up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate
from wirelessfl.trace import Trace

BASE = """
name: outages
stop: {rounds: 3}
server: {overhead: 0 s}
network:
  uplink: {bandwidth: 1 MHz}
  downlink: {bandwidth: 10 MHz}
  replay: {file: rates.csv}
devices:
  count: 3
  mix: {slow: 1}
  jitter: {kind: none}
  profiles:
    slow: {effective_flops: 8 MFLOP/s, memory_bandwidth: 1 TB/s, memory: 4 GB, source: a test}
learning:
  model: {kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}
  lora: {rank: 4, alpha: 8}
  local: {steps: 1, batch: 4}
strategy: {kind: adaptive-async}
"""


def run(folder: Path, mbps: Callable[[int, int], float], *overrides: str) -> Trace:
    """Three clients whose uplink has so much at a second, and the downlink ten times as much."""
    rows = [
        f"{second},{client},{10 * mbps(second, client)},{mbps(second, client)}"
        for second in range(600)
        for client in range(3)
    ]
    text = "\n".join(["time_s,client,dl_mbps,ul_mbps", *rows])
    (folder / "rates.csv").write_text(text, encoding="utf-8")
    return simulate(loads(BASE, folder / "outages.yaml", overrides))


def test_a_client_in_an_outage_does_not_hold_up_those_who_are_back(tmp_path: Path):
    """Nobody has a channel at first; then one stays away for nine minutes."""
    for seed in range(3):
        trace = run(
            tmp_path,
            lambda second, client: 0.1 if second >= 550 or (second >= 5 and client) else 0.0,
            f"seed={seed}",
        )
        assert len(trace.rounds) == 4
        assert 5 < trace.rounds["end_s"].iloc[-1] < 30


def test_a_run_goes_on_when_all_who_were_planned_for_are_gone(tmp_path: Path):
    """The only client with a channel goes off for good before the others have one."""
    (tmp_path / "on.csv").write_text("client,on_s,off_s\n0,0,0.3\n1,0,5000\n2,0,5000\n", "utf-8")
    trace = run(
        tmp_path,
        lambda second, client: 0.1 if client == 0 or 1 <= second < 550 else 0.0,
        f"devices.availability={{kind: trace, file: {tmp_path}/on.csv}}",
    )
    assert not trace.summary["nobody_left"]
    assert len(trace.rounds) == 4
    assert trace.rounds["end_s"].iloc[-1] < 30


def test_a_deadline_that_full_ranks_miss_is_kept_with_fewer(tmp_path: Path):
    options = "server.deadline=0.6 s", "stop.rounds=8", "stop.time=60 s"
    trace = run(tmp_path, lambda second, client: 0.1, *options, "strategy.adapter.k_min=1")
    assert len(trace.rounds) == 9
    assert (trace.clients["outcome"] == "completed").mean() > 0.8


def test_with_no_channel_until_then_the_time_limit_ends_the_run(tmp_path: Path):
    trace = run(tmp_path, lambda second, client: 0.1 * (second >= 590), "stop.time=20 s")
    assert not (trace.clients["outcome"] == "completed").any()
    assert not trace.summary["nobody_left"]
