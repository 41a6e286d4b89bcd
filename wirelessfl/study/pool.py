"""Run many simulations; one that fails, or whose process is killed, does not stop the others.

Each member runs whole in one process and is a pure function of its scenario, so where it runs, and
how many at a time, changes only the elapsed time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Literal, get_args

from wirelessfl.errors import InputError, is_full
from wirelessfl.scenario.located import suggestion
from wirelessfl.study.executor import Endings, Member, OnProgress
from wirelessfl.study.processes import attempt, run_in_processes

Executor = Literal["local", "ray"]
Run = Callable[[deque[Member], int | None, OnProgress], Endings]


def run_members(
    members: Iterable[Member],
    jobs: int | None = None,
    on_progress: OnProgress | None = None,
    executor: str = "local",
) -> Endings:
    """Run the members, `jobs` at a time (default: one a core), yielding each as it ends.

    A member's exception is yielded in place of its trace. Once the disk is full, no further member
    is started: what cannot be kept need not be run; such members are not yielded. If the caller
    leaves early, by Ctrl-C or otherwise, those under way are told to stop.

    Args:
        members: What to run.
        jobs: How many at a time. With one job of the local executor all runs in this process.
        on_progress: Called with a member and its progress after each of its rounds.
        executor: 'local' for processes of this machine, 'ray' for a Ray cluster.

    Raises:
        InputError: As `find_executor`.
    """
    run = find_executor(executor)
    waiting = deque(members)
    for member, outcome in run(waiting, jobs, on_progress or (lambda member, progress: None)):
        if isinstance(outcome, OSError) and is_full(outcome):
            waiting.clear()
        yield member, outcome


def find_executor(name: str) -> Run:
    """What runs members where the name says.

    Raises:
        InputError: If there is no such executor, or Ray is not installed.
    """
    if name == "local":
        return _run_locally
    if name != "ray":
        raise InputError(f"unknown executor {name!r}; {suggestion(name, get_args(Executor))}")
    if find_spec("ray") is None:
        raise InputError("the executor 'ray' needs Ray: python -m pip install 'wirelessfl[ray]'")
    from wirelessfl.study.ray_executor import run_on_ray  # Ray is large and optional

    return run_on_ray


def _run_locally(waiting: deque[Member], jobs: int | None, on_progress: OnProgress) -> Endings:
    jobs = min(jobs or os.cpu_count() or 1, len(waiting))
    return (run_in_processes if jobs > 1 else _run_here)(waiting, jobs, on_progress)


def _run_here(waiting: deque[Member], jobs: int, on_progress: OnProgress) -> Endings:
    while waiting:
        member = waiting.popleft()
        yield member, attempt(member, on_progress)
