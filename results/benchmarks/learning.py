"""Cost of gradients: clients stacked into one pass against one client after another.

The tiny ViT on digits as in the quickstart: full rank, five local steps of 16 samples, one torch
thread. Both engines train the same clients in turn, in one process, and the first turn warms up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import harness
from harness import Case

import wirelessfl as wfl
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.simulation.engine import shared_learner

SCENARIO = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
TURNS = 5
TINY = "learning.model={kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}"


def ratio(clients: int) -> Callable[[float], Mapping[str, float]]:
    """Time of one at a time over time of the cohort, for so many clients of a round."""

    def measure(scale: float) -> Mapping[str, float]:
        small = () if scale == 1 else (TINY,)
        engines = {
            name: shared_learner(wfl.load(SCENARIO, (f"learning.engine={name}", *small)))
            for name in ("reference", "cohort")
        }
        rank = engines["cohort"].workload.rank
        steps = clients * engines["cohort"].workload.local.steps
        jobs = [GradientJob(version=0, round=1, client=c, rank=rank) for c in range(clients)]
        taken: dict[str, list[float]] = {name: [] for name in engines}
        started = time.perf_counter()
        for turn in range(TURNS + 1):
            for name, learner in engines.items():
                begun = time.perf_counter()
                learner.train(jobs, {0: learner.initial}, learner.method())
                if turn:
                    taken[name].append(time.perf_counter() - begun)
        middle_s = {name: statistics.median(times) for name, times in taken.items()}
        return {
            "value": middle_s["reference"] / middle_s["cohort"],
            "elapsed_s": time.perf_counter() - started,
            "cohort_client_steps_per_s": steps / middle_s["cohort"],
            "reference_client_steps_per_s": steps / middle_s["reference"],
        }

    return measure


CASES = {
    f"clients-{clients}": Case(
        f"{clients} clients a round: one at a time over cohort",
        ratio(clients),
        unit="x",
        target=1.0,
        more_is_better=True,
    )
    for clients in (5, 10, 20)
}


def main(arguments: list[str] | None = None) -> None:
    """See `harness`."""
    harness.main(__file__, CASES, arguments)


if __name__ == "__main__":
    main()
