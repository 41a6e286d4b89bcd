"""Deferred gradients: computed once, together, only when needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from wirelessfl.learning.jobs import GradientJob, Update
from wirelessfl.simulation.gradients import GradientPool


@dataclass
class CountingLearner:
    """Remembers the batches of jobs it was asked to train."""

    calls: list[list[GradientJob]] = field(default_factory=list)

    def train(self, jobs, models, method=None):
        self.calls.append(list(jobs))
        return [Update(models[job.version] + job.client, 0.0, 1) for job in jobs]


def jobs_of(clients, version=0, round=1):
    return [GradientJob(version=version, round=round, client=client, rank=4) for client in clients]


@pytest.fixture
def pool():
    return GradientPool(CountingLearner(), None)


def test_registering_computes_nothing(pool):
    pool.register(jobs_of([1, 2]), np.zeros(3, np.float32))
    assert pool._learner.calls == []


def test_collecting_runs_the_jobs_in_one_pass_and_keeps_their_order(pool):
    jobs = jobs_of([5, 1, 3])
    pool.register(jobs, np.zeros(2, np.float32))
    updates = pool.collect([jobs[2], jobs[0]])
    assert [update.delta[0] for update in updates] == [3, 5]
    assert pool._learner.calls == [[jobs[2], jobs[0]]]
    assert pool.computed == 2


def test_a_cancelled_job_never_runs(pool):
    jobs = jobs_of([1, 2, 3])
    pool.register(jobs, np.zeros(2, np.float32))
    pool.cancel(jobs[:1])
    pool.collect(jobs[1:])
    assert pool._learner.calls == [jobs[1:]]
    with pytest.raises(KeyError):
        pool.collect(jobs[:1])


def test_a_job_is_collected_once(pool):
    jobs = jobs_of([1])
    pool.register(jobs, np.zeros(2, np.float32))
    pool.collect(jobs)
    with pytest.raises(KeyError):
        pool.collect(jobs)


def test_each_job_meets_the_model_version_it_started_from(pool):
    old, new = jobs_of([1], version=0), jobs_of([1], version=1, round=2)
    pool.register(old, np.zeros(1, np.float32))
    pool.register(new, np.full(1, 10, np.float32))
    assert [u.delta[0] for u in pool.collect([*new, *old])] == [11, 1]


def test_nothing_to_collect_does_not_wake_the_learner(pool):
    assert pool.collect([]) == []
    assert pool._learner.calls == []


def test_a_version_is_there_as_long_as_somebody_at_work_started_from_it(pool):
    """An asynchronous server's jobs start from several versions, and are collected in any order."""
    models = [np.full(2, version, np.float32) for version in range(3)]
    jobs = [jobs_of([client], version=client)[0] for client in range(3)]
    again = jobs_of([0], version=1, round=2)[0]
    for job in [*jobs, again]:
        pool.register([job], models[job.version])
    pool.collect([jobs[1]])
    assert (pool.start(again) == 1).all()
    pool.collect([jobs[0]])
    pool.cancel([again])
    assert list(pool._models) == [2]
    assert pool.collect([jobs[2]])[0].delta.tolist() == [4, 4]
    with pytest.raises(KeyError):
        pool.start(again)
