"""An energy budget holds in the simulator's own joules."""

from __future__ import annotations

import numpy as np
import pytest

from tests.examples import FOLDER
from wirelessfl.learning.model_size import sized_workload
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate
from wirelessfl.simulation.memory import memory_gate
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.world import build_world
from wirelessfl.strategy.budgets import participation_j

OVERRIDES = (
    "devices={count: 8, mix: {jetson-nano: 1}, jitter: {kind: none}}",
    "network.fading={kind: none}",
    "strategy={kind: full}",
    "stop={rounds: 1}",
)


@pytest.mark.parametrize("mode", ["per_rb", "total"])
def test_energy_of_a_participation_is_about_what_the_simulator_spends(mode: str) -> None:
    """Everybody at once."""
    power = f"network.uplink.power_mode={mode}"
    config = load(FOLDER / "quickstart.yaml", [*OVERRIDES, power]).timing_only()
    spent = simulate(config).clients.sort_values("client")["energy_j"].to_numpy()
    world = build_world(config)
    workload = sized_workload(config.learning, 8, config.seed)
    observer = Observer(world, workload, memory_gate(world.fleet, workload))
    seen = observer.observe(0, 0.0, np.ones(8, dtype=bool))
    ranks = np.full((8, 1), workload.rank)
    predicted = participation_j(seen, config.strategy.bandwidth, ranks, senders=8)[:, 0]
    np.testing.assert_allclose(predicted, spent, rtol=0.2)
