"""A study's results as people read them in the terminal, and as programs read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from wirelessfl.console import console
from wirelessfl.scenario import Scenario
from wirelessfl.study import Study, Sweep, Tuning
from wirelessfl.study.executor import Member
from wirelessfl.study.measures import measure
from wirelessfl.study.search import ranked
from wirelessfl.trace import Trace
from wirelessfl.trace.words import duration

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))


def print_run(trace: Trace, scenario: Scenario, folder: Path) -> None:
    """How a run ended, and where its files are."""
    rounds = trace.rounds.iloc[-1]
    console.print(
        f"{scenario.name}, {scenario.strategy.kind}, seed {scenario.seed}: "
        f"{rounds['round']} rounds in {duration(rounds['end_s'])} of simulated time"
    )
    target = scenario.stop.target
    if target is not None:
        time_s = trace.time_to(target.metric, target.below, target.above, target.smooth)
        reached = "not reached" if time_s is None else f"reached after {duration(time_s)}"
        console.print(f"target {target}: {reached}")
    private = trace.summary.get("privacy")
    if private is not None and private["epsilon"] is not None:
        console.print(f"privacy: epsilon {private['epsilon']:.3g} at delta {private['delta']:g}")
    console.print(f"trace: {folder}", soft_wrap=True)
    if (picture := folder / "convergence.png").exists():  # nothing to draw where nothing is trained
        console.print(f"picture: {picture}", soft_wrap=True)


def run_document(trace: Trace, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """A run as JSON values: its measures, and its summary."""
    target = scenario.stop.target
    return {
        "kind": "run",
        "name": scenario.name,
        "folder": str(folder),
        "target": None if target is None else str(target),
        **records(pd.DataFrame([measure(trace, target)]))[0],
        "summary": trace.summary,
    }


def print_study(study: Study, folder: Path) -> None:
    """The comparison's table, and where its pictures are."""
    console.print(study_table(study))
    console.print(f"table:    {folder / 'table.csv'}", soft_wrap=True)
    console.print(f"report:   {folder / 'report.html'}", soft_wrap=True)
    console.print(f"pictures: {folder / 'convergence.png'}", soft_wrap=True)
    console.print(f"          {folder / 'round_breakdown.png'}", soft_wrap=True)


