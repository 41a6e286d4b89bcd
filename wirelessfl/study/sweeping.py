"""Vary fields of a scenario over a grid, every strategy and seed at every point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, fingerprint
from wirelessfl.study.axes import Axis, Point, grid
from wirelessfl.study.comparison import Study
from wirelessfl.study.executor import Member, OnEnd, OnProgress, Value
from wirelessfl.study.gather import gather
from wirelessfl.study.measures import MEASURES, Arrival, Row, measure, over_seeds, slower
from wirelessfl.study.pool import Executor
from wirelessfl.study.record import Record
from wirelessfl.study.sweep_plot import plot_sweep
from wirelessfl.study.tables import Columns, write_tables
from wirelessfl.trace import Trace


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep: a row of numbers for each run.

    Attributes:
        scenario: What is varied.
        strategies: Names in the order asked for; the first is the one others are measured against.
        seeds: Seeds of every point and strategy.
        axes: The varied fields.
        members: The runs, the last axis fastest, then seeds, then strategies.
        runs: One row a member, in this order; `run_columns` says what is in it.
        failures: Error of every member that failed.
        traces: The traces that are in memory, which those with a folder are not.
        command: The command line that ran it, if one did.
    """

    scenario: Scenario
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    axes: tuple[Axis, ...]
    members: tuple[Member, ...]
    runs: pd.DataFrame
    failures: Mapping[Member, Exception] = field(default_factory=dict)
    traces: Mapping[Member, Trace] = field(default_factory=dict)
    command: str | None = None

    def trace(self, member: Member) -> Trace:
        """The trace of a finished member.

        Raises:
            InputError: If it has not finished.
        """
        if member in self.traces:
            return self.traces[member]
        if member.folder is None:
            raise InputError(f"{member.label} has not finished")
        return Trace.read(member.folder)

    def study(self, point: Mapping[str, Value]) -> Study:
        """The comparison of the strategies at one point, as `compare` would give it.

        Args:
            point: Value of every axis, by path, as in `Axis.values`.

        Raises:
            InputError: If there is no such point.
        """
        members = [member for member in self.members if member.point == point]
        if not members:
            raise InputError(f"the sweep has no point {dict(point)}")
        done = set(self.runs.index[self.runs["status"] == "finished"])
        traces: dict[str, dict[int, Trace]] = {name: {} for name in self.strategies}
        for index, member in enumerate(self.members):
            if member in members and index in done:
                traces[member.strategy][member.seed] = self.trace(member)
        failures = {m: error for m, error in self.failures.items() if m in members}
        return Study(members[0].scenario, self.strategies, traces, failures)

    def table(self) -> pd.DataFrame:
        """One row a point and strategy: means over seeds with 95% Student-t intervals.

        SI units; `summary_columns` says what is in it. `speedup` is how many times longer the
        strategy takes to the target than the first one at the same point, as in `Study.table`.
        Points of which nothing has finished are left out.
        """
        paths = [axis.path for axis in self.axes]
        rows = []
        for key, runs in self.runs.groupby([*paths, "strategy"], sort=False, dropna=False):
            done = runs[runs["status"] == "finished"]
            if not done.empty:
                rows.append(
                    dict(zip([*paths, "strategy"], key, strict=True)) | self._row(done, runs)
                )
        return pd.DataFrame(rows, columns=list(summary_columns(self.axes)))

    def _row(self, done: pd.DataFrame, runs: pd.DataFrame) -> Row:
        failed = int((runs["status"] == "failed").sum())
        counts: Row = {
            "runs": len(done) + failed,
            "failed": failed,
            "reached": int(done["reached"].sum()),
        }
        return counts | over_seeds(done, failed) | self._speedup(done, failed)

    def _speedup(self, done: pd.DataFrame, failed: int) -> Row:
        first = self.strategies[0]
        same = self.runs["strategy"] == first
        for axis in self.axes:
            same &= self.runs[axis.path] == done[axis.path].iloc[0]
        reference = _arrivals(self.runs[same & (self.runs["status"] == "finished")])
        _, ratio = slower(_arrivals(done), reference, failed)
        if done["strategy"].iloc[0] == first:
            ratio = ratio.without_bounds()
        return {"speedup": ratio.mean, "speedup_low": ratio.low, "speedup_high": ratio.high}

    def plot(self, path: str | Path) -> None:
        """Draw the time to the target, or of a round, against the varied values (PNG and SVG).

        Raises:
            InputError: If nothing has finished.
        """
        table = self.table()
        if table.empty:
            raise InputError("nothing of the sweep has finished")
        plot_sweep(table, self.axes, self.strategies, self.scenario.stop.target, Path(path))

    def report(self, path: str | Path) -> None:
        """Write the sweep as one HTML file: see `wirelessfl.report`."""
        from wirelessfl.study.report import report  # it reports on sweeps, so it imports this

        report(self, path)

    def write(self, folder: Path) -> None:
        """Write `members` and `table` (.csv, .parquet), picture and report into the folder."""
        write_tables(self.runs, folder / "members", run_columns(self.axes))
        write_tables(self.table(), folder / "table", summary_columns(self.axes))
        self.plot(folder / "sweep.png")
        self.report(folder / "report.html")


def run_columns(axes: Sequence[Axis]) -> Columns:
    """Unit and description of the columns of `Sweep.runs`."""
    return {
        **{axis.path: (axis.unit, "Varied field.") for axis in axes},
        "strategy": ("", "Name of the strategy."),
        "seed": ("", "Seed of the run."),
        "status": ("", "finished, failed, or waiting if it has not run."),
        "reached": ("", "Whether the run reached the target; never without one."),
        **{one.name: (one.unit, one.description) for one in MEASURES},
        "error": ("", "What a failed run failed with."),
    }


