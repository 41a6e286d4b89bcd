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


def spent_and_predicted(*overrides: str) -> tuple[np.ndarray, np.ndarray]:
    """Joules of eight clients, everybody at once: in the simulator, and foreseen. [clients]"""
    config = load(FOLDER / "quickstart.yaml", [*OVERRIDES, *overrides]).timing_only()
    spent = simulate(config).clients.sort_values("client")["energy_j"].to_numpy()
    world = build_world(config)
    workload = sized_workload(config.learning, 8, config.seed)
    observer = Observer(world, workload, memory_gate(world.fleet, workload))
    seen = observer.observe(0, 0.0, np.ones(8, dtype=bool))
    ranks = np.full((8, 1), workload.rank)
    return spent, participation_j(seen, config.strategy.bandwidth, ranks, senders=8)[:, 0]


@pytest.mark.parametrize("mode", ["per_rb", "total"])
def test_energy_of_a_participation_is_about_what_the_simulator_spends(mode: str) -> None:
    spent, predicted = spent_and_predicted(f"network.uplink.power_mode={mode}")
    np.testing.assert_allclose(predicted, spent, rtol=0.2)


def test_a_receiver_listens_while_its_download_is_in_the_wire() -> None:
    """Latency is joules of the receiver in the simulator, and so in what is foreseen."""
    device = (
        "{effective_flops: 1 TFLOP/s, memory: 4 GB, memory_bandwidth: 50 GB/s, compute_power: 1 W, "
        "receive_power: 2 W}"
    )
    devices = f"devices={{count: 8, profiles: {{ear: {device}}}, mix: {{ear: 1}}}}"
    near, far = (
        spent_and_predicted(devices, f"network.backhaul.latency={latency}")
        for latency in ("0 s", "30 s")
    )
    for without, within in zip(near, far, strict=True):
        np.testing.assert_allclose(within - without, 2.0 * 30.0, rtol=1e-6)
