"""Runs the members of a study that are not finished, and notes in its folder how each ended."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import chain
from pathlib import Path

from wirelessfl.errors import InputError, is_full
from wirelessfl.scenario import dump, fingerprint
from wirelessfl.simulation.world import check
from wirelessfl.study.executor import (
    Member,
    OnEnd,
    OnProgress,
    Outcome,
    begin_again,
    finished_trace,
    unfinished_after,
)
from wirelessfl.study.pool import Executor, find_executor, run_members
from wirelessfl.study.record import FILE, Record, finished, read_document, write_text
from wirelessfl.trace import Trace
from wirelessfl.trace.files import make_folder


def gather(
    record: Record,
    folder: Path | None,
    take: Callable[[Member, Trace], None],
    jobs: int | None = None,
    on_progress: OnProgress | None = None,
    on_end: OnEnd | None = None,
    overwrite: bool = False,
    executor: Executor = "local",
) -> dict[Member, Exception]:
    """Give each member's trace to `take`, those that are there already first; what others met.

    A run whose training diverged has failed, for it never arrives anywhere. Nothing runs, and
    nothing is removed, before all members are checked and the folder has shown that it can be
    written.

    Raises:
        InputError: If the folder holds another study or cannot be written, or a member cannot run.
        OSError: If the disk is full; what has finished is kept.
    """
    find_executor(executor)
    found = {m: None if overwrite else finished_trace(m) for m in record.members}
    ready = [(member, trace) for member, trace in found.items() if trace is not None]
    waiting = [member for member, trace in found.items() if trace is None]
    if not overwrite:
        for member in waiting:
            unfinished_after(member)  # fails early if it is of another run
    _check(waiting)
    if folder is not None:
        _claim(folder, record, waiting)
    if overwrite:
        for member in waiting:
            begin_again(member)
    failures: dict[Member, Exception] = {}
    full: OSError | None = None
    try:
        with closing(run_members(waiting, jobs, on_progress, executor)) as running:
            for member, outcome in chain(ready, running):
                outcome = _judged(outcome)
                if isinstance(outcome, Exception):
                    failures[member] = outcome
                else:
                    take(member, outcome)
                if isinstance(outcome, OSError) and is_full(outcome):
                    full = full or outcome
                if on_end is not None:
                    on_end(member, outcome)
    finally:
        if folder is not None and full is None:
            record.write(folder, failures)
    if full is not None and folder is not None:
        done, members = finished(folder)
        what = f"{full.strerror}; {done} of {members} runs are finished and kept in {folder}"
        raise OSError(full.errno, what, full.filename)
    return failures


def _judged(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Trace) and outcome.summary["diverged"]:
        return ArithmeticError(outcome.summary["diverged"])
    return outcome


def _check(members: list[Member]) -> None:
    """Find members that cannot run; those that differ in the strategy alone share a world."""
    worlds: dict[str, list[Member]] = {}
    for member in members:
        world = member.scenario.model_copy(update={"strategy": members[0].scenario.strategy})
        worlds.setdefault(fingerprint(world), []).append(member)
    for together in worlds.values():
        try:
            runs = [(member.strategy, member.scenario.strategy) for member in together]
            check(together[0].scenario, runs)
        except InputError as error:
            place = together[0].place
            raise InputError(f"with {place}: {error}" if place else str(error)) from None


def _claim(folder: Path, record: Record, waiting: list[Member]) -> None:
    """Write the folder's record, and each member's scenario where its trace will be.

    Raises:
        InputError: If the folder holds a study of another kind, or cannot be written.
    """
    if (folder / FILE).exists() and (kind := read_document(folder)["kind"]) != record.kind:
        raise InputError(f"{folder} holds a {kind}; choose another --out")
    make_folder(folder)
    try:
        record.write(folder, {})
        for member in waiting:
            assert member.folder is not None
            member.folder.mkdir(parents=True, exist_ok=True)
            if not (member.folder / "summary.json").exists():  # of a run that this one replaces
                write_text(member.folder / "scenario.yaml", dump(member.scenario))
    except OSError as error:
        name = error.filename or folder
        raise InputError(f"{name} cannot be written: {error.strerror}") from None
