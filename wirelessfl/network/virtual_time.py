"""Closed-form futures of a link whose rates are constant: no stepping from event to event.

Where a flow's rate is a constant times its share, all that matters about it is the time it would
need alone. Under processor sharing, virtual time advances at dV/dt = 1 / (flows present), and a
flow ready at tau ends when V = V(tau) + alone. If those present finish together, the work ahead of
the link is that of a queue, and a flow ends with its busy period. If shares are held, it ends after
the time it needs with its share.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import Literal

import numpy as np

from wirelessfl.network.fading import Direction
from wirelessfl.network.fluid import Flows, Fluid, RateSource, State
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    Floats,
    Ints,
    SharingRule,
    WorkConservingRule,
)

Engine = Literal["auto", "slotted", "virtual_time"]

_TIE = 1e-13  # relative: a flow ready this little before a busy period ends opens a new one


def fluid_engine(
    engine: Engine,
    source: RateSource,
    direction: Direction,
    bandwidth_hz: float,
    rule: SharingRule,
) -> Fluid:
    """The engine asked for; "auto" leaps wherever that is exact.

    Raises:
        ValueError: If virtual time is asked for where rates vary or are not linear in the share.
    """
    if engine != "slotted":
        fluid = VirtualTime(source, direction, bandwidth_hz, rule)
        if fluid.is_exact:
            return fluid
        if engine == "virtual_time":
            raise ValueError(
                f"{direction}: virtual time needs constant rates that are linear in the share or "
                f"shares that are held; {type(rule).__name__} over this channel has neither"
            )
    return Fluid(source, direction, bandwidth_hz, rule)


class VirtualTime(Fluid):
    """A `Fluid` whose step leaps to the next flow abandoned, or the end: O(n log n) for n flows.

    It walks like any `Fluid` while some flow gets nothing through, and while a rule that plans
    anew at every event expects a flow at another time than it will come.
    """

    @property
    def is_exact(self) -> bool:
        """Whether the closed forms hold for this channel and rule."""
        if isinstance(self.rule, EqualFinishRule) and not self.rule.replans:
            return math.isinf(self.source.slot_s)
        known = isinstance(self.rule, EqualShareRule | WorkConservingRule | EqualFinishRule)
        return known and self.source.linear(self.direction)

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state when the next flow leaves unfinished, at the end, or at `until_s`."""
        rows = np.flatnonzero(np.isnan(state.finish_s))
        bits = state.remaining_bits[rows]
        start_s = np.maximum(flows.ready_s[rows], state.time_s)
        alone_s = self._alone_s(flows.client[rows], bits, state.share_hz[rows])
        if not rows.size or np.isinf(alone_s).any() or self._surprised(flows, state):
            return super().step(flows, state, until_s)
        end_s = start_s.copy()
        busy = bits > 0
        if busy.any():
            end_s[busy] = self._ends(alone_s[busy], start_s[busy])

        leave_s = flows.leave_s[rows]
        time_s = min(until_s, float(leave_s[leave_s < end_s].min(initial=end_s.max())))
        ended = end_s <= time_s
        ahead = ~ended & busy
        bits[ended] = 0.0
        bits[ahead] *= self._left(alone_s[ahead], start_s[ahead], end_s[ahead], time_s)
        finish_s, remaining_bits = state.finish_s.copy(), state.remaining_bits.copy()
        finish_s[rows[ended]] = end_s[ended]
        remaining_bits[rows] = bits
        after = State(time_s, remaining_bits, finish_s, state.share_hz, state.present)
        return self.settle(flows, after, self.rule.replans)

    def usage(self, flows: Flows, before: State, after: State) -> tuple[Floats, Floats]:
        """See `Fluid.usage`."""
        rows = np.flatnonzero(np.isnan(before.finish_s))
        start_s = np.maximum(flows.ready_s[rows], before.time_s)
        end_s = np.nan_to_num(after.finish_s[rows], nan=math.inf)
        time_s, order, present = _sweep(start_s, end_s)
        used_hz = np.where(present > 0, self.bandwidth_hz, 0.0)
        if isinstance(self.rule, EqualFinishRule):
            held_hz = before.share_hz[rows]
            used_hz = np.where(present > 0, np.append(held_hz, -held_hz)[order].cumsum(), 0.0)
        last = np.append(time_s[1:] > time_s[:-1], True)  # of the events at one instant
        inside = last & (before.time_s < time_s) & (time_s < after.time_s)
        time_s = np.append(time_s[inside], after.time_s)
        used_hz = np.append(used_hz[inside], after.used_hz)
        changed = np.append(True, used_hz[1:] != used_hz[:-1])
        return time_s[changed], used_hz[changed]

    def _alone_s(self, clients: Ints, bits: Floats, held_hz: Floats) -> Floats:
        """Time each flow needs with all of the bandwidth, or with its share if that is held."""
        share_hz = np.full(len(bits), self.bandwidth_hz)
        if isinstance(self.rule, EqualFinishRule):
            share_hz = held_hz
        rate_bps = self.source.rate_bps(self.direction, clients, np.zeros(1, np.int64), share_hz)
        never = np.where(bits > 0, math.inf, 0.0)
        return np.divide(bits, rate_bps[:, 0], out=never, where=(rate_bps[:, 0] > 0) & (bits > 0))

    def _surprised(self, flows: Flows, state: State) -> bool:
        if not (isinstance(self.rule, EqualFinishRule) and self.rule.replans):
            return False
        coming = np.isnan(state.finish_s) & ~state.present
        return bool((flows.expected_s != flows.ready_s)[coming].any())

    def _ends(self, alone_s: Floats, start_s: Floats) -> Floats:
        """When each flow ends if none leaves."""
        if isinstance(self.rule, EqualShareRule):
            return processor_sharing_ends(alone_s, start_s)
        if isinstance(self.rule, WorkConservingRule):
            return busy_period_ends(alone_s, start_s)
        return start_s + alone_s

    def _left(self, alone_s: Floats, start_s: Floats, end_s: Floats, time_s: float) -> Floats:
        """Which part of each flow is still to send at `time_s`, before its end."""
        if isinstance(self.rule, EqualShareRule):
            left_s = processor_sharing_left(start_s, end_s, time_s)
        elif isinstance(self.rule, WorkConservingRule):
            left_s = busy_period_left(alone_s, start_s, time_s)
        else:
            left_s = end_s - time_s
        return np.where(start_s < time_s, np.minimum(left_s / alone_s, 1.0), 1.0)


