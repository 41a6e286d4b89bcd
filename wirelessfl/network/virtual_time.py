"""Closed-form futures of a link whose rates are constant: no stepping from event to event.

Where a flow's rate is a constant times its share, all that matters about it is the time it would
need alone (`wirelessfl.network.processor_sharing`). If shares are held, a flow ends after the time
it needs with its share.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.network.flows import Flows, State
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.leap import Leap
from wirelessfl.network.processor_sharing import (
    busy_period_ends,
    busy_period_left,
    busy_period_squares,
    fifo_ends,
    one_at_a_time,
    processor_sharing,
    processor_sharing_left,
    sharing_squares,
    working_together,
)
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    Floats,
    Ints,
    MaxMinRule,
    ProportionalFairRule,
    WorkConservingRule,
)


class VirtualTime(Leap):
    """A `Fluid` whose step leaps to the end, whoever leaves before: O(n log n) for n flows.

    It walks like any `Fluid` while some flow gets nothing through, and while a rule that plans
    anew at every event is mistaken: it expects a flow at another time than it will come, or some
    flow has a pace. `work_conserving` is taken to be never mistaken about paces: planning anew, it
    gives those that fall behind more, and only the last of the bits arrive apart. Where a rule that
    plans anew reserves shares, whoever leaves ends a leap, as what was reserved is divided anew.
    """

    @property
    def is_exact(self) -> bool:
        """Whether the closed forms hold for this channel and rule."""
        if not self.rule.replans:
            return math.isinf(self.source.slot_s)
        return self.source.linear(self.direction)

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state when all flows have ended or left, or at `until_s`."""
        rows = np.flatnonzero(np.isnan(state.finish_s))
        bits = state.remaining_bits[rows]
        mean_bits = bits / flows.pace[rows]  # would take as long at the rate the channel says
        start_s = np.maximum(flows.ready_s[rows], state.time_s)
        alone_s = self._alone_s(flows.client[rows], mean_bits, state.share_hz[rows])
        if not rows.size or np.isinf(alone_s).any() or self._surprised(flows, state):
            return super().step(flows, state, until_s)
        leave_s = flows.leave_s[rows]
        end_s, left = start_s.copy(), np.ones(rows.size)
        busy = bits > 0
        first_s = math.inf
        if busy.any():
            order = self._turns(flows, rows[busy])
            end_s[busy] = self._ends(alone_s[busy], mean_bits[busy], start_s[busy], order)
            first_s = float(leave_s[busy & (leave_s < end_s)].min(initial=math.inf))
            if self._reserves:
                until_s = min(until_s, first_s)
            if first_s < until_s:
                end_s[busy], left[busy] = self._with_leavers(
                    alone_s[busy], mean_bits[busy], start_s[busy], leave_s[busy], order, until_s
                )
        time_s = min(until_s, float(np.minimum(end_s, leave_s).max()))
        ended = (end_s <= time_s) & (end_s <= leave_s)
        ahead = ~ended & busy
        if first_s >= until_s:
            left[ahead] = self._left(
                alone_s[ahead], mean_bits[ahead], start_s[ahead], end_s[ahead], time_s
            )
        bits[ended] = 0.0
        bits[ahead] *= left[ahead]
        return self._landed(flows, state, rows, time_s, bits, np.where(ended, end_s, np.nan))

    def _turns(self, flows: Flows, rows: Ints) -> Ints:
        """The order in which flows are served, if they are served in turn."""
        if not isinstance(self.rule, FifoRule):
            return np.zeros(0, np.int64)
        return np.lexsort((flows.client[rows], flows.ready_s[rows]))

    @property
    def _reserves(self) -> bool:
        """Whether whoever leaves gives back a share that others had reserved room for."""
        return isinstance(self.rule, EqualFinishRule) and self.rule.replans

    def _alone_s(self, clients: Ints, bits: Floats, held_hz: Floats) -> Floats:
        """Time each flow needs with all of the bandwidth, or with its share if that is held."""
        share_hz = np.full(len(bits), self.bandwidth_hz)
        if isinstance(self.rule, EqualFinishRule):
            share_hz = held_hz
        rate_bps = self.source.rate_bps(self.direction, clients, np.zeros(1, np.int64), share_hz)
        never, gets_on = np.where(bits > 0, math.inf, 0.0), self.hears(rate_bps, bits)[:, 0]
        return np.divide(bits, rate_bps[:, 0], out=never, where=gets_on & (bits > 0))

    def _surprised(self, flows: Flows, state: State) -> bool:
        if not self._reserves:
            return False
        unfinished = np.isnan(state.finish_s)
        late = (flows.expected_s != flows.ready_s)[unfinished & ~state.present]
        return bool(late.any() or (flows.pace[unfinished] != 1.0).any())

    def squared_rate(self, flows: Flows, before: State, after: State) -> Floats:
        """See `Fluid.squared_rate`."""
        working = isinstance(self.rule, WorkConservingRule)
        if not (working or isinstance(self.rule, MaxMinRule)):
            return super().squared_rate(flows, before, after)
        rows = np.flatnonzero(np.isnan(before.finish_s) & (before.remaining_bits > 0))
        mean_bits = before.remaining_bits[rows] / flows.pace[rows]
        alone_s = self._alone_s(flows.client[rows], mean_bits, before.share_hz[rows])
        squared = np.zeros(len(before.finish_s))
        if np.isinf(alone_s).any():
            return Fluid.squared_rate(self, flows, before, after)
        start_s, end_s = self._spans(flows, before, after)
        if working:
            there = start_s[rows] < flows.leave_s[rows]
            rows, alone_s = rows[there], alone_s[there]
            left = after.remaining_bits[rows] / before.remaining_bits[rows]
            leave_s = flows.leave_s[rows]
            per_s = busy_period_squares(alone_s, start_s[rows], leave_s, left, after.time_s)
            squared[rows] = before.remaining_bits[rows] ** 2 * per_s
        else:
            weight, there = alone_s / mean_bits, end_s[rows] > start_s[rows]
            rows = rows[there]
            sent_bits = before.remaining_bits[rows] - after.remaining_bits[rows]
            per_s = sharing_squares(weight[there], start_s[rows], end_s[rows])
            squared[rows] = sent_bits**2 * per_s
        return squared

    def _ends(self, alone_s: Floats, bits: Floats, start_s: Floats, order: Ints) -> Floats:
        """When each flow ends if none leaves; `order` is that of `_turns`."""
        if isinstance(self.rule, WorkConservingRule):
            return busy_period_ends(alone_s, start_s)
        if isinstance(self.rule, FifoRule):
            return fifo_ends(alone_s, start_s, order)
        if isinstance(self.rule, EqualFinishRule):
            return start_s + alone_s
        need, weight = self._virtual(alone_s, bits)
        never = np.full(len(need), math.inf)
        return processor_sharing(need, weight, start_s, never, float(start_s.min())).end_s

    def _left(
        self, alone_s: Floats, bits: Floats, start_s: Floats, end_s: Floats, time_s: float
    ) -> Floats:
        """Which part of each flow is still to send at `time_s`, before its end."""
        if isinstance(self.rule, WorkConservingRule):
            left = busy_period_left(alone_s, start_s, time_s) / alone_s
        elif isinstance(self.rule, FifoRule | EqualFinishRule):
            left = (end_s - time_s) / alone_s
        else:
            need, weight = self._virtual(alone_s, bits)
            left = processor_sharing_left(weight, start_s, end_s, time_s) / need
        return np.where(start_s < time_s, np.minimum(left, 1.0), 1.0)

    def _with_leavers(
        self,
        alone_s: Floats,
        bits: Floats,
        start_s: Floats,
        leave_s: Floats,
        order: Ints,
        until_s: float,
    ) -> tuple[Floats, Floats]:
        """When each flow ends, infinity if not by `until_s`; and which part it then has left."""
        if isinstance(self.rule, WorkConservingRule):
            end_s, left_s = working_together(alone_s, start_s, leave_s, until_s)
        elif isinstance(self.rule, FifoRule):
            end_s, left_s = one_at_a_time(alone_s, start_s, leave_s, order, until_s)
        elif isinstance(self.rule, EqualFinishRule):
            stop_s = np.minimum(leave_s, until_s)
            end_s = np.where(start_s + alone_s <= stop_s, start_s + alone_s, math.inf)
            left_s = alone_s - np.clip(stop_s - start_s, 0.0, alone_s)
        else:
            need, weight = self._virtual(alone_s, bits)
            shared = processor_sharing(
                need, weight, start_s, leave_s, float(start_s.min()), until_s
            )
            return shared.end_s, shared.left / need
        return end_s, left_s / alone_s

    def _virtual(self, alone_s: Floats, bits: Floats) -> tuple[Floats, Floats]:
        """What each flow needs of virtual time, and its weight on it."""
        if isinstance(self.rule, MaxMinRule):
            return bits, alone_s / bits
        assert isinstance(self.rule, EqualShareRule | ProportionalFairRule)
        return alone_s, np.ones(len(alone_s))
