"""Everybody together learns what one client with all the data learns; results/learning, smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirelessfl.scenario import load
from wirelessfl.simulation import simulate

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CLIENTS, BATCH = 10, 16
EVEN = "{kind: iid, sizes: balanced}"


def losses(
    scenario: str, steps: int, lr: float, clients: int, local: int, partition: str, clip: str
) -> tuple[float, float]:
    """Held-out loss before and after `steps` steps, `local` a round, of 160 samples in all."""
    rounds = steps // local
    overrides = [
        f"stop={{rounds: {rounds}}}",
        f"evaluate.every={rounds}",
        f"devices.count={clients}",
        "strategy={kind: full}",
        f"learning.partition={partition}",
        f"learning.local={{steps: {local}, batch: {BATCH * CLIENTS // clients}, lr: {lr}, "
        f"clip_norm: {clip}}}",
    ]
    before, after = simulate(load(SCENARIOS / scenario, overrides)).rounds["loss"].dropna()
    return before, after


@pytest.mark.slow
def test_digits_are_learnt_as_by_one_client_with_all_of_them():
    def after(clients: int, local: int) -> tuple[float, float]:
        return losses("quickstart.yaml", 150, 0.1, clients, local, EVEN, "null")

    before, central = after(1, 5)
    _, every_step = after(CLIENTS, 1)
    _, five_steps = after(CLIENTS, 5)
    assert central < 0.25 * before
    assert every_step < 1.2 * central  # 0.97 and 1.05 with two seeds
    assert before - five_steps > 0.95 * (before - central)  # 0.975 to 0.98 with three seeds


@pytest.mark.slow
def test_pydoc_is_learnt_as_by_one_client_with_all_packages():
    def after(clients: int, partition: str) -> tuple[float, float]:
        return losses("pydoc-packages.yaml", 15, 1.0, clients, 5, partition, "1")

    before, central = after(1, EVEN)
    _, federated = after(CLIENTS, "{kind: natural}")
    assert federated < 1.01 * central
    assert before - federated > 0.85 * (before - central)
