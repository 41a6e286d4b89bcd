"""The law of the power gain at one moment, as a few points with weights: for means over the fading.

E[h(g)] = sum_j w_j h(g_j). For Rayleigh, Rician and Nakagami fading the points are those of
composite Gauss-Legendre quadrature in the amplitude x = sqrt(g), whose densities are smooth:
Rice  f(x) = (x / s^2) exp(-(x^2 + v^2) / (2 s^2)) I0(x v / s^2), v^2 = K/(K+1), 2 s^2 = 1/(K+1)
(S. O. Rice, Bell Syst. Tech. J. 24, 1945, eq. 3.10-11), Nakagami f(x) = 2 m^m x^(2m-1)
exp(-m x^2) / Gamma(m) (M. Nakagami, in Statistical Methods in Radio Wave Propagation, 1960, eq. 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainccinv, gammaincinv, gammaln, i0e

from wirelessfl.network.fading import Array
from wirelessfl.scenario.radio import Fading, GilbertElliott, Nakagami, NoFading, Rician

_PANELS, _ORDER = 48, 16  # of the quadrature
_TAIL = 1e-16  # probability left out on either side
_DEVIATIONS = 9.0  # of a Gaussian, with about that tail
_DIRECT = 33  # squares of the direct path's part of the power, evenly spaced from 0 to 1
_LEAST_SCATTER = 1e-6  # amplitude of the scattered part; keeps the density of a pure line finite


@dataclass(frozen=True, eq=False)
class GainLaw:
    """Points of the gain, for each of several laws that differ in the direct path.

    Attributes:
        gain: [laws, points].
        weight: They sum to 1 over the points, [laws, points].
        direct: (K / (K + 1))^2 of each law, evenly spaced from 0 to 1 if they are several [laws].
            The variance of the gain is 1 less this.
    """

    gain: Array
    weight: Array
    direct: Array


def gain_law(config: Fading) -> GainLaw:
    """The law of the fading that `config` describes; for Rician fading one for each K factor."""
    if isinstance(config, NoFading):
        return _points([1.0], [1.0])
    if isinstance(config, GilbertElliott):
        good_s, bad_s = config.mean_good_s, config.mean_bad_s
        gain = [1.0, 10.0 ** (config.bad_gain_db / 10.0)]
        return _points(gain, [good_s / (good_s + bad_s), bad_s / (good_s + bad_s)])
    if isinstance(config, Rician):
        direct = np.linspace(0.0, 1.0, _DIRECT)
        each = [_rice(math.sqrt(square)) for square in direct]
        return GainLaw(np.stack([g for g, _ in each]), np.stack([w for _, w in each]), direct)
    x_gain, x_weight = _nakagami(config.m if isinstance(config, Nakagami) else 1.0)
    return GainLaw(x_gain[None], x_weight[None], np.zeros(1))


def _points(gain: list[float], weight: list[float]) -> GainLaw:
    return GainLaw(np.array([gain]), np.array([weight]), np.zeros(1))


def _nakagami(m: float) -> tuple[Array, Array]:
    lowest, highest = math.sqrt(gammaincinv(m, _TAIL) / m), math.sqrt(gammainccinv(m, _TAIL) / m)
    x, width = _quadrature(lowest, highest)
    constant = math.log(2.0) + m * math.log(m) - float(gammaln(m))
    density = np.exp(constant + (2.0 * m - 1.0) * np.log(x) - m * x**2)
    return _normalised(x, width * density)


def _rice(direct_power: float) -> tuple[Array, Array]:
    line = math.sqrt(direct_power)
    scatter = max(math.sqrt((1.0 - direct_power) / 2.0), _LEAST_SCATTER)
    reach = _DEVIATIONS * scatter
    x, width = _quadrature(max(0.0, line - reach), line + reach)
    density = x * np.exp(-((x - line) ** 2) / (2.0 * scatter**2)) * i0e(x * line / scatter**2)
    return _normalised(x, width * density)


def _quadrature(lowest: float, highest: float) -> tuple[Array, Array]:
    """Points and widths of composite Gauss-Legendre quadrature, [points]."""
    point, width = np.polynomial.legendre.leggauss(_ORDER)
    half = (highest - lowest) / (2 * _PANELS)
    middle = lowest + half * (2.0 * np.arange(_PANELS) + 1.0)
    return (middle[:, None] + half * point).ravel(), np.tile(half * width, _PANELS)


def _normalised(x: Array, weight: Array) -> tuple[Array, Array]:
    return x**2, weight / weight.sum()
