"""Round times under every rule for sharing the uplink, also where power and not bandwidth limits.

`wirelessfl.strategy.uplink_time` has the two rules with closed forms. On a channel that never
changes and with rates linear in the share, every rule that never idles empties the link at the same
moment; with limited power they differ, and lie between a queue and equal finish.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.participant_sets import Sets
from wirelessfl.strategy.set_kernels import queue
from wirelessfl.strategy.uplink_time import (
    UNBOUNDED,
    Bounds,
    EqualFinish,
    OneByOne,
    Option,
    Prices,
    SharingTime,
    columns,
)

# Up to so many transfers are sorted; more are counted in bins.
_EXACT_OVERLAPS = 20_000
_BIN = 0.01


def sharing_time(config: SharingConfig) -> SharingTime:
    """What the round time follows under a sharing rule.

    Exact on a channel that never changes and, but for `equal_finish`, where rates are linear in the
    share: then every rule that never idles empties the link at the same moment. With limited power
    `tdma_fifo` stays exact, `max_min` is taken as work_conserving (the same where all send equally
    much), and `equal_share` and `proportional_fair` give even shares; what the last gains from
    fading is in no report and not in here.
    """
    match config.kind:
        case "equal_finish":
            return EqualFinish()
        case "tdma_fifo":
            return OneByOne()
        case "equal_share" | "proportional_fair":
            return EvenShares()
        case _:
            return WorkConserving()


class _Between(ABC):
    """A rule whose prices lie between those of a queue and those of equal finish.

    Both are priced with the delays as part of tau, and mixed such that the mean is the rule's own:
    exact where the delays are 0 (`OneByOne`) or nobody computes longer than others (`EqualFinish`).
    """

    def durations_s(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float = 0.0
    ) -> Floats:
        """T of each set. [sets]"""
        if not np.any(delay_s):
            return OneByOne().durations_s(members, tau_s, upload_s)
        return self._with_delays(members, tau_s, upload_s, delay_s)

    @abstractmethod
    def _with_delays(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float
    ) -> Floats:
        """T of each set if some delay is not 0. [sets]"""

    def prices(
        self, sets: Sets, own: Option, options: Iterable[Option], bounds: Bounds = UNBOUNDED
    ) -> Prices:
        """See `SharingTime.prices`."""
        if not np.any(own[1]):
            return OneByOne().prices(sets, own, options, bounds)
        delayed = [(tau + delay, 0.0 * delay, upload) for tau, delay, upload in (own, *options)]
        low = OneByOne().prices(sets, delayed[0], delayed[1:], bounds)
        high = EqualFinish().prices(sets, delayed[0], delayed[1:], bounds)
        duration = bounds.hold(self.durations_s(sets.members, own[0], own[2], own[1]))
        mean_s = float(duration @ sets.weight)
        span = high.mean_s - low.mean_s
        part = min(max((mean_s - low.mean_s) / span, 0.0), 1.0) if span > 0 else 0.0
        mixed_s = low.mean_s + part * span
        scale = mean_s / mixed_s if mixed_s > 0 else 1.0
        return Prices(
            mean_s,
            scale * (low.price_s + part * (high.price_s - low.price_s)),
            low.waits + part * (high.waits - low.waits),
            scale * (low.first_s + part * (high.first_s - low.first_s)),
        )


class WorkConserving(_Between):
    """The uplink never idles, and those who send are given shares that finish together.

    With delays everybody who becomes ready after the busy period has begun that ends the round is
    taken as ready at its beginning, and those before it as done. Both shorten the round: never too
    long, exact where tau are equal, and up to 8% short in the mean of our random instances.
    """

    def _with_delays(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float
    ) -> Floats:
        shortest = OneByOne().durations_s(members, tau_s + delay_s, upload_s)
        even_s = columns(upload_s) + columns(delay_s) / np.maximum(members.sum(axis=0), 1.0)
        tau = columns(tau_s) + np.zeros_like(members)
        _, first = queue(np.ascontiguousarray(members), tau, members * even_s)
        begin = tau[first, np.arange(members.shape[1])]
        late = np.where(tau >= begin, members, 0.0)
        together = EqualFinish().durations_s(late, begin + columns(delay_s), upload_s)
        return np.maximum(shortest, together)


class EvenShares(_Between):
    """Everybody who sends has the same share, at every moment (`equal_share`)."""

    def _with_delays(
        self, members: Floats, tau_s: Floats, upload_s: Floats, delay_s: Floats | float
    ) -> Floats:
        """Event by event: with m senders an upload goes on at the pace 1 / (delay + m t)."""
        tau = np.where(members > 0, columns(tau_s), np.inf)
        delay, band = columns(delay_s), columns(upload_s)
        left, now = members.copy(), np.where(members.any(axis=0), tau.min(axis=0), np.inf)
        end = np.zeros(members.shape[1])
        while np.isfinite(now).any():
            sends = (left > 0) & (tau <= now)
            needs = np.where(sends, left * (delay + sends.sum(axis=0) * band), np.inf)
            next_s = np.where((left > 0) & (tau > now), tau, np.inf).min(axis=0)
            gap = next_s - np.where(np.isfinite(now), now, 0.0)
            first = needs.min(axis=0)
            running, step = np.isfinite(first), np.minimum(first, gap)
            end = np.where(running, now + step, end)
            left = np.where(sends, left * (1.0 - np.where(running, step, 0.0) / needs), left)
            left[sends & (needs <= step)] = 0.0
            now = np.where(running & (step < gap), now + step, next_s)
        return end


def overlap_s(own_s: Floats, others_s: Floats, weight: Floats) -> Floats:
    """Sum_i weight_i min(others_i, own) for every element of `own_s`.

    With transfers of equal share that start together, one that takes d seconds alone ends after
    sum_i min(d_i, d), itself included (processor sharing). With weight_i = q_i this is the mean
    wait for the others; with lateness as weight, what a client's transfer adds to the others' end.
    Of very many, those within a hundredth of one another are taken as equal.
    """
    if len(others_s) > _EXACT_OVERLAPS:
        return _binned_overlap_s(own_s, others_s, weight)
    order = np.argsort(others_s)
    ordered = others_s[order]
    below = np.concatenate(([0.0], np.cumsum((weight * others_s)[order])))
    above = np.concatenate((np.cumsum(weight[order][::-1])[::-1], [0.0]))
    place = np.empty(own_s.shape, np.int64)
    if own_s is others_s:  # the most common case: found in order, it is many times as fast
        place[order] = np.searchsorted(ordered, ordered)
    else:
        place[...] = np.searchsorted(ordered, own_s)
    return np.asarray(below[place] + above[place] * own_s, dtype=np.float64)


def _binned_overlap_s(own_s: Floats, others_s: Floats, weight: Floats) -> Floats:
    """As `overlap_s`, from counts in bins of the logarithm, 1% wide."""
    low = float(others_s.min())
    top = int(np.log(others_s.max() / low) / _BIN) + 1

    def place(values_s: Floats) -> Ints:
        bins = np.floor(np.log(values_s / low) / _BIN)
        return np.asarray(np.clip(bins, -1, top).astype(np.int64) + 1)

    others = place(others_s)
    below = np.cumsum(np.bincount(others, weight * others_s, top + 2))
    above = weight.sum() - np.cumsum(np.bincount(others, weight, top + 2))
    own = place(own_s)
    return np.asarray(below[own] + above[own] * own_s, dtype=np.float64)
