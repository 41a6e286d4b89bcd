"""Run many simulations on this machine's cores; one that fails does not stop the others.

Each member runs whole in one process and is a pure function of its scenario, so the number of
processes changes only the elapsed time. One that was stopped goes on from the state that it saved.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from typing import Any

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, differences, fingerprint
from wirelessfl.simulation import Progress, simulate
from wirelessfl.simulation.checkpoint import read_checkpoint, remove_checkpoint
from wirelessfl.simulation.interruption import obey, tell_the_user
from wirelessfl.trace import Trace


@dataclass(frozen=True, eq=False)
class Member:
    """One run of a study.

    Attributes:
        strategy: The strategy's name.
        scenario: The resolved scenario.
        folder: The folder it fills, if any.
        memo: Where results of training are kept, if anywhere (see `simulate`).
    """

    strategy: str
    scenario: Scenario
    folder: Path | None
    memo: Path | None = None

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return self.scenario.seed

    @property
    def label(self) -> str:
        """A name for people, unique in the study."""
        return f"{self.strategy} seed {self.seed}"

    @property
    def checkpoint(self) -> Path | None:
        """Where its state is while it is unfinished; None if it has no folder."""
        return None if self.folder is None else self.folder / "checkpoint"


OnProgress = Callable[[Member, Progress], None]
Outcome = Trace | Exception


def finished_trace(member: Member) -> Trace | None:
    """The member's trace if its folder already holds it.

    Raises:
        InputError: If the folder holds the trace of another scenario or another version.
    """
    if member.folder is None or not (member.folder / "summary.json").exists():
        return None
    trace = Trace.read(member.folder)
    if trace.summary["fingerprint"] == fingerprint(member.scenario):
        return trace
    if unfinished_after(member) is not None:  # this run was about to replace the other
        return None
    raise InputError(
        f"{member.folder} holds a run of another scenario; choose another --out, or replace it "
        "with --overwrite. It differs (- that run, + now) in:\n"
        f"{differences(trace.scenario_yaml, member.scenario)}"
    )


def unfinished_after(member: Member) -> int | None:
    """The round after which the member was stopped, if its state was saved.

    Raises:
        InputError: If the folder holds the state of another run.
    """
    if member.checkpoint is None:
        return None
    found = read_checkpoint(member.checkpoint, member.scenario)
    return None if found is None else found.round


def begin_again(member: Member) -> None:
    """Forget what an unfinished run left; a finished one stays until another is complete."""
    if member.checkpoint is not None:
        remove_checkpoint(member.checkpoint)


def run_member(member: Member, on_progress: Callable[[Progress], None] | None = None) -> Trace:
    """Simulate one member, from where it was stopped if it was, and write its trace."""
    trace = simulate(member.scenario, on_progress, member.checkpoint, member.memo)
    if member.folder is not None:
        trace.write(member.folder)
    begin_again(member)
    return trace


def run_members(
    members: Iterable[Member], jobs: int | None = None, on_progress: OnProgress | None = None
) -> Iterator[tuple[Member, Outcome]]:
    """Run the members, `jobs` at a time (default: one a core), yielding each as it ends.

    A member's exception is yielded in place of its trace. With one job everything runs in this
    process.
    """
    members = list(members)
    jobs = min(jobs or os.cpu_count() or 1, max(len(members), 1))
    if jobs == 1:
        yield from _run_here(members, on_progress)
    else:
        yield from _run_in_processes(members, jobs, on_progress)


def _run_here(
    members: list[Member], on_progress: OnProgress | None
) -> Iterator[tuple[Member, Outcome]]:
    for member in members:

        def report(progress: Progress, member: Member = member) -> None:
            if on_progress is not None:
                on_progress(member, progress)

        outcome: Outcome
        try:
            outcome = run_member(member, report)
        except Exception as error:  # handed to the caller, who reports it
            outcome = error
        yield member, outcome


_queue: Any = None  # this worker process's way to report progress, set by _start_worker


def _start_worker(queue: Any, told: Event) -> None:
    global _queue
    _queue = queue
    obey(told)


def _run_in_worker(index: int, member: Member) -> Trace:
    return run_member(member, lambda progress: _queue.put((index, progress)))


def _run_in_processes(
    members: list[Member], jobs: int, on_progress: OnProgress | None
) -> Iterator[tuple[Member, Outcome]]:
    context = multiprocessing.get_context("spawn")  # fork is not safe once torch has threads
    queue, told = context.Queue(), context.Event()
    others = multiprocessing.active_children()

    def drain() -> None:
        for _ in range(2 * jobs):  # then look who has ended, however many wait to report
            try:
                index, progress = queue.get(timeout=0.1)
            except Empty:
                return
            if on_progress is not None and members[index] in running.values():
                on_progress(members[index], progress)

    with ProcessPoolExecutor(jobs, context, _start_worker, (queue, told)) as pool:
        running: dict[Future[Trace], Member] = {
            pool.submit(_run_in_worker, index, member): member
            for index, member in enumerate(members)
        }
        try:
            while running:
                drain()
                for future in wait(running, timeout=0, return_when=FIRST_COMPLETED).done:
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise RuntimeError(
                            "a worker process died, or could not start: a script that compares "
                            "needs `if __name__ == '__main__':` around its work, or jobs=1"
                        ) from error
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    yield running.pop(future), error or future.result()
        except BaseException as error:
            told.set()  # they save their state and stop
            if isinstance(error, KeyboardInterrupt):
                tell_the_user()
            try:
                pool.shutdown(cancel_futures=True)
            except KeyboardInterrupt:  # the second
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.kill()
            raise
