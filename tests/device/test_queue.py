"""A device runs one job at a time, in the order of arrival."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.device.queue import ComputeQueue

ZERO = np.array([0])


def at(*times: float) -> np.ndarray:
    return np.array(times, dtype=np.float64)


def test_a_job_waits_for_the_one_before_it():
    queue = ComputeQueue(2)
    start, end = queue.enter(np.array([0, 1]), at(1.0, 2.0), at(5.0, 5.0))
    assert (start.tolist(), end.tolist()) == ([1.0, 2.0], [6.0, 7.0])
    start, end = queue.enter(np.array([1, 0]), at(3.0, 9.0), at(1.0, 1.0))
    assert (start.tolist(), end.tolist()) == ([7.0, 9.0], [8.0, 10.0])


jobs = st.lists(
    st.tuples(
        st.integers(0, 3), st.floats(0, 100, allow_nan=False), st.floats(0, 10, allow_nan=False)
    ),
    max_size=40,
)


@given(jobs)
def test_jobs_never_overlap_and_start_as_soon_as_they_can(entries: list[tuple[int, float, float]]):
    queue, busy_until = ComputeQueue(4), dict.fromkeys(range(4), 0.0)
    for client, ready_s, duration_s in entries:
        start, end = queue.enter(np.array([client]), at(ready_s), at(duration_s))
        assert start[0] == max(ready_s, busy_until[client])
        assert end[0] == start[0] + duration_s == queue.busy_until_s[client]
        busy_until[client] = float(end[0])


def test_an_abandoned_job_frees_its_worker_at_that_moment():
    queue = ComputeQueue(1)
    queue.enter(ZERO, at(0.0), at(10.0))
    queue.release(ZERO, at(4.0))
    start, _ = queue.enter(ZERO, at(1.0), at(1.0))
    assert start.tolist() == [4.0]


def test_releasing_a_job_that_has_ended_changes_nothing():
    queue = ComputeQueue(1)
    queue.enter(ZERO, at(0.0), at(10.0))
    queue.release(ZERO, at(12.0))
    assert queue.busy_until_s.tolist() == [10.0]


def test_a_waiting_job_that_is_abandoned_leaves_the_running_one_alone():
    queue = ComputeQueue(1)
    queue.enter(ZERO, at(0.0), at(10.0))
    queue.enter(ZERO, at(1.0), at(10.0))
    queue.release(ZERO, at(2.0))
    assert queue.busy_until_s.tolist() == [10.0]


@given(jobs, st.floats(0, 150, allow_nan=False))
def test_releasing_never_makes_a_worker_busier_nor_cuts_earlier_jobs(
    entries: list[tuple[int, float, float]], at_s: float
):
    queue, before, after = ComputeQueue(4), np.zeros(4), np.zeros(4)
    for client, ready_s, duration_s in entries:
        before[client] = queue.busy_until_s[client]
        queue.enter(np.array([client]), at(ready_s), at(duration_s))
        after[client] = queue.busy_until_s[client]
    queue.release(np.arange(4), np.full(4, at_s))
    assert (queue.busy_until_s <= after).all()
    assert (queue.busy_until_s >= before).all()