def processor_sharing_ends(alone_s: Floats, start_s: Floats) -> Floats:
    """When flows end that share a link equally `[flows]`.

    The heap holds the virtual time at which each flow present ends. It restarts at zero with every
    busy period, so that it stays small and keeps its precision.
    """
    end_s = np.empty(len(alone_s))
    order = np.lexsort((alone_s, start_s))
    time_s, virtual_s = float(start_s[order[0]]), 0.0
    first = int(np.searchsorted(start_s[order], time_s, side="right"))
    heap = list(zip(alone_s[order[:first]].tolist(), order[:first].tolist(), strict=True))
    later = order[first:]
    arrivals = zip(start_s[later].tolist(), alone_s[later].tolist(), later.tolist(), strict=True)
    for arrival_s, need_s, flow in arrivals:
        while heap:
            next_s = time_s + (heap[0][0] - virtual_s) * len(heap)
            if next_s > arrival_s:
                virtual_s += (arrival_s - time_s) / len(heap)
                break
            time_s = next_s
            virtual_s, ended = heappop(heap)
            end_s[ended] = time_s
        else:
            virtual_s = 0.0
        time_s = arrival_s
        heappush(heap, (virtual_s + need_s, flow))
    heap.sort()
    goal_s, flows = np.array([goal for goal, _ in heap]), [flow for _, flow in heap]
    present = np.arange(len(heap), 0, -1)
    end_s[flows] = time_s + np.cumsum(np.diff(goal_s, prepend=virtual_s) * present)
    return np.maximum(end_s, start_s)


def processor_sharing_left(start_s: Floats, end_s: Floats, time_s: float) -> Floats:
    """Time alone that flows still need at `time_s`, given all that end later `[flows]`.

    It is the virtual time that passes until they end.
    """
    event_s, order, present = _sweep(np.maximum(start_s, time_s), end_s)
    waited = np.diff(event_s, prepend=time_s)
    virtual_s = np.empty(len(order))
    virtual_s[order] = np.cumsum(waited / np.maximum(np.append(0, present[:-1]), 1))
    return virtual_s[len(start_s) :]


def busy_period_ends(alone_s: Floats, start_s: Floats) -> Floats:
    """When flows end that always share a link such that all present finish together `[flows]`.

    The work ahead of the link, W_k = max(W_{k-1}, tau_k) + alone_k, does not depend on who does it.
    """
    order = np.argsort(start_s, kind="stable")
    start = start_s[order]
    work = np.append(0.0, np.cumsum(alone_s[order]))
    clear_s = work[1:] + np.maximum.accumulate(start - work[:-1])
    opens = start[1:] >= clear_s[:-1] * (1.0 - _TIE)
    last = np.append(np.flatnonzero(opens), len(start) - 1)  # of each busy period
    end_s = np.empty(len(start))
    end_s[order] = clear_s[last[np.append(0, np.cumsum(opens))]]
    return end_s


def busy_period_left(alone_s: Floats, start_s: Floats, time_s: float) -> Floats:
    """Time alone that flows still need at `time_s`, given all that end later `[flows]`.

    Those present have shares in proportion to what they need, so all of them shrink by the factor
    by which the work shrinks, from one arrival to the next.
    """
    order = np.argsort(start_s, kind="stable")
    order = order[start_s[order] < time_s]
    left_s = alone_s.copy()
    if order.size:
        start = start_s[order]
        clear_s = start[0] + np.cumsum(alone_s[order])
        kept = np.maximum(clear_s - np.append(start[1:], time_s), 0.0) / (clear_s - start)
        left_s[order] *= np.cumprod(kept[::-1])[::-1]
    return left_s


def _sweep(start_s: Floats, end_s: Floats) -> tuple[Floats, Ints, Ints]:
    """Starts and ends in order of time: when, which of `[starts, ends]`, how many then present."""
    event_s = np.append(start_s, end_s)
    order = np.argsort(event_s, kind="stable")
    present = np.cumsum(np.where(order < len(start_s), 1, -1))
    return event_s[order], order, present
