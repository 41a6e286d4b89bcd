"""Runs on a Ray cluster, or on the local one that Ray starts where there is none.

Every run is one task on one CPU; its trace comes back to this process, which writes it, so that
nodes need no disk in common. A task whose worker or node dies is tried once more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

from wirelessfl.errors import InputError, reason
from wirelessfl.study.executor import Endings, Member, OnProgress, Outcome
from wirelessfl.study.processes import KilledError, attempt, portable


def run_on_ray(waiting: deque[Member], jobs: int | None, on_progress: OnProgress) -> Endings:
    """Run the members, `jobs` at a time (default: one a CPU of the cluster), yielding as they end.

    `RAY_ADDRESS` names a cluster. A member's files must be where its scenario says on every node.
    Progress within a run is not reported.

    Raises:
        InputError: If its cluster cannot be reached.
    """
    import ray  # it starts threads and takes a second

    ours = not ray.is_initialized()
    running: dict[Any, Member] = {}
    try:
        if ours:
            _connect(ray)
        task = ray.remote(num_cpus=1, max_retries=1)(_run_away)
        jobs = jobs or int(ray.cluster_resources().get("CPU", 1))
        while waiting or running:
            while waiting and len(running) < jobs:
                member = waiting.popleft()
                running[task.remote(replace(member, folder=None))] = member
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            member = running.pop(done)
            try:
                outcome: Outcome = ray.get(done)
                if not isinstance(outcome, Exception) and member.folder is not None:
                    outcome.write(member.folder)
            except ray.exceptions.RayError as error:
                outcome = KilledError(f"Ray lost it, twice: {reason(error)}")
            except OSError as error:
                outcome = error
            yield member, outcome
    finally:
        for left in running:
            ray.cancel(left, force=True)
        if ours:
            ray.shutdown()


def _connect(ray: Any) -> None:
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"Ray: {reason(error)}") from None


def _run_away(member: Member) -> Outcome:
    return portable(attempt(member, lambda member, progress: None))