def summary_columns(axes: Sequence[Axis]) -> Columns:
    """Unit and description of the columns of `Sweep.table`."""
    measures: dict[str, tuple[str, str]] = {}
    for one in MEASURES:
        measures[one.name] = (one.unit, f"Mean over seeds. {one.description}")
        for end in ("low", "high"):
            measures[one.bound(end)] = (one.unit, f"{end.title()} end of the 95% interval.")
    return {
        **{axis.path: (axis.unit, "Varied field.") for axis in axes},
        "strategy": ("", "Name of the strategy."),
        "runs": ("", "Runs of it, failed ones included."),
        "failed": ("", "Runs that failed."),
        "reached": ("", "Runs that reached the target."),
        **measures,
        "speedup": ("", "Time over that of the first strategy, geometric mean paired by seed."),
        "speedup_low": ("", "Low end of the 95% interval."),
        "speedup_high": ("", "High end of the 95% interval."),
    }


def sweep(
    scenario: Scenario,
    vary: Mapping[str, Sequence[Any]],
    strategies: Sequence[str] | None = None,
    seeds: Iterable[int] = (0,),
    out: str | Path | None = None,
    jobs: int | None = None,
    on_progress: OnProgress | None = None,
    on_end: OnEnd | None = None,
    overwrite: bool = False,
    memo: str | Path | None = None,
    executor: Executor = "local",
    command: str | None = None,
    allow_custom: bool = False,
) -> Sweep:
    """Run a scenario at every combination of varied values, with every strategy and seed.

    Args:
        scenario: What to vary; it needs no target, and may be timing only.
        vary: Values of every varied field by dotted path, written as in YAML:
            `{'network.uplink.bandwidth': ['1 MHz', '5 MHz'], 'devices.count': [10, 40]}`.
        strategies: Preset names, or names under `strategies:`; the scenario's own if None.
        seeds: Seeds of the world; each meets all strategies at all points.
        out: Folder for `POINT/STRATEGY/seed-N/` traces, tables and the picture; None keeps all in
            memory. Members already finished there are read, not run again.
        jobs, on_progress, on_end, overwrite, memo, executor, command: As for `compare`.
        allow_custom: Whether scenario and values may name code of the user's own, as for `load`.

    Raises:
        InputError: On a field or value that cannot be, two values that come to the same, or as
            `compare`; nothing has run then.
        OSError: If the disk is full; what has finished is kept.
    """
    names = tuple(dict.fromkeys(strategies)) if strategies else (scenario.strategy.kind,)
    numbers = tuple(dict.fromkeys(seeds))
    if not numbers:
        raise InputError("a sweep needs at least one seed")
    folder = None if out is None else Path(out)
    axes, points = grid(scenario, vary, allow_custom)
    members = tuple(
        Member(
            name,
            point.scenario.with_strategy(name).model_copy(update={"seed": seed}),
            None if folder is None else folder / point.folder / name / f"seed-{seed}",
            point=point.values,
            place=point.label,
            memo=None if memo is None else Path(memo),
        )
        for point in points
        for seed in numbers
        for name in names
    )
    _all_differ(points, members)
    record = Record("sweep", scenario, names, numbers, tuple(axes), members, command)
    rows: dict[Member, Row] = {}
    traces: dict[Member, Trace] = {}

    def take(member: Member, trace: Trace) -> None:
        rows[member] = measure(trace, member.scenario.stop.target)
        if folder is None:
            traces[member] = trace

    failures = gather(record, folder, take, jobs, on_progress, on_end, overwrite, executor)
    done = swept(record, rows, failures, traces)
    if folder is not None and rows:
        done.write(folder)
    return done


def swept(
    record: Record,
    rows: Mapping[Member, Row],
    failures: Mapping[Member, Exception],
    traces: Mapping[Member, Trace],
) -> Sweep:
    """The sweep of a record, given the measures of the finished members."""
    runs = []
    for member in record.members:
        error = failures.get(member)
        status = "finished" if member in rows else "waiting" if error is None else "failed"
        runs.append(
            {
                **member.point,
                "strategy": member.strategy,
                "seed": member.seed,
                "status": status,
                "reached": False,
                **rows.get(member, {}),
                "error": "" if error is None else str(error),
            }
        )
    frame = pd.DataFrame(runs, columns=list(run_columns(record.axes)))
    frame = frame.astype({one.name: "float64" for one in MEASURES})
    failed = {member: failures[member] for member in record.members if member in failures}
    return Sweep(
        record.scenario,
        record.strategies,
        record.seeds,
        record.axes,
        record.members,
        frame,
        failed,
        traces,
        record.command,
    )


def _all_differ(points: Sequence[Point], members: Sequence[Member]) -> None:
    """Refuse points at which every run is that of another point: a value has no effect.

    Raises:
        InputError: If there are such points.
    """
    runs: dict[str, list[str]] = {point.label: [] for point in points}
    for member in members:
        runs[member.place].append(fingerprint(member.scenario))
    seen: dict[tuple[str, ...], str] = {}
    for label, prints in runs.items():
        other = seen.setdefault(tuple(prints), label)
        if other != label:
            raise InputError(
                f"--vary: the runs with {label} and with {other} are the same; the options of a "
                "strategy under 'strategies:' are varied there, e.g. 'strategies.NAME.server.step'"
            )


def _arrivals(runs: pd.DataFrame) -> dict[int, Arrival]:
    return {
        int(run["seed"]): Arrival(bool(run["reached"]), float(run["time_s"]), int(run["rounds"]))
        for _, run in runs.iterrows()
    }
