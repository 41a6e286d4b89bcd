"""A device runs as many jobs at a time as it has workers, in the order of arrival."""

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


def test_two_workers_take_jobs_in_order_each_when_it_is_free():
    queue = ComputeQueue(1, np.array([2]))
    starts = []
    for ready_s, duration_s in ((0.0, 10.0), (1.0, 3.0), (2.0, 4.0), (2.5, 1.0), (20.0, 1.0)):
        start, _ = queue.enter(ZERO, at(ready_s), at(duration_s))
        starts.append(float(start[0]))
    assert starts == [0.0, 1.0, 4.0, 8.0, 20.0]


def test_devices_with_one_and_with_two_workers_stand_side_by_side():
    queue, both = ComputeQueue(2, np.array([1, 2])), np.array([0, 1])
    queue.enter(both, at(0.0, 0.0), at(5.0, 5.0))
    start, _ = queue.enter(both, at(1.0, 1.0), at(5.0, 5.0))
    assert start.tolist() == [5.0, 1.0]
    assert queue.busy_until_s.tolist() == [10.0, 5.0]


def test_releasing_frees_the_worker_of_the_newest_job_only():
    queue = ComputeQueue(1, np.array([2]))
    queue.enter(ZERO, at(0.0), at(10.0))
    queue.enter(ZERO, at(0.0), at(8.0))
    queue.release(ZERO, at(2.0))
    assert queue.busy_until_s.tolist() == [2.0]
    queue.enter(ZERO, at(2.0), at(100.0))
    assert queue.busy_until_s.tolist() == [10.0]


def test_a_blocked_device_begins_nothing_until_then():
    queue = ComputeQueue(2, np.array([1, 2]))
    queue.enter(np.array([0, 1]), at(0.0, 0.0), at(3.0, 3.0))
    queue.block(np.array([1]), at(30.0))
    start, _ = queue.enter(np.array([0, 1]), at(4.0, 4.0), at(1.0, 1.0))
    assert start.tolist() == [4.0, 30.0]
