"""The formulas of Luo et al. for K draws with replacement (INFOCOM'22; arXiv 2404.13804).

Their bound after R rounds, with p_n the odds of a draw, is F - F* <= (alpha V(p) + beta) / R, with
V(p) = sum_n a_n^2 G_n^2 / p_n, and a round takes sum_n p_n A_n, A_n being what it would take with
client n alone. So they minimise the time (sum_n p_n A_n) (alpha V(p) + beta). Of alpha and beta
only the ratio matters, and the rounds that two pilots need from the same start to the same loss
give it: R_u / R_w = (alpha V_u + beta) / (alpha V_w + beta), for uniform draws and draws by data.

We write it as the share s of the uniform draws' bound that is due to sampling,
s = alpha V_u / (alpha V_u + beta) = (1 - R_w/R_u) / (1 - V_w/V_u), and `optimal_odds` is exact
where they search along a line. `reconstructed`, as are the levels of loss at which pilots are
compared: the procedure was rebuilt from the abstract and from summaries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wirelessfl.strategy.observation import Floats

LEVELS = 5  # of loss at which two pilots are compared
LEAST_SHARE = 0.1  # Pilots are short and noisy; a share of 0 would leave only the fastest client.
# Schemes whose V differ by less than this say nothing about s.
LEAST_DIFFERENCE = 0.05


def optimal_odds(variance: Floats, time_s: Floats, constant: float) -> Floats:
    """Odds p that minimise (sum_n p_n A_n) (sum_n c_n / p_n + d) with sum_n p_n = 1. [clients]

    The product is stationary where A_n S - M c_n / p_n^2 + lambda = 0, with M and S its factors;
    times p_n and summed, lambda = -M d. So p_n = sqrt(c_n / (A_n z - d)) with z = S / M the root
    of sum_n p_n = 1, which falls in z: one stationary point, and it is the minimum, for the product
    is infinite wherever some p_n is 0. Solved for y = z - d / min A, between the y at which the
    odds of the fastest client alone are 1 and the root for d = 0.

    Args:
        variance: c_n > 0. [clients]
        time_s: A_n > 0. [clients]
        constant: d >= 0.
    """
    fastest = int(np.argmin(time_s))
    surplus = constant * (time_s / time_s[fastest] - 1.0)

    def odds_at(y: float) -> Floats:
        return np.asarray(np.sqrt(variance / (time_s * y + surplus)))

    from scipy.optimize import brentq  # slow to import

    low = variance[fastest] / time_s[fastest]
    high = np.sqrt(variance / time_s).sum() ** 2
    bracket = low * (1 - 1e-9), high * (1 + 1e-9)
    y = brentq(lambda y: odds_at(y).sum() - 1.0, *bracket, xtol=1e-300, rtol=1e-14)
    odds = odds_at(y)
    return np.asarray(odds / odds.sum())


def rounds_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """How many times the rounds of the second the first pilot needs.

    NaN if one makes no progress, or nothing ever came of it.

    Args:
        first: Training loss as each round of the pilot began. [rounds]
        second: The same of the other, from the same model. [rounds]
    """
    if not (len(first) and len(second)):
        return float("nan")
    lowest = [np.minimum.accumulate(losses) for losses in (first, second)]
    top, bottom = min(low[0] for low in lowest), max(low[-1] for low in lowest)
    if bottom >= top:
        return float("nan")
    levels = np.linspace(top, bottom, LEVELS + 1)[1:]
    rounds = [np.interp(-levels, -low, np.arange(len(low))) for low in lowest]
    return float(np.mean(rounds[0] / rounds[1]))


def sampling_share(ratio: float, variance_ratio: float) -> float:
    """s, within [LEAST_SHARE, 1]; 1 where the pilots cannot tell.

    Args:
        ratio: R_u / R_w.
        variance_ratio: V_w / V_u.
    """
    if not np.isfinite(ratio) or abs(1.0 - variance_ratio) < LEAST_DIFFERENCE:
        return 1.0
    return float(np.clip((1.0 - 1.0 / ratio) / (1.0 - variance_ratio), LEAST_SHARE, 1.0))
