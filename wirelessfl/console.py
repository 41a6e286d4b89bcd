"""What a person sees in the terminal: live progress while simulating, and the tables after.

On a terminal the progress is drawn live; anywhere else (a log, a pipe, CI) one plain line is
printed as each run ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn
from rich.table import Table

from wirelessfl.scenario import Target
from wirelessfl.simulation import Progress as RunProgress
from wirelessfl.study import Study, Tuning
from wirelessfl.study.executor import Member, Outcome
from wirelessfl.study.search import ranked
from wirelessfl.trace import Trace
from wirelessfl.trace.words import duration

console = Console(highlight=False, markup=False)


class LiveProgress:
    """One line a running simulation: round, simulated clock, metric, time left."""

    def __init__(self, progress: Progress, members: int, target: Target | None) -> None:
        self._progress, self._target = progress, target
        self._metric = target.metric if target else "loss"
        self._tasks: dict[Member, TaskID] = {}
        self._first: dict[Member, float] = {}
        self._last: dict[Member, str] = {}
        self._total = (
            progress.add_task("all runs", total=members, detail="") if members > 1 else None
        )

    def update(self, member: Member, run: RunProgress) -> None:
        """Show a member's newest round."""
        if member not in self._tasks:
            self._tasks[member] = self._progress.add_task(member.label, total=1.0, detail="")
        if self._metric in run.metrics:
            value = run.metrics[self._metric]
            self._first.setdefault(member, value)
            self._last[member] = f"{self._metric} {value:.3f}"
        self._progress.update(
            self._tasks[member],
            completed=self._fraction(member, run),
            detail=f"round {run.round} | clock {duration(run.time_s)} | "
            f"{self._last.get(member, '')} | {run.participants} clients",
        )

    def _fraction(self, member: Member, run: RunProgress) -> float:
        """Done share of the run: by rounds, time limit or way to the target, whichever is most."""
        shares = [run.round / run.rounds]
        if run.limit_s is not None:
            shares.append(run.time_s / run.limit_s)
        first, value = self._first.get(member), run.metrics.get(self._metric)
        if self._target is not None and first is not None and value is not None:
            goal = self._target.below if self._target.below is not None else self._target.above
            if goal is not None and first != goal:
                shares.append((first - value) / (first - goal))
        return min(max(shares), 1.0)

    def finish(self, member: Member, outcome: Outcome) -> None:
        """Take a member's line away and keep one that says how it ended."""
        if member in self._tasks:
            self._progress.remove_task(self._tasks.pop(member))
        if self._total is not None:
            self._progress.advance(self._total)
        self._progress.console.print(f"{member.label}: {_ending(member, outcome)}")


def _ending(member: Member, outcome: Outcome) -> str:
    if isinstance(outcome, Exception):
        return f"failed: {str(outcome) or type(outcome).__name__}"
    totals = outcome.summary["totals"]
    how = "target reached" if outcome.summary["target_reached"] else "target not reached"
    spent = outcome.summary.get("privacy", {}).get("epsilon")
    cost = "" if spent is None else f", epsilon {spent:.3g}"
    return f"{how}, round {totals['rounds']}, clock {duration(totals['time_s'])}{cost}"


@contextmanager
def live_progress(members: int, target: Target | None) -> Iterator[LiveProgress]:
    """A progress display that ends with the block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        EtaColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield LiveProgress(progress, members, target)


def print_warnings(traces: Iterable[Trace]) -> None:
    """What the reader of finished runs must know to trust them; the same words only once."""
    runs = list(traces)
    warnings = [*(warning for trace in runs for warning in _warnings(trace)), *_short(runs)]
    for warning in dict.fromkeys(warnings):
        console.print(f"warning: {warning}", soft_wrap=True)


def _warnings(trace: Trace) -> Iterator[str]:
    memory = trace.summary["memory"]
    if memory["excluded"]:
        yield f"{memory['excluded']} clients are excluded: {memory['reason']}"
    if memory["capped"]:
        yield (
            f"{memory['capped']} clients train fewer ranks than the adapter has: more do not fit "
            "their memory"
        )
    if trace.summary["diverged"]:
        yield f"a run stopped early: {trace.summary['diverged']}"
    if trace.summary["nobody_left"]:
        yield "a run ended early, as no client would ever have been available again"


def _short(traces: Sequence[Trace]) -> Iterator[str]:
    """Of all runs together: what `fidelity: ergodic` is not made for."""
    counts = [trace.summary["ergodic"] for trace in traces if "ergodic" in trace.summary]
    transfers, short = (sum(count[of] for count in counts) for of in ("transfers", "short"))
    if short:
        yield (
            f"{short:,} of {transfers:,} transfers ({short / transfers:.2g} of them) are shorter "
            "than the 100 coherence times that fidelity: ergodic is made for, and their lengths "
            "are rough; fidelity: exact follows every coherence slot"
        )


def print_study(study: Study, folder: Path) -> None:
    """The comparison's table, and where its pictures are."""
    console.print(study_table(study))
    print_warnings(trace for by_seed in study.traces.values() for trace in by_seed.values())
    console.print(f"table:    {folder / 'table.csv'}", soft_wrap=True)
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
