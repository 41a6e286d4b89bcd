"""What is kept for evaluation: a share of everything, and of every group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.learning.hold_out import hold_out
from wirelessfl.learning.texts import Text


def rows(groups: list[int]) -> list[Text]:
    return [Text(str(number), owner=group) for number, group in enumerate(groups)]


@given(st.lists(st.integers(0, 5), min_size=10, max_size=60), st.floats(0.1, 0.9))
def test_every_group_and_all_together_give_their_share(groups: list[int], fraction: float):
    train, test = hold_out(rows(groups), groups, fraction, "here")
    assert sorted(int(row.text) for row in (*train, *test)) == list(range(len(groups)))
    assert abs(len(test) - fraction * len(groups)) <= 0.5 + 1e-9
    held = np.bincount([row.owner for row in test], minlength=6)
    assert (abs(held - fraction * np.bincount(groups, minlength=6)) <= 1 + 1e-9).all()


def test_a_fifth_of_files_of_one_row_each_is_a_fifth():
    train, test = hold_out(rows(list(range(100))), range(100), 0.2, "here")
    assert (len(train), len(test)) == (80, 20)


def test_no_class_is_left_without_a_row_to_learn_from():
    groups = [0] * 3 + [1] * 50 + [2]
    train, _ = hold_out(rows(groups), groups, 0.9, "here", keep_some=True)
    assert {row.owner for row in train} == {0, 1, 2}


def test_the_same_rows_every_time_whatever_other_groups_hold():
    first = [0] * 20
    _, alone = hold_out(rows(first), first, 0.25, "here")
    _, again = hold_out(rows([*first, *[1] * 20]), [*first, *[1] * 20], 0.25, "here")
    assert [row.text for row in again if row.owner == 0] == [row.text for row in alone]


@pytest.mark.parametrize(("count", "fraction"), [(2, 0.1), (2, 0.9), (1, 0.5)])
def test_nothing_to_learn_from_or_to_evaluate_on_is_an_error(count: int, fraction: float):
    with pytest.raises(InputError, match=f"here: {count} samples cannot be split"):
        hold_out(rows([0] * count), [0] * count, fraction, "here")
