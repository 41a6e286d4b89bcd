"""Reads a folder of runs back as the study that left it."""

from __future__ import annotations

from pathlib import Path

from wirelessfl.study.comparison import Study, comparison
from wirelessfl.study.executor import Member
from wirelessfl.study.measures import Row, measure
from wirelessfl.study.record import read_record
from wirelessfl.study.sweeping import Sweep, swept
from wirelessfl.trace import Trace


def read_study(folder: str | Path) -> Study | Sweep:
    """The comparison or sweep that a folder holds, with the members that have finished so far.

    Args:
        folder: What was given to `compare` or `sweep` as `out`.

    Raises:
        InputError: If it holds neither, or was written by another version.
    """
    record, failures = read_record(Path(folder))
    traces: dict[str, dict[int, Trace]] = {name: {} for name in record.strategies}
    rows: dict[Member, Row] = {}
    for member in record.members:
        assert member.folder is not None
        if member in failures or not (member.folder / "summary.json").exists():
            continue
        trace = Trace.read(member.folder)
        if trace.summary["diverged"]:
            failures[member] = ArithmeticError(trace.summary["diverged"])
        elif record.kind == "comparison":
            traces[member.strategy][member.seed] = trace
        else:
            rows[member] = measure(trace, member.scenario.stop.target)
    if record.kind == "comparison":
        return comparison(record, traces, failures)
    return swept(record, rows, failures, {})
