"""Random fields over the ground: correlated like exp(-distance / d_corr), yet computed pointwise.

S(x) = sqrt(2/M) sum_m cos(k_m . x + phi_m) with uniform phase and direction and
|k_m| = sqrt((1 - u_m)^-2 - 1) / d_corr, u_m uniform, has unit variance and Gudmundson's
correlation: 1 / sqrt(1 + |k|^2 d_corr^2) is the tail of the two-dimensional spectrum of
exp(-r / d_corr). A place needs no neighbours to know its value, and moving clients need no filter.
(M. Gudmundson, Electronics Letters 27(23), 1991; TR 38.901 eq. 7.4-5.)
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness

Array = NDArray[np.float64]

_WAVES = 256
_ROWS = 64  # places evaluated at once, so that their waves stay in cache


def gaussian_field(
    seed: int, stream: str, station: int, xy: Array, decorrelation_m: float
) -> Array:
    """Zero-mean, unit-variance field of one base station at the places `xy`.

    Each of the M wave numbers is drawn from its own 1/M slice of the spectrum, so that a single
    field already shows the right correlation; over seeds the law is exact for any M.

    Args:
        seed: The scenario's seed.
        stream: Name of the field; fields of different names are independent.
        station: Base station the field belongs to; stations are independent.
        xy: Ground coordinates in metres, [places, 2].
        decorrelation_m: Distance at which correlation has fallen to 1/e.

    Returns:
        Array [places], Gaussian up to O(1/M).
    """
    kx, ky, phase = _waves(seed, stream, station, decorrelation_m)
    field = np.empty(len(xy))
    for start in range(0, len(xy), _ROWS):
        x, y = xy[start : start + _ROWS, :1], xy[start : start + _ROWS, 1:]
        waves = x * kx
        waves += y * ky
        waves += phase
        field[start : start + _ROWS] = np.cos(waves, out=waves).sum(axis=1)
    field *= math.sqrt(2.0 / _WAVES)
    return field


@lru_cache(maxsize=256)
def _waves(
    seed: int, stream: str, station: int, decorrelation_m: float
) -> tuple[Array, Array, Array]:
    """Wave numbers along x and y and phases of one field, [waves] each."""
    wave = np.arange(_WAVES)
    u = (wave + randomness.uniform(seed, f"{stream}.wave", station, wave)) / _WAVES
    angle = 2.0 * np.pi * randomness.uniform(seed, f"{stream}.direction", station, wave)
    phase = 2.0 * np.pi * randomness.uniform(seed, f"{stream}.phase", station, wave)
    k = np.sqrt((1.0 - u) ** -2.0 - 1.0) / decorrelation_m
    return k * np.cos(angle), k * np.sin(angle), phase


def line_of_sight(
    seed: int, station: int, xy: Array, decorrelation_m: float, probability: Array
) -> NDArray[np.bool_]:
    """Whether each place sees the base station: a field's quantile is below `probability`.

    Neighbours see alike (TR 38.901 section 7.6.3.3), and a place at which the probability is p
    sees the station with probability p over seeds.
    """
    from scipy.special import ndtr  # slow to import, and not needed to check a scenario

    return ndtr(gaussian_field(seed, "line_of_sight", station, xy, decorrelation_m)) < probability
