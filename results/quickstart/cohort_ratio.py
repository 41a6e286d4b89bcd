"""Time of a round's gradients one client at a time over time in cohorts, at the quickstart's sizes.

.venv/bin/python results/quickstart/cohort_ratio.py
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import wirelessfl as wfl
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.simulation.engine import shared_learner

SCENARIO = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
REPEATS = 7


def main() -> None:
    """Print the median ratio over interleaved repeats for a few participant counts and ranks."""
    engines = {
        name: shared_learner(wfl.load(SCENARIO, {"learning.engine": name}))
        for name in ("reference", "cohort")
    }
    for clients, rank in ((5, 16), (5, 8), (10, 16), (40, 16)):
        jobs = [GradientJob(version=0, round=1, client=c, rank=rank) for c in range(clients)]
        ratios, cohort_s = [], []
        for repeat in range(REPEATS + 1):
            taken = {}
            for name, learner in engines.items():
                started = time.perf_counter()
                learner.train(jobs, {0: learner.initial}, learner.method())
                taken[name] = time.perf_counter() - started
            if repeat:  # the first warms up
                ratios.append(taken["reference"] / taken["cohort"])
                cohort_s.append(taken["cohort"])
        print(
            f"{clients:3d} clients, rank {rank:2d}: {statistics.median(ratios):.2f}x "
            f"[{min(ratios):.2f}, {max(ratios):.2f}], cohort {statistics.median(cohort_s):.3f} s"
        )


if __name__ == "__main__":
    main()
