"""How a link's bandwidth f is divided: one small class a rule.

The rules that aim at a common finish time T give client n, with b_n bits left and ready at tau_n,
the share s_n for which b_n / r_n(s_n) = T - tau_n, and choose T such that sum s_n = f. r_n is the
rate the client has reported, so a rule knows what a base station could know and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.scenario.sharing import EqualFinish, SharingConfig, WorkConserving

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SETTLED = 1e-7  # relative change of a share after which finish times agree to about 1e-11
_MOST_SOLVES = 30  # 5 to 9 suffice for concave rates; others may have no solution
_LEAST_ELASTICITY = 1e-6  # of a rate in its share; keeps a saturated rate invertible


@dataclass(frozen=True)
class Demand:
    """Who wants the link, as a base station sees it; one row per unfinished flow `[flows]`.

    Attributes:
        remaining_bits: Bits still to send.
        ready_s: When the flow is expected to want bandwidth.
        present: It wants bandwidth now (otherwise it is only expected).
        rate_bps: `(rows [k], share_hz [k]) -> bit/s [k]`: the reported rate of some rows.
    """

    remaining_bits: Floats
    ready_s: Floats
    present: Bools
    rate_bps: Callable[[Ints, Floats], Floats]


class SharingRule(ABC):
    """Divides a link's bandwidth among the flows that use it or are expected to."""

    @property
    def replans(self) -> bool:
        """Asked again at every join, leave and finish; otherwise only at a submission."""
        return True

    @abstractmethod
    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """Shares in Hz `[flows]` that sum to at most `bandwidth_hz`.

        The share of a flow that is only expected is reserved: it idles until the flow is ready.
        """


@dataclass(frozen=True)
class EqualShareRule(SharingRule):
    """Processor sharing: f / (number of flows present)."""

    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """See `SharingRule.shares`."""
        return np.where(demand.present, bandwidth_hz / max(1, demand.present.sum()), 0.0)


@dataclass(frozen=True)
class WorkConservingRule(SharingRule):
    """Those present share all of f such that they are predicted to finish together."""

    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """See `SharingRule.shares`."""
        share_hz = np.zeros(len(demand.present))
        rows = np.flatnonzero(demand.present)
        share_hz[rows] = _finish_together(demand, rows, np.zeros(len(rows)), bandwidth_hz)
        return share_hz


@dataclass(frozen=True)
class EqualFinishRule(SharingRule):
    """Present and expected flows hold shares such that all are predicted to finish together.

    `resolve` is "never" (shares are held until the next submission) or "on_event".
    """

    resolve: Literal["never", "on_event"] = "never"

    @property
    def replans(self) -> bool:
        """See `SharingRule.replans`."""
        return self.resolve == "on_event"

    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """See `SharingRule.shares`."""
        share_hz = np.zeros(len(demand.present))
        rows = np.flatnonzero(demand.remaining_bits > 0)
        wait_s = np.where(demand.present, 0.0, np.maximum(demand.ready_s - now_s, 0.0))
        share_hz[rows] = _finish_together(demand, rows, wait_s[rows], bandwidth_hz)
        return share_hz


def sharing_rule(config: SharingConfig) -> SharingRule:
    """The rule a scenario asks for."""
    if isinstance(config, EqualFinish):
        return EqualFinishRule(config.resolve)
    if isinstance(config, WorkConserving):
        return WorkConservingRule()
    return EqualShareRule()


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


def _finish_together(demand: Demand, rows: Ints, wait_s: Floats, bandwidth_hz: float) -> Floats:
    """Shares for which wait_n + b_n / r_n(s_n) is the same for all `rows` and sum s_n = f.

    Seconds per bit 1/r_n are replaced by their secant v + slope (1/s - 1/s_n), which turns the
    problem into the linear one of `_split` with t_n = slope b_n and tau_n = wait_n + b_n (v -
    slope/s_n). A rate linear in the share is solved by the first secant, a concave one by a few.
    A flow whose reported rate is zero keeps an even share, so that it cannot starve.
    """
    share_hz = np.full(rows.size, bandwidth_hz / max(1, rows.size))
    if rows.size <= 1:
        return share_hz
    rate_bps = demand.rate_bps(rows, share_hz)
    heard = rate_bps > 0
    if not heard.all():
        if heard.any():
            left_hz = float(share_hz[heard].sum())
            share_hz[heard] = _finish_together(demand, rows[heard], wait_s[heard], left_hz)
        return share_hz
    bits = demand.remaining_bits[rows]
    per_bit_s = 1.0 / rate_bps
    slope = per_bit_s * share_hz
    for _ in range(_MOST_SOLVES):
        before_hz, before_s = share_hz, per_bit_s
        start_s = wait_s + bits * (per_bit_s - slope / share_hz)
        _, share_hz = _split(bits * slope, start_s, bandwidth_hz)
        change = np.abs(share_hz - before_hz) / before_hz
        if change.max() <= _SETTLED:
            break
        rate_bps = demand.rate_bps(rows, share_hz)
        if not (rate_bps > 0).all():  # a wider share fell below the last step of a stepped rate
            return before_hz
        per_bit_s = 1.0 / rate_bps
        moved = change > _SETTLED
        secant = np.divide(
            per_bit_s - before_s, 1.0 / share_hz - 1.0 / before_hz, out=slope.copy(), where=moved
        )
        proportional = per_bit_s * share_hz
        slope = np.clip(secant, _LEAST_ELASTICITY * proportional, proportional)
    return share_hz
