"""What a person sees while runs go on, and the words for how they ended.

Progress and warnings go to standard error, results to standard output, so that a program may read
these. On a terminal the progress is drawn live; in a log, a pipe or CI it is plain lines.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn

from wirelessfl.scenario import Target
from wirelessfl.simulation import Progress as RunProgress
from wirelessfl.study.executor import Member, Outcome
from wirelessfl.trace.warnings import Summary, warnings_of
from wirelessfl.trace.words import duration

console = Console(highlight=False, markup=False)
errors = Console(highlight=False, markup=False, stderr=True)
HEARTBEAT_S = 30.0


class LiveProgress:
    """What watches the runs: `update` after each round, `finish` at each end. This one is blind."""

    def update(self, member: Member, run: RunProgress) -> None:
        """Show a member's newest round."""

    def finish(self, member: Member, outcome: Outcome) -> None:
        """Show how a member ended."""


class BarProgress(LiveProgress):
    """On a terminal: one line a running simulation: round, simulated clock, metric, time left."""

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
        """Move the member's bar."""
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
        """Take a member's bar away and keep a line that says how it ended."""
        if member in self._tasks:
            self._progress.remove_task(self._tasks.pop(member))
        if self._total is not None:
            self._progress.advance(self._total)
        self._progress.console.print(f"{member.label}: {_ending(member, outcome)}")


class LineProgress(LiveProgress):
    """Not on a terminal: a plain line as each run ends, and between them one every half minute."""

    def __init__(self, members: int) -> None:
        self._members, self._ended = members, 0
        self._said_s = time.monotonic()

    def update(self, member: Member, run: RunProgress) -> None:
        """Say that there is life, if nothing has been said for long."""
        if time.monotonic() - self._said_s >= HEARTBEAT_S:
            values = "".join(f", {name} {value:.3f}" for name, value in run.metrics.items())
            self._say(f"{member.label}: round {run.round}, clock {duration(run.time_s)}{values}")

    def finish(self, member: Member, outcome: Outcome) -> None:
        """Say how a member ended."""
        self._ended += 1
        self._say(f"{member.label}: {_ending(member, outcome)}")

    def _say(self, text: str) -> None:
        self._said_s = time.monotonic()
        count = f"[{self._ended}/{self._members}] " if self._members > 1 else ""
        errors.print(f"{count}{text}", soft_wrap=True)


def _ending(member: Member, outcome: Outcome) -> str:
    if isinstance(outcome, Exception):
        return f"failed: {str(outcome) or type(outcome).__name__}"
    totals = outcome.summary["totals"]
    spent = outcome.summary.get("privacy", {}).get("epsilon")
    cost = "" if spent is None else f", epsilon {spent:.3g}"
    how = ""
    if member.scenario.stop.target is not None:
        how = "target reached, " if outcome.summary["target_reached"] else "target not reached, "
    return f"{how}round {totals['rounds']}, clock {duration(totals['time_s'])}{cost}"


@contextmanager
def live_progress(
    members: int, target: Target | None, quiet: bool = False
) -> Iterator[LiveProgress]:
    """A progress display on standard error that ends with the block; if `quiet`, there is none."""
    if quiet:
        yield LiveProgress()
        return
    if not errors.is_terminal:
        yield LineProgress(members)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        EtaColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield BarProgress(progress, members, target)


def print_warnings(summaries: Iterable[Summary]) -> None:
    """What the reader of finished runs must know to trust them."""
    for warning in warnings_of(list(summaries)):
        errors.print(f"warning: {warning}", soft_wrap=True)
