"""Equal sharing of a link whose rates change from slot to slot, a slot with events at a time.

Within a coherence slot rates are constant, so what `wirelessfl.network.processor_sharing` says of a
constant link holds inside it: all flows present get the same Hz s, and flow n, which would need a_n
seconds alone at this slot's rates, ends when virtual time has come to a_n.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.arrays import stable_order
from wirelessfl.network.flows import Flows, State
from wirelessfl.network.leap import Leap
from wirelessfl.network.processor_sharing import processor_sharing
from wirelessfl.network.sharing import Floats, Ints

_NEVER_S = 1e300  # alone, for a flow that gets nothing through
_SLOTS_A_STEP = 64  # with events; then a state is handed back, which a later look can begin from


class SlotSharing(Leap):
    """A `Fluid` for equal shares of a rate proportional to the share.

    All events in a slot cost O(n) together; slots without events are passed many at once.
    """

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state many slots later, when all have ended or left, or at `until_s`."""
        walk = _Walk(self, flows, state, until_s)
        if not walk.rows.size:
            return super().step(flows, state, until_s)
        passed = 0
        while walk.rows.size and walk.time_s < until_s and passed < _SLOTS_A_STEP:
            walk.go_to_event()
            if walk.time_s < until_s:
                walk.pass_slot()
            passed += 1
        walk.remaining_bits[walk.rows] = walk.bits
        every = np.arange(len(walk.end_s))
        return self._landed(flows, state, every, walk.time_s, walk.remaining_bits, walk.end_s)


