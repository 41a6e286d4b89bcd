"""Points of a Poisson process are where they are, whoever looks, from where and how far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wirelessfl.device.poisson import PoissonPoints

POINTS = PoissonPoints(seed=5, stream="test", interval_s=3.0)
times = st.floats(-1e6, 1e6, allow_nan=False)


def full(n: int, value: float) -> np.ndarray:
    return np.full(n, value)


def test_counts_in_a_window_are_poisson_and_gaps_exponential():
    n, clients = 20_000, np.arange(20_000)
    points_s, marks = POINTS.between(clients, full(n, -7.0), full(n, 8.0))
    counts = np.isfinite(points_s).sum(axis=1)
    assert counts.mean() == pytest.approx(5.0, abs=5 * np.sqrt(5.0 / n))
    assert counts.var() == pytest.approx(5.0, rel=0.06)
    gap_s = POINTS.next(clients, 100.0)[0] - 100.0
    assert stats.kstest(gap_s, stats.expon(scale=3.0).cdf).pvalue > 1e-4
    assert stats.kstest(marks[np.isfinite(points_s)], "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(counts[:-1], counts[1:])[0, 1]) < 5 / np.sqrt(n)


@given(st.integers(0, 50), times, st.floats(0, 60))
def test_the_first_of_a_window_is_the_next_after_its_begin(client: int, t_s: float, length: float):
    who = np.array([client])
    points_s, marks = POINTS.between(who, full(1, t_s), full(1, t_s + length))
    next_s, mark = POINTS.next(who, t_s)
    assert next_s[0] > t_s
    if points_s.shape[1]:
        assert (points_s[0, 0], marks[0, 0]) == (next_s[0], mark[0])
        assert (np.diff(points_s[0]) > 0).all()
        last_s, last_mark = POINTS.last(who, t_s + length)
        assert (points_s[0, -1], marks[0, -1]) == (last_s[0], last_mark[0])
    else:
        assert next_s[0] > t_s + length
        assert POINTS.last(who, t_s + length)[0][0] <= t_s


@given(st.permutations(range(12)), times)
def test_points_do_not_depend_on_who_else_is_asked(order: list[int], t_s: float):
    some, everyone = np.array(order[:5]), np.arange(12)
    for look in (POINTS.last, POINTS.next):
        for alone, together in zip(look(some, t_s), look(everyone, t_s), strict=True):
            assert (alone == together[some]).all()
