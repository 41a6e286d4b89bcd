"""Intervals over seeds against SciPy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from wirelessfl.study.statistics import mean_interval, ratio_interval


def test_mean_interval_is_students_t():
    values = [3.0, 4.5, 2.0, 6.25]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(np.mean(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert mean_interval([2.0]).mean == 2.0
    assert math.isnan(mean_interval([2.0]).low)
    assert math.isnan(mean_interval([]).mean)


def test_ratio_interval_is_the_exponential_of_the_paired_log_interval():
    a, b = [2.0, 8.0, 3.0], [1.0, 2.0, 3.0]
    logs = np.log(np.divide(a, b))
    low, high = stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    interval = ratio_interval(a, b)
    assert interval.mean == pytest.approx(2.0)  # (2 * 4 * 1)^(1/3)
    assert (interval.low, interval.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_ratios_of_unpaired_or_non_positive_values_are_refused():
    with pytest.raises(ValueError, match="equal length"):
        ratio_interval([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([1.0], [0.0])
