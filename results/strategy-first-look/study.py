"""Every strategy on three digits scenarios, all tuned with one budget: who arrives first?

For each scenario and strategy: `TRIALS` settings (step and participation level) on the tuning
seed, the best three of them on two more, and the best of these on five others. `fedbuff-24` is
FedBuff with three times the trials. Writes tuning/SCENARIO/STRATEGY.csv with every trial, runs.csv
with every run, table.csv and table.md with time to target, its ratio to that of each of `OURS` and
the seeds on which it was faster, and a picture for each scenario. What is already there is not run
again.

    .venv/bin/python results/strategy-first-look/study.py [--only SCENARIO[/STRATEGY]] [--jobs N]
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import wirelessfl as wfl
from wirelessfl.scenario import Scenario, loads
from wirelessfl.study import tune
from wirelessfl.study.search import Trial, default_ranges, ranked
from wirelessfl.study.statistics import mean_interval, ratio_interval
from wirelessfl.study.tuning import with_settings
from wirelessfl.trace import Trace, plot_convergence

HERE = Path(__file__).parent
SCENARIOS = ("communication", "balanced", "compute")
# fedit at full rank is uniform: the same runs.
STRATEGIES = (
    *("adaptive", "adaptive-async", "uniform", "data_proportional", "statistical", "fslora"),
    *("full", "fixed_k", "deadline", "oort", "fedbuff", "fedasync", "adaptive-paper"),
    *("hetlora", "flexlora", "flora", "ffa", "fedbuff-24"),
)
OURS = ("adaptive", "adaptive-async")
TUNING_SEED, FINAL_SEEDS = 100, (101, 102)
FINALISTS = 3
SEEDS = (0, 1, 2, 3, 4)
TRIALS = 8
MORE = "-24"
MORE_TRIALS = 24
# Where all are tuned: the step, and how many take part (of 40).
LEAST = {"mixing.alpha": 0.15}
MOST = {"server.step": 8.0, "server.step_max": 8.0, "mixing.alpha": 1.0}
LARGEST_LEVEL = 20.0


def run(task: tuple[str, str]) -> tuple[list[dict[str, Any]], list[list[tuple[float, float]]]]:
    """Tunes one strategy on one scenario and runs the best settings: rows and loss curves."""
    name, row = task
    strategy = row.removesuffix(MORE)
    trials = TRIALS if row == strategy else MORE_TRIALS
    scenario = wfl.load(HERE / f"{name}.yaml")
    ranges = [
        replace(one, low=LEAST.get(one.path, 1.0), high=MOST.get(one.path, LARGEST_LEVEL))
        for one in default_ranges(scenario.with_strategy(strategy))
    ]
    out = HERE / "tuning" / (name if row == strategy else name + MORE)
    tuning = tune(scenario, strategy, trials, (TUNING_SEED,), ranges, out, jobs=1)
    best = min(
        ranked(tuning.trials)[:FINALISTS],
        key=lambda trial: final_s(scenario, strategy, trial),
    )
    rows, curves = [], []
    for seed in SEEDS:
        trace = simulated(scenario, strategy, best, seed)
        time_s = arrival_s(trace)
        rounds = trace.rounds[trace.rounds["round"] > 0]
        rows.append(
            {
                "scenario": name,
                "strategy": row,
                "seed": seed,
                "reached": time_s is not None,
                "time_s": float(rounds["end_s"].iloc[-1]) if time_s is None else time_s,
                "rounds": len(rounds),
                "round_s": rounds["duration_s"].mean(),
                "expected_round_s": rounds["expected_round_s"].mean(),
                "participants": rounds["participants"].mean(),
                "mean_rank": rounds["mean_rank"].mean(),
                "uplink_mbit": rounds["uplink_bits"].sum() / 1e6,
                **{f"best {path}": value for path, value in best.settings.items()},
            }
        )
        curves.append(list(trace.curve("loss")))
    return rows, curves


def simulated(scenario: Scenario, strategy: str, trial: Trial, seed: int) -> Trace:
    """A run of a strategy with the settings of a trial."""
    chosen = with_settings(scenario.with_strategy(strategy), trial.settings)
    return wfl.simulate(chosen.model_copy(update={"seed": seed}))


def arrival_s(trace: Trace) -> float | None:
    """Simulated seconds to the target, if it was reached."""
    target = loads(trace.scenario_yaml).stop.target
    assert target is not None
    return trace.time_to(target.metric, target.below, target.above, target.smooth)


def final_s(scenario: Scenario, strategy: str, trial: Trial) -> float:
    """Mean time of a finalist over all tuning seeds; one that does not arrive counts twice."""
    total_s = trial.score_s
    for seed in FINAL_SEEDS:
        trace = simulated(scenario, strategy, trial, seed)
        time_s = arrival_s(trace)
        total_s += 2 * float(trace.rounds["end_s"].iloc[-1]) if time_s is None else time_s
    return total_s / (1 + len(FINAL_SEEDS))


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for each scenario and strategy; a time that not all runs reached is a lower bound."""
    rows = []
    for (name, strategy), own in runs.groupby(["scenario", "strategy"], sort=False):
        whole = bool(own["reached"].all())
        time_s = mean_interval(own["time_s"].tolist())
        row = {
            "scenario": name,
            "strategy": strategy,
            "reached": int(own["reached"].sum()),
            "time_s": time_s.mean,
            "time_low_s": time_s.low if whole else math.nan,
            "time_high_s": time_s.high if whole else math.nan,
            "rounds": own["rounds"].mean(),
            "round_s": own["round_s"].mean(),
            "expected_round_s": own["expected_round_s"].mean(),
            "participants": own["participants"].mean(),
            "mean_rank": own["mean_rank"].mean(),
        }
        for ours in OURS:
            theirs = runs[(runs["scenario"] == name) & (runs["strategy"] == ours)]
            row |= against(ours, strategy, own, theirs)
        rows.append(row)
    return pd.DataFrame(rows)


