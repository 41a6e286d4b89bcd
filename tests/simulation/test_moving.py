"""Clients that move: the journal says where they were, and nobody's question moves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wirelessfl.network.channel import build_channel
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SMALL = (
    "stop.rounds=4",
    "learning.model={kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}",
    "learning.lora={rank: 4, alpha: 8}",
    "learning.local={steps: 1, batch: 4, lr: 0.05}",
    "strategy={kind: full}",
)


def test_distances_are_those_at_the_start_of_the_round():
    often = "network.mobility.update=20 ms"  # rounds of the small model are short
    scenario = load(SCENARIOS / "delivery-vans.yaml", (*SMALL, often))
    clients = simulate(scenario).clients
    fresh = build_channel(scenario.network, scenario.devices.count, scenario.seed)
    starts = clients.groupby("round")["download_start_s"].first()
    assert len(starts) == 4
    for number, start_s in starts[::-1].items():
        mine = clients[clients["round"] == number]
        expected_m = fresh.distances_m(mine["client"].to_numpy(), start_s)
        assert np.array_equal(mine["distance_m"], expected_m)
    moved_m = clients.groupby("client")["distance_m"].agg(np.ptp)
    assert (moved_m > 0).all()


def test_every_strategy_meets_the_same_moving_clients():
    several = ("strategy={kind: uniform, participation: {expected: 4}}",)
    runs = [
        simulate(load(SCENARIOS / "pedestrians.yaml", (*SMALL, *strategy))).clients
        for strategy in ((), several)
    ]
    first, second = (run[run["round"] == 1].set_index("client")["distance_m"] for run in runs)
    assert len(second) > 0
    assert (first[second.index] == second).all()
