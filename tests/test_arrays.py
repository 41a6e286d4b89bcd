"""Helpers of all rooms against NumPy's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wirelessfl.arrays import by_cell, stable_order


@given(arrays(float, st.integers(0, 40), elements=st.sampled_from([0.0, -0.0, 1.5, 2.0, np.inf])))
def test_equals_keep_their_order(values):
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()


@given(arrays(int, st.integers(0, 30), elements=st.integers(0, 4)))
def test_every_row_is_in_one_cell(cell):
    parts = dict(by_cell(cell))
    assert set(parts) == set(cell.tolist())
    assert sum(len(rows) for rows in parts.values()) == len(cell)
    for number, rows in parts.items():
        assert (cell[rows] == number).all()
        assert (np.diff(rows) > 0).all()
