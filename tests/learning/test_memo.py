"""What is kept on disk is found again, bounded, and never trusted when damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.learning.conftest import BuildLearner
from wirelessfl.errors import InputError
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.local import LocalResult, LocalStart, LocalWork
from wirelessfl.learning.memo import Memo


def work(number: int) -> LocalWork:
    start = LocalStart(np.full(4, number, np.float32), 1)
    return LocalWork(number, 1, start, np.zeros((1, 2), np.int64))


def asked(memo: Memo, number: int, loss: float = 1.0) -> float:
    """What the memo says of a work, whose training would give `loss`."""
    result = LocalResult(np.full(4, loss, np.float32), loss)
    return memo.trained(b"learner", [work(number)], None, lambda: [result])[0].loss


def test_what_was_computed_is_found_again_exactly(tmp_path: Path):
    value = float(np.nextafter(0.1, 1))
    assert asked(Memo(tmp_path), 1, value) == value
    memo = Memo(tmp_path)
    assert asked(memo, 1, 5.0) == value
    assert (memo.hits, memo.misses) == (1, 0)
    measured = memo.measured(b"learner", b"m", lambda: {"loss": value, "accuracy": 0.5})
    again = memo.measured(b"learner", b"m", lambda: {})
    assert again == measured == {"loss": value, "accuracy": 0.5}


def test_everything_that_goes_in_tells_entries_apart(tmp_path: Path):
    memo, one, two = Memo(tmp_path), work(1), work(2)
    result = LocalResult(np.zeros(4, np.float32), 0.0)
    shift = np.ones(3, np.float32)
    other_start = LocalWork(1, 1, two.start, one.rows)
    other_round = LocalWork(1, 2, one.start, one.rows)
    other_rows = LocalWork(1, 1, one.start, one.rows + 1)
    gain = LocalWork(1, 1, LocalStart(one.start.compact, 1, 2.0), one.rows)
    frozen = LocalWork(1, 1, LocalStart(one.start.compact, 1, trained=np.ones(4, bool)), one.rows)
    cases = [
        (b"a", [one], None),
        (b"b", [one], None),
        (b"a", [one], shift),
        (b"a", [one, two], None),
        (b"a", [two, one], None),
        *((b"a", [changed], None) for changed in (other_start, other_round, other_rows)),
        *((b"a", [changed], None) for changed in (gain, frozen)),
    ]
    for learner, works, residual in cases:
        memo.trained(learner, works, residual, lambda works=works: [result] * len(works))
    assert (memo.hits, memo.misses) == (0, len(cases))


def test_those_unused_for_longest_go_when_the_limit_is_reached(tmp_path: Path):
    memo = Memo(tmp_path)
    asked(memo, 0)
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        (size,) = database.execute("SELECT size FROM results").fetchone()
    database.close()
    small = Memo(tmp_path, limit_bytes=3 * size)
    for number in (1, 2):
        asked(small, number)
    asked(small, 0)  # used, so 1 is the oldest now
    asked(small, 3)
    small.hits = 0
    for number in (0, 2, 3):
        asked(small, number)
    assert small.hits == 3
    small.misses = 0
    asked(small, 1)
    assert small.misses == 1


def test_a_damaged_entry_is_computed_again(tmp_path: Path):
    memo = Memo(tmp_path)
    asked(memo, 1, 1.0)
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        database.execute("UPDATE results SET data = zeroblob(length(data))")
    database.close()
    assert asked(memo, 1, 2.0) == 2.0
    assert asked(memo, 1, 3.0) == 2.0


def test_a_damaged_file_begins_anew(tmp_path: Path):
    (tmp_path / "results.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.warns(UserWarning, match="is damaged"):
        memo = Memo(tmp_path)
    assert asked(memo, 1, 1.0) == asked(memo, 1, 2.0) == 1.0


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be kept here"):
        Memo(tmp_path / "file")


def test_other_learners_share_nothing(build: BuildLearner, tmp_path: Path):
    job, memo = [GradientJob(version=0, client=1, round=1, rank=4)], Memo(tmp_path)
    learners = [build(), build(local={"lr": 0.05}), build(lora={"dropout": 0.1})]
    for learner in learners:
        learner.memo = memo
        learner.train(job, {0: learner.initial}, learner.method())
    assert (memo.hits, memo.misses) == (0, 3)
    learners[0].train(job, {0: learners[0].initial}, learners[0].method())
    assert (memo.hits, memo.misses) == (1, 3)
    for learner in learners:
        learner.memo = None
