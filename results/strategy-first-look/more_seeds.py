"""Adaptive and its nearest rival on seeds that nothing was chosen on: is five too few?

Takes the best settings from runs.csv and writes more.csv; prints the ratio of times paired by seed.
What is already there is not run again.

    .venv/bin/python results/strategy-first-look/more_seeds.py compute deadline --seeds 20-34
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

import wirelessfl as wfl
from wirelessfl.scenario import loads
from wirelessfl.study.statistics import ratio_interval
from wirelessfl.study.tuning import with_settings

HERE = Path(__file__).parent
OURS = "adaptive"


def best_settings(name: str, strategy: str) -> dict[str, Any]:
    """The settings that tuning chose."""
    runs = pd.read_csv(HERE / "runs.csv")
    row = runs[(runs["scenario"] == name) & (runs["strategy"] == strategy)].iloc[0]
    fields = wfl.load(HERE / f"{name}.yaml").with_strategy(strategy).strategy.model_dump()
    found = {}
    for column in runs.columns[runs.columns.str.startswith("best ") & row.notna()]:
        section, _, option = column.removeprefix("best ").rpartition(".")
        kind = type(fields[section][option] if section else fields[option])
        found[column.removeprefix("best ")] = kind(row[column])
    return found


def time_s(name: str, strategy: str, seed: int) -> float:
    """Simulated seconds to the target.

    Raises:
        RuntimeError: If a run does not reach it: then a ratio of means says nothing.
    """
    scenario = wfl.load(HERE / f"{name}.yaml").with_strategy(strategy)
    chosen = with_settings(scenario, best_settings(name, strategy))
    trace = wfl.simulate(chosen.model_copy(update={"seed": seed}))
    target = loads(trace.scenario_yaml).stop.target
    assert target is not None
    found = trace.time_to(target.metric, target.below, target.above, target.smooth)
    if found is None:
        raise RuntimeError(f"{name}/{strategy} did not reach the target on seed {seed}")
    return found


def main() -> None:
    """Run what is not there yet, then print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("rival")
    parser.add_argument("--seeds", default="20-34", help="FIRST-LAST")
    asked = parser.parse_args()
    first, last = map(int, asked.seeds.split("-"))
    path = HERE / "more.csv"
    columns = ["scenario", "strategy", "seed", "time_s"]
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)
    for seed in range(first, last + 1):
        for strategy in (OURS, asked.rival):
            one = (asked.scenario, strategy, seed)
            if not (rows[columns[:3]] == one).all(axis=1).any():
                rows.loc[len(rows)] = [*one, time_s(*one)]
                rows.to_csv(path, index=False, float_format="%.6g")
    own = rows[rows["scenario"] == asked.scenario].pivot(
        index="seed", columns="strategy", values="time_s"
    )
    pairs = own[[OURS, asked.rival]].dropna()
    ratio = ratio_interval(pairs[asked.rival].tolist(), pairs[OURS].tolist())
    ahead = pairs.index[pairs[asked.rival] < pairs[OURS]].tolist()
    print(
        f"{asked.scenario}, {len(pairs)} seeds: {asked.rival} takes {ratio.mean:.2f} "
        f"[{ratio.low:.2f}, {ratio.high:.2f}] times as long as {OURS}; faster on {ahead}"
    )


if __name__ == "__main__":
    main()
