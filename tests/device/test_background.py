"""Background jobs make training wait as queueing theory says, and cost a bounded look back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelessfl.device.background import BackgroundWork
from wirelessfl.device.queue import ComputeQueue
from wirelessfl.scenario.availability import BackgroundConfig


def work(load: float, workers: int = 1, distribution: str = "exponential") -> BackgroundWork:
    config = BackgroundConfig.model_validate(
        {
            "jobs_per_hour": 3600 * load * workers / 10.0,
            "duration_s": 10.0,
            "distribution": distribution,
        }
    )
    return BackgroundWork(config, workers, seed=3)


def waits_s(background: BackgroundWork, workers: int, clients: int, at_s: float = 50.0):
    queue = ComputeQueue(clients, np.full(clients, workers), background)
    start_s, _ = queue.enter(np.arange(clients), np.full(clients, at_s), np.ones(clients))
    return start_s - at_s


@pytest.mark.parametrize(
    ("distribution", "second_moment"), [("exponential", 200.0), ("fixed", 100)]
)
@pytest.mark.parametrize("load", [0.3, 0.6])
@pytest.mark.slow
def test_one_worker_is_waited_for_as_pollaczek_and_khinchine_say(
    distribution: str, second_moment: float, load: float
):
    """E[W] = lambda E[S^2] / (2 (1 - rho)), and a share 1 - rho does not wait at all."""
    wait_s = waits_s(work(load, distribution=distribution), 1, clients=15_000)
    expected = (load / 10.0) * second_moment / (2 * (1 - load))
    assert wait_s.mean() == pytest.approx(expected, abs=5 * wait_s.std() / math.sqrt(len(wait_s)))
    assert (wait_s == 0).mean() == pytest.approx(1 - load, abs=0.02)


def test_two_workers_are_waited_for_as_erlang_says():
    """M/M/2: P(wait) = C(2, a), E[W] = C S / (2 (1 - rho)), a = 2 rho."""
    wait_s = waits_s(work(0.6, workers=2), 2, clients=10_000)
    a, rho = 1.2, 0.6
    erlang_c = (a**2 / 2 / (1 - rho)) / (1 + a + a**2 / 2 / (1 - rho))
    expected = erlang_c * 10.0 / (2 * (1 - rho))
    assert wait_s.mean() == pytest.approx(expected, abs=5 * wait_s.std() / math.sqrt(len(wait_s)))
    assert (wait_s > 0).mean() == pytest.approx(erlang_c, abs=0.025)


def test_the_wait_is_the_same_at_any_time_of_the_run():
    early, late = (waits_s(work(0.5), 1, 8000, at_s) for at_s in (0.0, 1e6))
    assert early.mean() == pytest.approx(late.mean(), abs=5 * early.std() * math.sqrt(2 / 8000))


def test_nothing_is_left_of_what_is_further_back_than_the_look_back():
    background = work(0.7)
    bounded = waits_s(background, 1, 500)
    background.look_back_s *= 2
    assert (waits_s(background, 1, 500) == bounded).all()


@given(st.floats(0, 300), st.floats(0, 300), st.integers(1, 3))
@settings(max_examples=50)
def test_looking_twice_is_looking_once(first_s: float, then_s: float, workers: int):
    background, clients = work(0.5, workers), np.arange(6)
    free_s = np.full((6, workers), 4.0)
    begin_s, middle_s = np.full(6, 1.0), np.full(6, 1.0 + first_s)
    end_s = middle_s + then_s
    once = background.after(clients, free_s, begin_s, end_s)
    middle = background.after(clients, free_s, begin_s, middle_s)
    assert (background.after(clients, middle, middle_s, end_s) == once).all()
    some = np.array([4, 1])
    alone = background.after(some, free_s[some], begin_s[some], end_s[some])
    assert (alone == once[some]).all()


def test_jobs_that_arrive_while_we_train_are_served_after_us_and_none_is_lost():
    """One worker: work at t2 = max(theirs alone, ours at t1 + theirs since - (t2 - t1))."""
    background, n = work(0.6), 2000
    clients, t1, t2, ours_s = np.arange(n), np.full(n, 100.0), np.full(n, 160.0), np.full(n, 45.0)
    queue = ComputeQueue(n, background=background)
    _, end_s = queue.enter(clients, t1, ours_s)
    start_s, _ = queue.enter(clients, t2, np.ones(n))
    nothing_s = np.full((n, 1), -np.inf)
    theirs_s = background.after(clients, nothing_s, np.full(n, -np.inf), t2)[:, 0]
    points_s, marks = background._arrivals.between(clients, t1, t2)
    arrived_s = np.where(np.isfinite(points_s), -10.0 * np.log(marks), 0.0).sum(axis=1)
    expected = np.maximum(np.maximum(theirs_s, end_s + arrived_s), t2)
    busy = end_s + arrived_s >= t2  # else the device was idle in between, and max() is exact too
    assert 200 < busy.sum() < n
    assert start_s[busy] == pytest.approx(expected[busy])
    assert (start_s >= np.maximum(theirs_s, t2) - 1e-9).all()
