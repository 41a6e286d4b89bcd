"""A cohort that does not fit in memory is trained in halves; other errors stay errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.learning.conftest import BuildLearner
from wirelessfl.errors import InputError
from wirelessfl.learning import learner as learner_module
from wirelessfl.learning.cohort import train_cohort
from wirelessfl.learning.jobs import GradientJob, Update
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.local import LocalResult, LocalWork
from wirelessfl.learning.memo import Memo
from wirelessfl.learning.workbench import Workbench
from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.trace.warnings import warnings_of

JOBS = [GradientJob(version=0, client=n, round=1, rank=1 + n % 8) for n in range(7)]
Narrow = Callable[..., list[int]]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Narrow:
    """Makes passes of more than so many clients fail; returns the widths that were tried."""

    def fail_beyond(most: int, error: Exception) -> list[int]:
        tried: list[int] = []

        def train(bench: Workbench, works: Sequence[LocalWork]) -> list[LocalResult]:
            tried.append(len(works))
            if len(works) > most:
                raise error
            return train_cohort(bench, works)

        monkeypatch.setitem(learner_module._ENGINES, "cohort", train)
        return tried

    return fail_beyond


@pytest.fixture
def seven(build: BuildLearner) -> Learner:
    return build(cohort_width=7)


def trained(learner: Learner) -> list[Update]:
    updates = learner.train(JOBS, {0: learner.initial}, learner.method())
    return [update for update in updates if update is not None]


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you"),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_cohort_that_does_not_fit_is_halved_until_it_does(
    seven: Learner, narrow: Narrow, error: Exception
):
    whole, before = trained(seven), seven.memory_halvings
    tried = narrow(2, error)
    halved = trained(seven)
    assert tried == [7, 4, 2, 2, 3, 2, 1]
    assert seven.memory_halvings - before == 3
    for one, other in zip(whole, halved, strict=True):
        np.testing.assert_allclose(other.delta, one.delta, rtol=1e-5, atol=1e-7)
        assert other.loss == pytest.approx(one.loss, rel=1e-5)


def test_halves_give_the_bytes_of_a_pass_of_their_width(
    build: BuildLearner, seven: Learner, narrow: Narrow
):
    four = trained(build(cohort_width=4))
    narrow(4, MemoryError())
    for one, other in zip(four, trained(seven), strict=True):
        assert one.delta.tobytes() == other.delta.tobytes()


def test_one_client_that_does_not_fit_is_an_error_that_says_what_to_change(
    seven: Learner, narrow: Narrow
):
    narrow(0, ERRORS[1])
    with pytest.raises(InputError, match=r"one client at a time.*micro_batch"):
        trained(seven)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory")])
def test_other_errors_are_not_swallowed(seven: Learner, narrow: Narrow, error: Exception):
    tried = narrow(0, error)
    with pytest.raises(type(error), match=str(error)):
        trained(seven)
    assert tried == [7]


def test_the_memo_never_takes_halves_for_a_whole_pass(
    seven: Learner, narrow: Narrow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memo = Memo(tmp_path)
    monkeypatch.setattr(seven, "memo", memo)
    narrow(4, MemoryError())
    halved = trained(seven)
    tried = narrow(4, MemoryError())
    again = trained(seven)
    assert tried == [7]  # the halves are found
    assert [u.delta.tobytes() for u in again] == [u.delta.tobytes() for u in halved]
    tried = narrow(7, MemoryError())
    trained(seven)
    assert tried == [7]  # where memory suffices the whole pass is trained, and kept
    trained(seven)
    assert tried == [7]


def test_a_run_that_halved_says_so(narrow: Narrow):
    scenario = loads(
        "{name: a, devices: {count: 6}, stop: {rounds: 2}, learning: {cohort_width: 4, model: "
        "{kind: tiny-vit, hidden: 16, layers: 2, heads: 2, pretrain_steps: 2}, local: {steps: 1}}, "
        "strategy: {kind: uniform, participation: {expected: 6}}}"
    )
    assert simulate(scenario).summary["host"]["memory_halvings"] == 0
    narrow(2, MemoryError())
    for _ in range(2):  # the learner is shared, the count is each run's own
        before = shared_learner(scenario).memory_halvings
        summary = simulate(scenario).summary
        assert summary["host"]["memory_halvings"] > 0
        assert summary["host"]["memory_halvings"] == (
            shared_learner(scenario).memory_halvings - before
        )
    assert any("out of memory" in warning for warning in warnings_of([summary]))
