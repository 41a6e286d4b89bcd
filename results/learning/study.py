"""Does federated training learn what central training does? digits and pydoc, full participation.

Central is one client that holds all the data and whose batch is as large as those of the ten
clients together: equal steps, and equal samples a step. Each side takes the learning rate of a
small grid that does best on a seed of its own; other seeds are compared. For digits further
settings take the causes of the difference apart. Writes learning.csv (every run) and summary.csv.

    python results/learning/study.py            # all tasks; digits takes about seven minutes
    python results/learning/study.py digits     # one of them; the others' rows are kept
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import wirelessfl as wfl

HERE = Path(__file__).parent
SCENARIOS = HERE.parents[1] / "scenarios"
CLIENTS, BATCH, STEPS = 10, 16, 5
TUNING_SEED, SEEDS = 3, (10, 11, 12)
LAST = 3  # evaluations whose mean is the loss at the end, since one alone is noisy
DIRICHLET = "{kind: dirichlet, alpha: 0.3}"
BALANCED = "{kind: iid, sizes: balanced}"


@dataclass(frozen=True)
class Setting:
    """One way to train; steps times rounds are the same in all settings of a task."""

    name: str
    partition: str
    clip: str
    clients: int = CLIENTS
    steps: int = STEPS


@dataclass(frozen=True)
class Task:
    """Scenario, rounds of STEPS local steps, learning rates to choose from, settings and seeds."""

    scenario: str
    rounds: int
    rates: tuple[float, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...] = SEEDS


TASKS = {
    "digits": Task(
        "quickstart.yaml",
        120,
        (0.1, 0.2),  # 0.03 is slower, 0.3 unstable on both sides
        (
            Setting("federated", DIRICHLET, "null"),
            Setting("central", BALANCED, "null", clients=1),
            Setting("federated, clipped", DIRICHLET, "1"),
            Setting("federated, iid", BALANCED, "null"),
            Setting("federated, 1 local step", DIRICHLET, "null", steps=1),
        ),
    ),
    "digits, longer": Task(
        "quickstart.yaml",
        480,
        (0.05, 0.1),
        (
            Setting("federated", DIRICHLET, "null"),
            Setting("central", BALANCED, "null", clients=1),
        ),
        tuple(range(10, 18)),
    ),
    "pydoc": Task(
        "pydoc-packages.yaml",
        20,
        (0.3, 1.0),
        (
            Setting("federated", "{kind: natural}", "1"),
            Setting("central", BALANCED, "1", clients=1),
        ),
    ),
}


def losses(task: Task, setting: Setting, rate: float, seed: int) -> tuple[float, float]:
    """Held-out loss before and at the end."""
    rounds = task.rounds * STEPS // setting.steps
    every = rounds // 10
    scenario = wfl.load(
        SCENARIOS / task.scenario,
        (
            f"seed={seed}",
            f"stop={{rounds: {rounds}}}",
            f"evaluate.every={every}",
            f"devices.count={setting.clients}",
            "strategy={kind: full}",
            "learning.cohort_width=auto",
            f"learning.partition={setting.partition}",
            f"learning.local.batch={BATCH * CLIENTS // setting.clients}",
            f"learning.local.steps={setting.steps}",
            f"learning.local.clip_norm={setting.clip}",
            f"learning.local.lr={rate}",
        ),
    )
    loss = wfl.simulate(scenario).rounds["loss"].dropna()
    return float(loss.iloc[0]), float(loss.iloc[-LAST:].mean())


def runs_of(name: str, task: Task) -> list[dict[str, object]]:
    """Every run of a task: those that choose the rates, and those that are compared."""
    rows: list[dict[str, object]] = []

    def run(setting: Setting, rate: float, seed: int) -> float:
        before, after = losses(task, setting, rate, seed)
        rows.append(
            {
                "task": name,
                "setting": setting.name,
                "lr": rate,
                "seed": seed,
                "for": "tuning" if seed == TUNING_SEED else "comparison",
                "loss_before": before,
                "loss_after": after,
            }
        )
        print(rows[-1], flush=True)
        return after

    for setting in task.settings:
        best = min(task.rates, key=lambda rate: run(setting, rate, TUNING_SEED))
        for seed in task.seeds:
            run(setting, best, seed)
    return rows


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Loss of every setting over that of central training, seed by seed, with 95% intervals.

    The interval of the ratio is Student's of the mean log ratio over the seeds; `share` is the part
    of central training's reduction of the loss that the setting reaches.
    """
    rows = []
    compared = runs[runs["for"] == "comparison"]
    for (task, setting), mine in compared.groupby(["task", "setting"], sort=False):
        central = compared[(compared["task"] == task) & (compared["setting"] == "central")]
        both = mine.merge(central, on="seed", suffixes=("", "_central"))
        logs = np.log(both["loss_after"] / both["loss_after_central"])
        half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
        share = (both["loss_before"] - both["loss_after"]) / (
            both["loss_before_central"] - both["loss_after_central"]
        )
        rows.append(
            {
                "task": task,
                "setting": setting,
                "lr": mine["lr"].iloc[0],
                "loss_before": mine["loss_before"].mean(),
                "loss_after": mine["loss_after"].mean(),
                "ratio": np.exp(logs.mean()),
                "ratio_low": np.exp(logs.mean() - half),
                "ratio_high": np.exp(logs.mean() + half),
                "share": share.mean(),
            }
        )
    return pd.DataFrame(rows)


def main(names: list[str]) -> None:
    """Run the tasks that are named, or all, and write both tables."""
    file = HERE / "learning.csv"
    new = {name: runs_of(name, task) for name, task in TASKS.items() if name in names or not names}
    kept = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["task"])
    tables = [
        pd.DataFrame(new[name]) if name in new else kept[kept["task"] == name] for name in TASKS
    ]
    runs = pd.concat([table for table in tables if len(table)], ignore_index=True)
    runs.to_csv(file, index=False)
    table = summary(runs)
    table.to_csv(HERE / "summary.csv", index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