def against(
    ours: str, strategy: str, own: pd.DataFrame, theirs: pd.DataFrame
) -> dict[str, float | str]:
    """How much slower a strategy is than one of ours, and on which seeds it is faster."""
    pairs = own.merge(theirs, on="seed", suffixes=("", "_ours"))
    ratio = ratio_interval(pairs["time_s"].tolist(), pairs["time_s_ours"].tolist())
    certain = bool(pairs["reached"].all() and pairs["reached_ours"].all()) and strategy != ours
    ahead = pairs[pairs["reached"] & (pairs["time_s"] < pairs["time_s_ours"])]
    return {
        f"over {ours}": ratio.mean,
        f"over {ours}, low": ratio.low if certain else math.nan,
        f"over {ours}, high": ratio.high if certain else math.nan,
        f"ahead of {ours} on": " ".join(str(seed) for seed in ahead["seed"]),
    }


def markdown(table: pd.DataFrame) -> str:
    """The table for people, fastest first."""
    lines = []
    for name in dict.fromkeys(table["scenario"]):
        lines += [
            f"\n**{name}**\n",
            "| strategy | reached | time to target | over adaptive | faster on | "
            "over adaptive-async | faster on | rounds | a round | clients | rank |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        own = table[table["scenario"] == name].sort_values(["time_s"])
        for row in own.to_dict("records"):
            bound = "" if row["reached"] == len(SEEDS) else "> "
            times = "" if bound else f" [{row['time_low_s']:.1f}, {row['time_high_s']:.1f}]"
            ratios = []
            for ours in OURS:
                low, high = row[f"over {ours}, low"], row[f"over {ours}, high"]
                interval = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
                ratios += [
                    f"{bound}{row[f'over {ours}']:.2f}{interval}",
                    row[f"ahead of {ours} on"],
                ]
            lines.append(
                f"| {row['strategy']} | {row['reached']}/{len(SEEDS)} | "
                f"{bound}{row['time_s']:.1f} s{times} | {' | '.join(ratios)} | "
                f"{row['rounds']:.0f} | {row['round_s']:.2f} s | "
                f"{row['participants']:.1f} | {row['mean_rank']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is not there yet, then write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="SCENARIO or SCENARIO/STRATEGY")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    path, curves_path = HERE / "runs.csv", HERE / "curves.csv"
    runs = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["scenario", "strategy"])
    curves = pd.read_csv(curves_path) if curves_path.exists() else pd.DataFrame()
    there = set(zip(runs["scenario"], runs["strategy"], strict=True))
    tasks = [
        (name, strategy)
        for strategy in STRATEGIES
        for name in SCENARIOS
        if (name, strategy) not in there and f"{name}/{strategy}".startswith(asked.only)
    ]
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        for task, (rows, lines) in zip(tasks, pool.imap(run, tasks), strict=True):
            runs = pd.concat([runs, pd.DataFrame(rows)], ignore_index=True)
            points = [
                {"scenario": task[0], "strategy": task[1], "seed": seed, "time_s": t, "loss": loss}
                for seed, line in zip(SEEDS, lines, strict=True)
                for t, loss in line
            ]
            curves = pd.concat([curves, pd.DataFrame(points)], ignore_index=True)
            runs.to_csv(path, index=False, float_format="%.6g")
            curves.to_csv(curves_path, index=False, float_format="%.5g")
            print(f"{task[0]}/{task[1]}: {[round(row['time_s'], 1) for row in rows]}", flush=True)
    table = summary(runs)
    table.to_csv(HERE / "table.csv", index=False, float_format="%.5g")
    (HERE / "table.md").write_text(markdown(table), encoding="utf-8")
    for name in dict.fromkeys(runs["scenario"]):
        best = table[table["scenario"] == name].nsmallest(6, "time_s")["strategy"].tolist()
        shown = {
            strategy: [
                list(zip(line["time_s"], line["loss"], strict=True))
                for _, line in curves[
                    (curves["scenario"] == name) & (curves["strategy"] == strategy)
                ].groupby("seed")
            ]
            for strategy in best
        }
        target = wfl.load(HERE / f"{name}.yaml").stop.target
        assert target is not None
        plot_convergence(shown, "loss", target.below, HERE / f"{name}.png")


if __name__ == "__main__":
    main()