def study_table(study: Study) -> Table:
    """The comparison as people read it; units in every cell, intervals in brackets."""
    frame = study.table()
    table = Table(
        title=f"{study.scenario.name}: simulated time to {study.target}",
        caption="Means over seeds [95% confidence interval]; runs: reached the target / all; "
        "'>' marks a lower bound, as not all arrived. Slower by: time over that of "
        f"{study.strategies[0]}, paired by seed.",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("strategy", no_wrap=True)
    for name in ("runs", "time to target", "rounds", "clients", "rank", "slower by"):
        table.add_column(name, justify="right", no_wrap=True)
    for _, row in frame.iterrows():
        bound = "> " if row["reached"] < row["runs"] else ""
        table.add_row(
            str(row["strategy"]),
            f"{row['reached']}/{row['runs']}",
            bound + duration(row["time_s"]) + _interval(row, "time", "_s", duration),
            f"{bound}{row['rounds']:.0f}",
            f"{row['participants']:.1f}",
            f"{row['mean_rank']:.1f}",
            _slower(row, bound),
        )
    return table


def print_sweep(sweep: Sweep, folder: Path) -> None:
    """The sweep's table, and where tables and picture are."""
    console.print(sweep_table(sweep))
    console.print(f"table:   {folder / 'table.csv'}", soft_wrap=True)
    console.print(f"runs:    {folder / 'members.csv'}", soft_wrap=True)
    console.print(f"report:  {folder / 'report.html'}", soft_wrap=True)
    console.print(f"picture: {folder / 'sweep.png'}", soft_wrap=True)


def sweep_table(sweep: Sweep) -> Table:
    """A row for each point and strategy; values as they were written, intervals in brackets."""
    frame, target = sweep.table(), sweep.scenario.stop.target
    table = Table(
        title=f"{sweep.scenario.name}: "
        + (f"simulated time to {target}" if target else "simulated time of a round"),
        caption="Means over seeds [95% confidence interval]."
        + (" '>' marks a lower bound, as not all arrived." if target else ""),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for axis in sweep.axes:
        table.add_column(axis.path.rpartition(".")[2], justify="right", no_wrap=True, max_width=24)
    table.add_column("strategy", no_wrap=True)
    names = ["runs", *(["time to target"] if target else []), "rounds", "round", "up", "energy"]
    for name in names:  # where it is narrow, amounts go on below rather than lose their units
        table.add_column(name, justify="right", no_wrap=name not in ("up", "energy"))
    for _, row in frame.iterrows():
        bound = "> " if target and row["reached"] < row["runs"] else ""
        time_s = bound + duration(row["time_s"]) + _interval(row, "time", "_s", duration)
        table.add_row(
            *(axis.texts[axis.values.index(row[axis.path])] for axis in sweep.axes),
            str(row["strategy"]),
            f"{row['reached']}/{row['runs']}" if target else str(row["runs"]),
            *([time_s] if target else []),
            f"{bound}{row['rounds']:.0f}",
            duration(row["round_s"]) + _interval(row, "round", "_s", duration),
            _quantity(row["uplink_bits"], "bit"),
            _quantity(row["energy_j"], "J"),
        )
    return table


def _quantity(value: float, unit: str) -> str:
    """A number with its prefix: '12.3 Mbit'; a dash if there is none."""
    if math.isnan(value):
        return "–"
    size, prefix = next((s, p) for s, p in _PREFIXES if abs(value) >= s or s == 1)
    return f"{value / size:.3g} {prefix}{unit}"


def study_document(study: Study, folder: Path) -> dict[str, Any]:
    """A comparison as JSON values."""
    return {
        "kind": "comparison",
        "name": study.scenario.name,
        "folder": str(folder),
        "target": str(study.target),
        "table": records(study.table()),
        "failures": _failures(study.failures),
    }


def sweep_document(sweep: Sweep, folder: Path) -> dict[str, Any]:
    """A sweep as JSON values."""
    target = sweep.scenario.stop.target
    return {
        "kind": "sweep",
        "name": sweep.scenario.name,
        "folder": str(folder),
        "target": None if target is None else str(target),
        "vary": [{"path": a.path, "unit": a.unit, "values": a.values} for a in sweep.axes],
        "table": records(sweep.table()),
        "runs": records(sweep.runs),
        "failures": _failures(sweep.failures),
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON values; missing numbers are null."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _failures(failures: Mapping[Member, Exception]) -> list[dict[str, str]]:
    return [{"run": member.label, "error": str(error)} for member, error in failures.items()]


def print_tuning(tuning: Tuning, seeds: int) -> None:
    """The trials of a strategy, best first, and the best as it is written in a scenario."""
    best, tuned = tuning.best, tuning.scenario
    table = Table(
        title=f"{tuned.name}: {tuning.strategy}, mean time to {tuned.stop.target}",
        caption="'>': the target was not reached on every seed, and the time is extrapolated.",
        box=SIMPLE_HEAD,
    )
    table.add_column("trial", justify="right")
    for path in best.settings:
        table.add_column(path, justify="right")
    table.add_column("reached", justify="right")
    table.add_column("time", justify="right")
    for trial in ranked(tuning.trials):
        bound = "> " if trial.reached < seeds else ""
        failed = math.isinf(trial.score_s)
        table.add_row(
            str(trial.number),
            *(f"{value:g}" for value in trial.settings.values()),
            f"{trial.reached}/{seeds}",
            "failed" if failed else bound + duration(trial.score_s),
        )
    console.print(table)
    fields = " ".join(f"--set strategy.{path}={value:g}" for path, value in best.settings.items())
    console.print(f"best: --set strategy.kind={tuned.strategy.kind} {fields}", soft_wrap=True)


def _interval(row: pd.Series, name: str, unit: str, show: Callable[[float], str]) -> str:
    low, high = row[f"{name}_low{unit}"], row[f"{name}_high{unit}"]
    return "" if math.isnan(low) else f"\n[{show(max(low, 0.0))}–{show(high)}]"


def _slower(row: pd.Series, bound: str) -> str:
    if math.isnan(row["speedup"]):
        return "–"
    interval = _interval(row, "speedup", "", lambda ratio: f"{ratio:.2f}")
    return f"{bound}{row['speedup']:.2f}x{interval}"
