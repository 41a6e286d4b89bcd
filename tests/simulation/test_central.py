"""Clients together learn nearly what one that has all their data learns from as many samples."""

from __future__ import annotations

import pytest

from tests.examples import FOLDER
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate

MODEL = "{kind: tiny-lm, hidden: 32, layers: 1, heads: 2, vocabulary: 400, pretrain_steps: 100}"


def losses(clients: int, batch: int, partition: str) -> tuple[float, float]:
    """Held-out loss before and after."""
    overrides = (
        f"learning.model={MODEL}",
        f"learning.partition={partition}",
        f"learning.local={{steps: 3, batch: {batch}, lr: 1}}",
        "learning.task.max_tokens=32",
        "strategy={kind: full}",
        f"devices.count={clients}",
        "stop.rounds=10",
        "evaluate.every=10",
    )
    loss = simulate(load(FOLDER / "pydoc-packages.yaml", overrides)).rounds["loss"].dropna()
    return float(loss.iloc[0]), float(loss.iloc[-1])


@pytest.mark.slow
def test_packages_together_learn_what_one_client_with_all_of_them_does():
    before, together = losses(4, 8, "{kind: natural}")
    start, alone = losses(1, 32, "{kind: iid, sizes: balanced}")
    assert start == pytest.approx(before)
    assert alone < before - 0.05
    assert together < 1.02 * alone
    assert before - together > 0.7 * (before - alone)
    print(before, together, alone)
