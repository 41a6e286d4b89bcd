"""Does the predicted time to target rank settings of (q, k) as real training does?

Eighteen settings on the quickstart: data-proportional participation of 1.5 to 40 clients, each
training 4, 8 or 16 of 16 ranks. From the update norms of one earlier run (seed 100, `adaptive`)
`wirelessfl plan` predicts the length of a round and the relative rounds of each, and the server
step that suits its noise. Then each is run with that step on three other seeds. Writes settings.csv
and prediction.png, and prints Spearman's rank correlation of predicted and realised time, and of
rounds and round lengths alone.

    .venv/bin/python results/prediction/study.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

import wirelessfl as wfl
from wirelessfl.scenario import Scenario
from wirelessfl.simulation.planning import plan_scenario

HERE = Path(__file__).parent
QUICKSTART = HERE.parents[1] / "scenarios" / "quickstart.yaml"
LEVELS = (1.5, 3.0, 6.0, 12.0, 24.0, 40.0)
RANKS = (4, 8, 16)
SEEDS = (10, 11, 12)
# What full participation bears: of the steps tried for `full` in strategy-first-look 2 was best.
STEP_MAX = 2.0
STOP = {"stop.rounds": 1000, "stop.time": "40 min"}


def setting(level: float, rank: int, step: float, seed: int) -> Scenario:
    """The quickstart with this participation, rank and server step."""
    adapter = {"sketch": "off"} if rank == max(RANKS) else {"sketch": "fixed", "rank": rank}
    strategy = {
        "kind": "data_proportional",
        "participation": {"expected": level},
        "adapter": adapter,
        "server": {"step": step},
    }
    return wfl.load(QUICKSTART, {**STOP, "seed": seed, "strategy": strategy})


def measure(level: float, rank: int, norms: Path) -> dict[str, Any]:
    """What is predicted of a setting, and what came of it."""
    outlook = plan_scenario(setting(level, rank, 1.0, 100), norms)
    step = STEP_MAX * outlook.terms.step_ratio
    found: dict[str, list[float]] = {"time_s": [], "rounds": [], "round_s": [], "reached": []}
    for seed in SEEDS:
        scenario = setting(level, rank, step, seed)
        trace, target = wfl.simulate(scenario), scenario.stop.target
        assert target is not None
        time_s = trace.time_to(target.metric, target.below, target.above, target.smooth)
        rounds = trace.rounds[trace.rounds["round"] > 0]
        found["reached"].append(time_s is not None)
        found["time_s"].append(float(rounds["end_s"].iloc[-1]) if time_s is None else time_s)
        found["rounds"].append(len(rounds))
        found["round_s"].append(rounds["duration_s"].mean())
    return {
        "expected": level,
        "rank": rank,
        "step": step,
        "predicted_round_s": outlook.mean_s,
        "predicted_rounds": outlook.terms.relative_rounds,
        "predicted_time": outlook.relative_time_s,
        **{name: sum(values) / len(values) for name, values in found.items()},
    }


def main() -> None:
    """Measure all settings, then the correlations."""
    with tempfile.TemporaryDirectory() as folder:
        norms = Path(folder) / "norms"
        wfl.simulate(wfl.load(QUICKSTART, {"seed": 100})).write(norms)
        rows = []
        for level in LEVELS:
            for rank in RANKS:
                rows.append(measure(level, rank, norms))
                pd.DataFrame(rows).to_csv(HERE / "settings.csv", index=False, float_format="%.5g")
    table = pd.DataFrame(rows)
    for predicted, real in (
        ("predicted_time", "time_s"),
        ("predicted_rounds", "rounds"),
        ("predicted_round_s", "round_s"),
    ):
        print(f"{predicted} against {real}: {spearmanr(table[predicted], table[real])[0]:.3f}")
    picture(table)


def picture(table: pd.DataFrame) -> None:
    """Draw predicted against simulated time."""
    figure = Figure(figsize=(6.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for marker, colour, rank in zip("os^", ("#0072B2", "#D55E00", "#009E73"), RANKS, strict=True):
        own = table[table["rank"] == rank]
        axes.scatter(
            own["predicted_time"], own["time_s"], marker=marker, color=colour, label=f"rank {rank}"
        )
        for row in own.to_dict("records"):
            axes.annotate(
                f"{row['expected']:g}", (row["predicted_time"], row["time_s"]), fontsize=8,
                xytext=(4, 3), textcoords="offset points",
            )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}")
    axes.set_xlabel("predicted: round length x relative rounds (s)")
    axes.set_ylabel("simulated time to loss 0.7 (s)")
    axes.legend(title="numbers: expected clients", frameon=False)
    figure.savefig(HERE / "prediction.png", dpi=150)


if __name__ == "__main__":
    main()
