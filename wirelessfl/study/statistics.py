"""Means and ratios over seeds with the confidence intervals that few seeds can support.

All runs of one seed share their world, so ratios between strategies are paired by seed and
averaged on the logarithm: exp(mean log(a/b) +- t_{n-1} s/sqrt(n)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence bounds (NaN bounds where one sample gives none)."""

    mean: float
    low: float
    high: float
    samples: int

    def without_bounds(self) -> Interval:
        """The estimate alone, where the samples do not support an interval."""
        return Interval(self.mean, math.nan, math.nan, self.samples)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student-t interval of the mean; NaN everywhere for no values, NaN bounds for one."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    quantile = float(stdtrit(n - 1, 0.5 + confidence / 2))
    half = quantile * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def ratio_interval(
    numerators: Sequence[float], denominators: Sequence[float], confidence: float = 0.95
) -> Interval:
    """Geometric mean of the paired ratios with its log-t interval.

    Raises:
        ValueError: If the sequences differ in length or hold a value that is not positive.
    """
    if len(numerators) != len(denominators):
        raise ValueError("paired ratios need sequences of equal length")
    if min([*numerators, *denominators], default=1.0) <= 0:
        raise ValueError("ratios are of positive values")
    log = mean_interval(
        [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)], confidence
    )
    return Interval(math.exp(log.mean), math.exp(log.low), math.exp(log.high), log.samples)