class _Walk:
    """The flows present at a moment that moves on.

    Attributes:
        time_s: The moment.
        rows: Who is present.
        bits: What is left of each `[rows]`.
        remaining_bits: Bits left of those who have ended or left, 0.0 or not `[flows]`.
        end_s: When flows ended, NaN if they have not `[flows]`.
    """

    def __init__(self, fluid: SlotSharing, flows: Flows, state: State, until_s: float) -> None:
        self._fluid, self._flows, self._until_s = fluid, flows, until_s
        self.time_s = state.time_s
        self.rows = np.flatnonzero(state.present)
        self.bits = state.remaining_bits[self.rows]
        self.remaining_bits, self.end_s = state.remaining_bits.copy(), state.finish_s.copy()
        unfinished = np.isnan(state.finish_s)
        coming = np.flatnonzero(unfinished & ~state.present & (flows.ready_s <= flows.leave_s))
        self._coming = coming[stable_order(flows.ready_s[coming])]
        self._ready_s = flows.ready_s[self._coming]
        self._leave_s = np.sort(flows.leave_s[unfinished & np.isfinite(flows.leave_s)])
        self._pace_bps: Floats | None = None  # of `rows` with all of f, where the slot is known

    def go_to_event(self) -> None:
        """Go to the slot in which somebody comes, leaves or ends (or to where the walk ends)."""
        fluid, flows, rows = self._fluid, self._flows, self.rows
        self._pace_bps = None
        late = int(np.searchsorted(self._leave_s, self.time_s, side="right"))
        event_s = min(_first(self._ready_s), _first(self._leave_s[late:]))
        limit_s = self._until_s
        if event_s < math.inf:
            slot_s = fluid.slot_start_s(fluid.slot_at(event_s))
            limit_s = min(limit_s, max(self.time_s, slot_s))
        if limit_s <= self.time_s:
            return
        share_hz = np.full(rows.size, fluid.bandwidth_hz / rows.size)
        last = fluid.passage(flows, rows, share_hz, self.bits, self.time_s, limit_s, first_slots=1)
        if last.completes:
            self.time_s, self.bits = last.start_s, last.left_bits
            self._pace_bps = last.pace_bps * rows.size
        else:
            self.bits = last.left_bits - last.pace_bps * (limit_s - last.start_s)
            self.bits[fluid.complete(flows.bits[rows], self.bits, last.pace_bps, limit_s)] = 0.0
            self.time_s = limit_s

    def pass_slot(self) -> None:
        """Pass all events in what is left of this slot."""
        fluid, flows, start_s = self._fluid, self._flows, self.time_s
        slot = fluid.slot_at(start_s)
        end_s = min(self._until_s, fluid.slot_start_s(slot + 1))
        old, rows, bits = self.rows.size, self.rows, self.bits
        joins = int(np.searchsorted(self._ready_s, end_s))
        if joins:
            new, self._coming = self._coming[:joins], self._coming[joins:]
            self._ready_s = self._ready_s[joins:]
            rows, bits = np.append(rows, new), np.append(bits, self.remaining_bits[new])
        pace_bps = self._paces(rows, slot)
        alone_s = _alone_s(bits, pace_bps)

        leaves = np.zeros(0, np.int64)
        if self._leave_s.size:
            leaves = np.flatnonzero(flows.leave_s[rows] <= end_s)
        some = _may_end(alone_s, old, leaves, end_s - start_s)
        shared = processor_sharing(
            alone_s[some],
            np.ones(some.size),
            np.maximum(flows.ready_s[rows[some]], start_s),
            flows.leave_s[rows[some]],
            start_s,
            end_s,
            float(rows.size - some.size),
        )
        alone_s -= shared.virtual
        alone_s[some] = shared.left
        left_bits = alone_s * pace_bps
        if not pace_bps.all():
            left_bits = np.where(pace_bps > 0, left_bits, bits)

        ends = np.isfinite(shared.end_s)
        ended, ended_s = some[ends], shared.end_s[ends]
        left_bits[ended] = math.inf  # out of the way
        even_bps = pace_bps / max(1, rows.size - ended.size)
        crumbs = np.flatnonzero(fluid.complete(flows.bits[rows], left_bits, even_bps, end_s))
        crumbs = crumbs[flows.leave_s[rows[crumbs]] >= end_s]
        left_bits[ended] = left_bits[crumbs] = 0.0
        self.end_s[rows[ended]], self.end_s[rows[crumbs]] = ended_s, end_s
        gone = np.concatenate([ended, crumbs, leaves])
        if gone.size:
            self.remaining_bits[rows[gone]] = left_bits[gone]
            stays = np.ones(rows.size, bool)
            stays[gone] = False
            rows, left_bits = rows[stays], left_bits[stays]
        self.time_s, self.rows, self.bits = end_s, rows, left_bits

    def _paces(self, rows: Ints, slot: int) -> Floats:
        """Rates in a slot with all of f, of those present and those who come in it `[rows]`."""
        if self._pace_bps is None:
            return self._alone_bps(rows, slot)
        new = rows[len(self._pace_bps) :]
        return np.append(self._pace_bps, self._alone_bps(new, slot)) if new.size else self._pace_bps

    def _alone_bps(self, rows: Ints, slot: int) -> Floats:
        all_hz = np.full(rows.size, self._fluid.bandwidth_hz)
        return self._fluid.rate_bps(self._flows, rows, np.array([slot]), all_hz)[:, 0]


def _first(times_s: Floats) -> float:
    return float(times_s[0]) if times_s.size else math.inf


def _alone_s(bits: Floats, pace_bps: Floats) -> Floats:
    """Time each flow needs at its pace; 0 without bits, and very long without a pace."""
    if bits.all() and pace_bps.all():
        return bits / pace_bps
    alone_s = np.where(bits > 0, _NEVER_S, 0.0)
    return np.divide(bits, pace_bps, out=alone_s, where=(pace_bps > 0) & (bits > 0))


def _may_end(alone_s: Floats, old: int, leaves: Ints, length_s: float) -> Ints:
    """Which flows could end within a time, or may be absent during part of it.

    Virtual time passes at most length / (flows that stay): those it may reach are taken out of
    those that stay, until there are no more of them.

    Args:
        alone_s: Time each flow needs alone.
        old: So many, the first, are there from the start.
        leaves: Which flows leave.
        length_s: The time.
    """
    others_s = alone_s[:old]
    if leaves.size:
        others_s = np.delete(others_s, leaves[leaves < old])
    may_end = 0
    while True:
        staying = len(others_s) - may_end
        reach_s = length_s / staying * (1.0 + 1e-12) if staying else math.inf
        wider = int(np.count_nonzero(others_s <= reach_s))
        if wider == may_end:
            break
        may_end = wider
    some = alone_s <= reach_s
    some[old:] = True
    some[leaves] = True
    return np.flatnonzero(some)
