"""Clients together learn nearly what one that has all their data learns from as many samples."""

from __future__ import annotations

import pytest

from tests.examples import FOLDER
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate


def losses(clients: int, batch: int, partition: str) -> tuple[float, float]:
    """Held-out loss before and after ten rounds of five steps with everybody."""
    overrides = (
        f"learning.partition={partition}",
        f"learning.local.batch={batch}",
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
    before, together = losses(4, 16, "{kind: natural}")
    start, alone = losses(1, 64, "{kind: iid, sizes: balanced}")
    assert start == before
    assert alone < before - 0.04
    assert together < 1.01 * alone
    assert before - together > 0.8 * (before - alone)
