"""How a link's bandwidth f is divided: one small class a rule.

A rule sees what a base station sees: who has how much to send, and the rate r_n(s) each client has
reported for a share s. It never knows the fading to come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wirelessfl.network.finish_together import RateOfShare, finish_together
from wirelessfl.scenario.sharing import (
    EqualFinish,
    EqualShare,
    MaxMin,
    ProportionalFair,
    SharingConfig,
    WorkConserving,
)

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Demand:
    """Who wants the link, as a base station sees it; one row per unfinished flow `[flows]`.

    Attributes:
        client: Owner.
        remaining_bits: Bits still to send.
        ready_s: When the flow became ready, or is expected to.
        present: It wants bandwidth now (otherwise it is only expected).
        rate_bps: `(rows [k], share_hz [k]) -> bit/s [k]`: the reported rate of some rows.
        slot_bps: The same for the coherence slot that is now, as a channel quality report at its
            start tells; only `ProportionalFairRule` looks at it.
        slot_left_s: How long this slot still lasts; infinity if rates never change.
        average_bps: Rate at which each was served lately, for a rule with a window; else NaN.
    """

    client: Ints
    remaining_bits: Floats
    ready_s: Floats
    present: Bools
    rate_bps: RateOfShare
    slot_bps: RateOfShare
    slot_left_s: float
    average_bps: Floats


class SharingRule(ABC):
    """Divides a link's bandwidth among the flows that use it or are expected to."""

    @property
    def window_s(self) -> float | None:
        """Time constant of the averages of served rate that the rule needs, if any."""
        return None

    @property
    def replans(self) -> bool:
        """Asked again at every join, leave and finish; otherwise only at a submission."""
        return True

    @property
    def every_slot(self) -> bool:
        """Asked again whenever a coherence slot begins, too."""
        return False

    @abstractmethod
    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """Shares in Hz `[flows]` that sum to at most `bandwidth_hz`.

        The share of a flow that is only expected is reserved: it idles until the flow is ready.
        """


class PresentRule(SharingRule):
    """A rule that divides all of the bandwidth among those who are there, and reserves nothing."""

    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """See `SharingRule.shares`."""
        share_hz = np.zeros(len(demand.present))
        rows = np.flatnonzero(demand.present)
        if rows.size:
            share_hz[rows] = self.split(demand, rows, bandwidth_hz)
        return share_hz

    @abstractmethod
    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """Shares in Hz of the present `rows`, at least one; they sum to `bandwidth_hz`."""


@dataclass(frozen=True)
class EqualShareRule(PresentRule):
    """Processor sharing: f / (number of flows present)."""

    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """See `PresentRule.split`."""
        return np.full(rows.size, bandwidth_hz / rows.size)


@dataclass(frozen=True)
class WorkConservingRule(PresentRule):
    """Those present share all of f such that they are predicted to finish together."""

    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """See `PresentRule.split`."""
        bits = demand.remaining_bits[rows]
        return finish_together(demand.rate_bps, rows, bits, np.zeros(rows.size), bandwidth_hz)


@dataclass(frozen=True)
class MaxMinRule(PresentRule):
    """Those present get the same reported rate, so that the smallest is as large as can be.

    For rates linear in the share, s_n is proportional to 1 / efficiency_n. Flows of equal size
    that finish together have equal rates, which is how the shares are found. A flow whose reported
    rate is zero keeps an even share: no share would equalise it.
    """

    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """See `PresentRule.split`."""
        one, none = np.ones(rows.size), np.zeros(rows.size)
        return finish_together(demand.rate_bps, rows, one, none, bandwidth_hz)


@dataclass(frozen=True)
class FifoRule(PresentRule):
    """All of f to one flow at a time, in order of readiness; ties go to the lower client number.

    Time division without preemption: a flow that joins later is served later.
    """

    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """See `PresentRule.split`."""
        share_hz = np.zeros(rows.size)
        first = np.flatnonzero(demand.ready_s[rows] == demand.ready_s[rows].min())
        share_hz[first[demand.client[rows[first]].argmin()]] = bandwidth_hz
        return share_hz


