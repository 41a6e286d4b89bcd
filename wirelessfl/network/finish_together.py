"""Shares that let flows finish together, and the length of a round in which they do.

Client n, with b_n bits left and ready at tau_n, gets the share s_n for which b_n / r_n(s_n) =
T - tau_n, and T is chosen such that sum s_n = f. For rates linear in the share, T has a closed form
or is the root of one equation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RateOfShare = Callable[[Ints, Floats], Floats]

_SETTLED = 1e-7  # relative change of a share after which finish times agree to about 1e-11
_MOST_SOLVES = 30  # 5 to 9 suffice for concave rates; others may have no solution
_LEAST_ELASTICITY = 1e-6  # of a rate in its share; keeps a saturated rate invertible


def equal_finish_time(need_hz_s: ArrayLike, ready_s: ArrayLike, bandwidth_hz: float) -> float:
    """When `equal_finish` ends for rates linear in the share: T of sum t_n / (T - tau_n) = f.

    Args:
        need_hz_s: t_n, bits over bits/s/Hz `[clients]`; a client without need takes no bandwidth.
        ready_s: tau_n, seconds before each client can send `[clients]`.
        bandwidth_hz: f.

    Returns:
        Seconds until the last client is done.
    """
    need, ready = np.asarray(need_hz_s, float), np.asarray(ready_s, float)
    sending = need > 0
    if not sending.any():
        return float(ready.max(initial=0.0))
    end_s, _ = _split(need[sending], ready[sending], bandwidth_hz)
    return max(end_s, float(ready.max()))


def work_conserving_time(need_hz_s: ArrayLike, ready_s: ArrayLike, bandwidth_hz: float) -> float:
    """When `work_conserving` ends for linear rates: max_j (tau_j + sum_{tau_i >= tau_j} t_i / f).

    Arguments and result as for `equal_finish_time`, which it never exceeds.
    """
    need, ready = np.asarray(need_hz_s, float), np.asarray(ready_s, float)
    latest_first = np.argsort(-ready, kind="stable")
    end_s = ready[latest_first] + np.cumsum(need[latest_first]) / bandwidth_hz
    return float(end_s.max(initial=0.0))


def _split(need_hz_s: Floats, start_s: Floats, bandwidth_hz: float) -> tuple[float, Floats]:
    """T of sum t_n / (T - tau_n) = f, and the shares t_n / (T - tau_n); every t_n > 0.

    Newton's method on 1/sum(...) - 1/f, which is increasing and concave in T: from a lower bound
    of T it climbs to the root and never passes it. Times count from the last start, where T - tau
    keeps its precision however small it is.
    """
    last_s = float(start_s.max())
    lead_s = last_s - start_s
    time_s = float((need_hz_s / bandwidth_hz - lead_s).max())  # nobody can get more than all of f
    for _ in range(200):
        share_hz = need_hz_s / (time_s + lead_s)
        total_hz = float(share_hz.sum())
        slope = float((share_hz / (time_s + lead_s)).sum())
        step_s = total_hz * (total_hz / bandwidth_hz - 1.0) / slope
        if step_s <= 1e-15 * time_s:
            break
        time_s += step_s
    return last_s + time_s, share_hz * (bandwidth_hz / total_hz)


def finish_together(
    rate_bps: RateOfShare, rows: Ints, bits: Floats, wait_s: Floats, bandwidth_hz: float
) -> Floats:
    """Shares for which wait_n + b_n / r_n(s_n) is the same for all `rows` and sum s_n = f.

    Seconds per bit 1/r_n are replaced by their secant v + slope (1/s - 1/s_n), which turns the
    problem into the linear one of `_split` with t_n = slope b_n and tau_n = wait_n + b_n (v -
    slope/s_n). A rate linear in the share is solved by the first secant, a concave one by a few.
    A flow whose reported rate is zero keeps an even share, so that it cannot starve.

    Args:
        rate_bps: `(rows [k], share_hz [k]) -> bit/s [k]`, not decreasing in the share.
        rows: Which flows `[n]`.
        bits: b_n > 0 `[n]`.
        wait_s: Seconds before each can send `[n]`.
        bandwidth_hz: f.

    Returns:
        Shares in Hz `[n]`.
    """
    share_hz = np.full(rows.size, bandwidth_hz / max(1, rows.size))
    if rows.size <= 1:
        return share_hz
    heard_bps = rate_bps(rows, share_hz)
    heard = heard_bps > 0
    if not heard.all():
        if heard.any():
            left_hz = float(share_hz[heard].sum())
            share_hz[heard] = finish_together(
                rate_bps, rows[heard], bits[heard], wait_s[heard], left_hz
            )
        return share_hz
    per_bit_s = 1.0 / heard_bps
    slope = per_bit_s * share_hz
    for _ in range(_MOST_SOLVES):
        before_hz, before_s = share_hz, per_bit_s
        start_s = wait_s + bits * (per_bit_s - slope / share_hz)
        _, share_hz = _split(bits * slope, start_s, bandwidth_hz)
        change = np.abs(share_hz - before_hz) / before_hz
        if change.max() <= _SETTLED:
            break
        heard_bps = rate_bps(rows, share_hz)
        if not (heard_bps > 0).all():  # a wider share fell below the last step of a stepped rate
            return before_hz
        per_bit_s = 1.0 / heard_bps
        moved = change > _SETTLED
        secant = np.divide(
            per_bit_s - before_s, 1.0 / share_hz - 1.0 / before_hz, out=slope.copy(), where=moved
        )
        proportional = per_bit_s * share_hz
        slope = np.clip(secant, _LEAST_ELASTICITY * proportional, proportional)
    return share_hz
