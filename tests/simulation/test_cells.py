"""Rounds over two cells and their backhaul, by hand and to a nanosecond."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.simulation.test_rounds import TWO, rate_bps
from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.simulation.memory import memory_gate
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.world import build_world

# Two cells far apart with two clients each (fixed distances: client n is in cell n mod 2).
NODES = [
    {"id": "core", "kind": "server"},
    {"id": "west", "kind": "cell", "x": 0, "y": 0},
    {"id": "east", "kind": "cell", "x": "9 km", "y": 0},
]
TWO_CELLS = ("devices.count=4", "network.placement={kind: fixed, distances: [100 m]}")
SLOW, FAST = 8e6, 40e6  # FLOP/s of the two profiles


def scenario(tmp_path: Path, west: dict, east: dict, *overrides: str):
    edges = [{"source": "core", "target": "west"} | west, {"source": "west", "target": "east"}]
    file = tmp_path / "cells.json"
    file.write_text(json.dumps({"nodes": NODES, "edges": [edges[0], edges[1] | east]}))
    topology = f"network.topology={{kind: graph, file: {file}}}"
    return loads(TWO, "two.yaml", [*TWO_CELLS, topology, *overrides])


def shared(ready_s: np.ndarray, alone_s: float) -> np.ndarray:
    """Ends of two transfers that take `alone_s` alone and share a link equally. [2]"""
    first, last = np.sort(ready_s)
    left_s = max(alone_s - (last - first), 0.0)  # of the first, when the second joins
    ends_s = np.array([first + alone_s + left_s, last + alone_s + left_s])
    return ends_s[np.argsort(np.argsort(ready_s, kind="stable"), kind="stable")]


def test_a_round_over_two_cells_and_a_backhaul_is_what_one_computes_by_hand(tmp_path: Path):
    west = {"latency": "30 ms", "rate": 6000}
    east = {"latency": "200 ms", "rate": 2500}
    two = scenario(tmp_path, west, east, "strategy.bandwidth.kind=equal_share")
    trace = simulate(two)
    workload = shared_learner(two).workload
    bits = float(workload.download_bits(4))
    clients = trace.clients.sort_values("client")
    flops = workload.local_flops(np.arange(4), np.full(4, 4))
    pipes_bps, latencies_s = (3500.0, 2500.0), (0.03, 0.23)  # 6000 is shared by both routes

    assert clients["cell"].tolist() == [0, 1, 0, 1]
    assert clients["distance_m"].to_numpy() == pytest.approx(np.full(4, 100.0))
    ends = []
    for cell, (pipe_bps, latency_s) in enumerate(zip(pipes_bps, latencies_s, strict=True)):
        mine = clients[clients["cell"] == cell]
        per_s = np.where(mine["profile"] == "slow", SLOW, FAST)
        downloaded = 2 * bits / pipe_bps + latency_s + 2 * bits / rate_bps(2e6, 30, 7)
        ready = downloaded + flops[mine["client"]] / per_s
        on_air = shared(ready, bits / rate_bps(2e4, 20, 5))
        arrived = shared(on_air, bits / pipe_bps) + latency_s
        ends.append(arrived.max())
        assert np.allclose(mine["download_end_s"], downloaded, rtol=0, atol=1e-9)
        assert np.allclose(mine["compute_end_s"], ready, rtol=0, atol=1e-9)
        assert np.allclose(mine["upload_end_s"], arrived, rtol=0, atol=1e-9)
        assert np.allclose(mine["upload_s"], arrived - ready, rtol=0, atol=1e-9)
    assert trace.rounds["end_s"].iloc[-1] == pytest.approx(max(ends) + 0.25, abs=1e-9)


def test_two_cells_take_half_the_time_of_one_on_the_air(tmp_path: Path):
    mix = "devices.mix={fast: 1}"
    one = simulate(loads(TWO, "two.yaml", [*TWO_CELLS, mix])).clients
    two = simulate(scenario(tmp_path, {}, {}, mix)).clients
    assert one["cell"].tolist() == [0, 0, 0, 0]
    assert two["cell"].tolist() == [0, 1, 0, 1]
    for column in ("download_s", "upload_s"):
        assert one[column].max() == pytest.approx(2 * two[column].max(), rel=1e-9)


NANO = "devices.mix={jetson-nano: 1}"  # has a known power


def test_the_wire_costs_a_client_time_but_no_energy(tmp_path: Path):
    without = simulate(scenario(tmp_path, {}, {}, NANO)).clients
    within = simulate(scenario(tmp_path, {"rate": 4000, "latency": 1}, {}, NANO)).clients
    assert (within["upload_s"] > 1.5 * without["upload_s"]).all()
    assert (without["energy_j"] > 0).all()
    assert np.allclose(within["energy_j"], without["energy_j"], rtol=1e-9)


def test_a_deadline_cuts_what_is_still_in_the_wire(tmp_path: Path):
    slow = {"latency": 5}
    whole = simulate(scenario(tmp_path, slow, {}, NANO)).clients
    deadline = f"server.deadline={whole['upload_end_s'].max() - 1} s"
    clients = simulate(scenario(tmp_path, slow, {}, NANO, deadline)).clients
    assert (clients["outcome"] == "cancelled").all()
    assert clients["uplink_bits"].to_numpy() == pytest.approx(whole["uplink_bits"].to_numpy())
    assert np.allclose(clients["energy_j"], whole["energy_j"], rtol=1e-9)  # all was on the air
    assert clients["upload_end_s"].isna().all()


def test_measured_rates_belong_to_one_cell(tmp_path: Path):
    rates = tmp_path / "rates.csv"
    rates.write_text("time_s,client,dl_mbps,ul_mbps\n0,0,10,1\n", encoding="utf-8")
    replayed = scenario(tmp_path, {}, {}, f"network.replay.file={rates}")
    with pytest.raises(InputError, match="belong to one cell, the topology has 2"):
        simulate(replayed)


def test_planners_see_who_is_where_and_the_wires_behind_each_cell(tmp_path: Path):
    two = scenario(tmp_path, {"latency": "30 ms", "rate": 6000}, {"latency": "200 ms"})
    seen = []
    for scene in (two, loads(TWO, "two.yaml", TWO_CELLS)):
        world, workload = build_world(scene), shared_learner(scene).workload
        observer = Observer(world, workload, memory_gate(world.fleet, workload))
        seen.append(observer.observe(0, 0.0, np.ones(4, bool)))
    both, one = seen
    assert both.cell.tolist() == [0, 1, 0, 1]
    assert both.backhaul_bps.tolist() == [3000.0] * 4
    assert np.isinf(one.backhaul_bps).all()
    assert (both.uplink_hz, both.downlink_hz) == (2e4, 2e6)
    assert (both.uplink_share_hz, both.downlink_share_hz) == (5e3, 5e5)
    assert np.allclose(both.uplink_rate_of(np.arange(4)), one.uplink_rate_of(np.arange(4)))
    assert not one.latency_s.any()
    assert both.latency_s.tolist() == pytest.approx([0.03, 0.23, 0.03, 0.23])
    assert both.server_overhead_s == one.server_overhead_s


def test_prediction_with_latency_is_the_round_it_predicts(tmp_path: Path):
    """Constant linear rates, one client: nothing is approximated but by rounding."""
    single = ("devices.count=1", "devices.mix={fast: 1}", "network.backhaul.latency=400 ms")
    trace = simulate(loads(TWO, "two.yaml", single))
    row = trace.rounds.iloc[-1]
    assert math.isclose(row["expected_round_s"], row["duration_s"], rel_tol=1e-9)
    without = simulate(loads(TWO, "two.yaml", single[:2])).rounds.iloc[-1]
    assert row["duration_s"] - without["duration_s"] == pytest.approx(0.8, abs=1e-9)