@dataclass(frozen=True)
class ProportionalFairRule(PresentRule):
    """Divides every slot such that the sum of log(served rate, averaged) is greatest at its end.

    With R_n the rate of all of f in this slot, T_n the average with time constant w =
    `window_s`, and d = (time left in the slot) / w, the averages will be T_n e^-d + (1 - e^-d)
    x_n R_n, and the best shares are x_n = max(0, 1/lambda - T_n / ((e^d - 1) R_n)), sum x_n = 1.
    For short slots only the flow with the largest R_n / T_n gets a share: the scheduler of CDMA/HDR
    (Viswanath, Tse and Laroia, IEEE Trans. Inf. Theory 48(6), 2002; Kushner and Whiting,
    IEEE Trans. Wireless Commun. 3(4), 2004). For slots much longer than w shares are equal, and so
    they are, always, on a channel that never changes. (The division of a slot is reconstructed:
    the exact maximum of the objective whose derivative is their metric.)

    It is the one rule that sees the slot that begins, as a base station does that schedules by
    channel quality reports. A rate that is concave in the share (`power_mode: total`) is judged by
    what an even share carries.
    """

    window_s: float = 1.0

    @property
    def every_slot(self) -> bool:
        """See `SharingRule.every_slot`."""
        return True

    def split(self, demand: Demand, rows: Ints, bandwidth_hz: float) -> Floats:
        """See `PresentRule.split`."""
        even_hz = np.full(rows.size, bandwidth_hz / rows.size)
        gain_bps = demand.slot_bps(rows, even_hz) * rows.size
        heard = gain_bps > 0
        threshold = np.full(rows.size, np.inf)
        with np.errstate(over="ignore"):
            weighed = demand.average_bps[rows[heard]] / gain_bps[heard]
            threshold[heard] = weighed / np.expm1(demand.slot_left_s / self.window_s)
        if np.isinf(threshold).all():  # nothing gets through in this slot, whatever the shares
            return even_hz
        return bandwidth_hz * _filled(threshold)


@dataclass(frozen=True)
class EqualFinishRule(SharingRule):
    """Present and expected flows hold shares such that all are predicted to finish together.

    `resolve` is "never" (shares are held until the next submission), "on_event", or "every_slot".
    """

    resolve: Literal["never", "on_event", "every_slot"] = "never"

    @property
    def replans(self) -> bool:
        """See `SharingRule.replans`."""
        return self.resolve != "never"

    @property
    def every_slot(self) -> bool:
        """See `SharingRule.every_slot`."""
        return self.resolve == "every_slot"

    def shares(self, demand: Demand, now_s: float, bandwidth_hz: float) -> Floats:
        """See `SharingRule.shares`."""
        share_hz = np.zeros(len(demand.present))
        rows = np.flatnonzero(demand.remaining_bits > 0)
        wait_s = np.where(demand.present, 0.0, np.maximum(demand.ready_s - now_s, 0.0))
        share_hz[rows] = finish_together(
            demand.rate_bps, rows, demand.remaining_bits[rows], wait_s[rows], bandwidth_hz
        )
        return share_hz


def sharing_rule(config: SharingConfig) -> SharingRule:
    """The rule a scenario asks for."""
    if isinstance(config, EqualShare):
        return EqualShareRule()
    if isinstance(config, WorkConserving):
        return WorkConservingRule()
    if isinstance(config, EqualFinish):
        return EqualFinishRule(config.resolve)
    if isinstance(config, MaxMin):
        return MaxMinRule()
    if isinstance(config, ProportionalFair):
        return ProportionalFairRule(config.window_s)
    return FifoRule()


def _filled(threshold: Floats) -> Floats:
    """x_n = max(0, level - threshold_n) with sum 1: water poured on the thresholds `[n]`.

    The level over a set of flows falls when those it does not reach are taken out, so this ends.
    It is at most 1 above the lowest threshold.
    """
    height = threshold - threshold.min()
    reached = height < 1.0
    while True:
        level = (1.0 + height[reached].sum()) / np.count_nonzero(reached)
        still = reached & (height < level)
        if np.array_equal(still, reached):
            break
        reached = still
    filled: Floats = np.where(reached, level - height, 0.0)
    filled /= filled.sum()
    return filled
