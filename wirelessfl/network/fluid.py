"""The exact engine of a link: flows as fluids, with piecewise constant rates and no clock.

Between two events (a flow becomes ready, leaves or finishes; for some rules a slot begins) the
shares are fixed, so the bits a flow has sent are a sum over coherence slots, sent(t) = sum_j
r(slot j, share) |slot j in [t0, t]|: one cumulative sum finds the first completion, which is then
exact within its slot. States are values, so a projection into the future can be kept, read, or
thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.network.fading import Direction
from wirelessfl.network.finish_together import RateOfShare
from wirelessfl.network.flows import Flows, Passage, RateSource, State
from wirelessfl.network.reports import Reports
from wirelessfl.network.sharing import Bools, Demand, Floats, Ints, SharingRule

_FOREVER_S = 1e12  # one slot of a channel that never changes
FIRST_SLOTS = 4  # integrated before the pace of a segment is known
MOST_CELLS = 1 << 16  # flows x slots integrated at once
MOST_SILENT_SLOTS = 1_000_000
_LEAST_OF_LEFT = 1e-12  # of what is left: a slot that carries less is as good as silent
CRUMB = 2.0**-50  # of a flow's size: what rounding leaves of a flow that is complete


@dataclass(frozen=True)
class Fluid:
    """The physics of one link: who shares it by which rule, over which channel."""

    source: RateSource
    direction: Direction
    bandwidth_hz: float
    rule: SharingRule

    @cached_property
    def _reports(self) -> Reports:
        return Reports(self.source, self.direction)

    def advance(self, flows: Flows, state: State, until_s: float) -> State:
        """The state at `until_s`, if nothing is submitted or cancelled before."""
        while state.time_s < until_s:
            state = self.step(flows, state, until_s)
        return state

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state after the next event, or at `until_s` if that is sooner.

        Without `until_s`, some flow must be unfinished.

        Raises:
            InputError: See `silence`.
        """
        event_s = self._next_event_s(flows, state)
        time_s = min(event_s, until_s)
        remaining_bits, finished = state.remaining_bits, False
        rows = np.flatnonzero(state.present & (state.share_hz > 0))
        if rows.size:
            time_s, left_bits = self._transmit(flows, state, rows, time_s)
            if self.rule.every_slot and (left_bits == remaining_bits[rows]).all():
                quiet_s = min(self._next_event_s(flows, state, slots=False), until_s)
                time_s = event_s = self._heard_s(flows, state, rows, time_s, quiet_s)
            remaining_bits = remaining_bits.copy()
            remaining_bits[rows] = left_bits
            finished = not left_bits.all()
        average_bps = self._averaged(state, remaining_bits, time_s - state.time_s)
        state = replace(
            state, time_s=time_s, remaining_bits=remaining_bits, average_bps=average_bps
        )
        if not finished and time_s < event_s:
            return state
        return self.settle(flows, state, self.rule.replans)

    def usage(self, flows: Flows, before: State, after: State) -> tuple[Floats, Floats]:
        """Bandwidth in use after `before`, up to and at its next step: `(time_s, used_hz)`."""
        return np.array([after.time_s]), np.array([self.used_hz(flows, after)])

    def used_hz(self, flows: Flows, state: State) -> float:
        """Bandwidth in use."""
        return float(state.share_hz[state.present].sum())

    def squared_rate(self, flows: Flows, before: State, after: State) -> Floats:
        """The integral of each flow's squared rate from a state to its next step, bit^2/s [flows].

        With the bits sent it tells how unevenly they were: bits^2 over it is the time that the
        transfer would have taken at an even rate.
        """
        sent_bits = before.remaining_bits - after.remaining_bits
        return sent_bits**2 / max(after.time_s - before.time_s, math.ulp(after.time_s))

    def settle(self, flows: Flows, state: State, replan: bool) -> State:
        """Admit, finish and drop flows as of `state.time_s`, and divide the bandwidth anew."""
        now_s = state.time_s
        unfinished = np.isnan(state.finish_s)
        present = unfinished & (flows.ready_s <= now_s)
        done = present & (state.remaining_bits == 0.0) & (flows.leave_s >= flows.ready_s)
        gone = unfinished & ~done & (flows.leave_s <= now_s)
        finish_s = np.where(done, now_s, np.where(gone, math.inf, state.finish_s))
        present &= ~(done | gone)
        state = replace(state, finish_s=finish_s, present=present)
        if self.rule.window_s is not None:
            state = self._welcome(flows, state)
        if replan:
            state = replace(state, share_hz=self._shares(flows, state))
        return state

    def slot_at(self, time_s: float) -> int:
        """The coherence slot that is at a time; at an edge, the one that begins."""
        slot_s = min(self.source.slot_s, _FOREVER_S)
        slot = math.floor(time_s / slot_s)
        return slot + 1 if slot_s * (slot + 1) <= time_s else slot

    def slot_start_s(self, slot: int) -> float:
        """When a coherence slot begins."""
        return min(self.source.slot_s, _FOREVER_S) * slot

    def _next_event_s(self, flows: Flows, state: State, slots: bool = True) -> float:
        """When the next flow comes or leaves, or a slot begins that the rule wants to see."""
        unfinished = np.isnan(state.finish_s)
        coming_s = flows.ready_s[unfinished & ~state.present].min(initial=math.inf)
        event_s = float(flows.leave_s[unfinished].min(initial=coming_s))
        slots = slots and self.rule.every_slot and math.isfinite(self.source.slot_s)
        if slots and state.present.any():
            event_s = min(event_s, self.slot_start_s(self.slot_at(state.time_s) + 1))
        return event_s

    def rate_bps(self, flows: Flows, rows: Ints, slots: Ints, share_hz: Floats) -> Floats:
        """What gets through, bit/s `[rows, slots]`."""
        rate_bps = self.source.rate_bps(self.direction, flows.client[rows], slots, share_hz)
        return rate_bps * flows.pace[rows, None] if flows.paced else rate_bps

    def reported_bps(self, flows: Flows, rows: Ints, time_s: float, share_hz: Floats) -> Floats:
        """What the base station believes at a time, bit/s `[rows]`; the same all through a slot.

        A channel that never changes is asked as of that time, any other in the middle of the slot.
        """
        if math.isfinite(self.source.slot_s):
            time_s = (self.slot_at(time_s) + 0.5) * self.source.slot_s
        return self._reports.rate_bps(flows, rows, time_s, share_hz)

    def _shares(self, flows: Flows, state: State) -> Floats:
        """The shares by which the rule divides the link now, in Hz `[flows]`."""
        rows = np.flatnonzero(np.isnan(state.finish_s))
        slots = np.array([self.slot_at(state.time_s)])

        def reported_bps(some: Ints, some_hz: Floats) -> Floats:
            return self.reported_bps(flows, rows[some], state.time_s, some_hz)

        def slot_bps(some: Ints, some_hz: Floats) -> Floats:
            return self.rate_bps(flows, rows[some], slots, some_hz)[:, 0]

        share_hz = np.zeros(len(state.present))
        share_hz[rows] = self._ask(flows, state, rows, reported_bps, slot_bps)
        return share_hz

    def _ask(
        self,
        flows: Flows,
        state: State,
        rows: Ints,
        reported_bps: RateOfShare,
        slot_bps: RateOfShare,
    ) -> Floats:
        """What the rule answers for the given rows, in Hz."""
        slot_left_s = math.inf
        if math.isfinite(self.source.slot_s):
            slot_left_s = self.slot_start_s(self.slot_at(state.time_s) + 1) - state.time_s
        present = state.present[rows]
        demand = Demand(
            client=flows.client[rows],
            remaining_bits=state.remaining_bits[rows],
            ready_s=np.where(present, flows.ready_s[rows], flows.expected_s[rows]),
            present=present,
            rate_bps=reported_bps,
            slot_bps=slot_bps,
            slot_left_s=slot_left_s,
            average_bps=state.average_bps[rows],
        )
        return self.rule.shares(demand, state.time_s, self.bandwidth_hz)

    def _welcome(self, flows: Flows, state: State) -> State:
        """Begin the averages of newcomers with what an even share would bring by the reports.

        From zero they would be served first until an average has grown; from more than they can
        ever get they would wait for about as long. Either way it would be forgotten after a few
        windows.
        """
        rows = np.flatnonzero(state.present & np.isnan(state.average_bps))
        if not rows.size:
            return state
        even_hz = np.full(rows.size, self.bandwidth_hz / self._sharers(flows, state))
        average_bps = state.average_bps.copy()
        average_bps[rows] = self.reported_bps(flows, rows, state.time_s, even_hz)
        return replace(state, average_bps=average_bps)

    def _sharers(self, flows: Flows, state: State) -> int:
        """How many share the link."""
        return int(np.count_nonzero(state.present))

    def _averaged(self, state: State, remaining_bits: Floats, elapsed_s: float) -> Floats:
        """Averages of served rate after a time during which rates were constant."""
        if self.rule.window_s is None or elapsed_s <= 0:
            return state.average_bps
        kept = math.exp(-elapsed_s / self.rule.window_s)
        served_bps = (state.remaining_bits - remaining_bits) / elapsed_s
        return kept * state.average_bps + (1.0 - kept) * served_bps

    def _transmit(
        self, flows: Flows, state: State, rows: Ints, end_s: float
    ) -> tuple[float, Floats]:
        """Send with fixed shares until the first completion, or `end_s`.

        Returns:
            The time reached, and the bits left (0.0 for a complete flow) `[rows]`.
        """
        last = self.passage(
            flows, rows, state.share_hz[rows], state.remaining_bits[rows], state.time_s, end_s
        )
        time_s = last.end_s
        if last.completes:
            ahead_s = np.full(rows.size, math.inf)
            np.divide(last.left_bits, last.pace_bps, out=ahead_s, where=last.pace_bps > 0)
            time_s = min(time_s, last.start_s + float(ahead_s.min()))
        left_bits = last.left_bits - last.pace_bps * (time_s - last.start_s)
        done = self.complete(flows.bits[rows], left_bits, last.pace_bps, time_s)
        return time_s, np.where(done, 0.0, left_bits)

    def complete(self, size: Floats, left_bits: Floats, pace_bps: Floats, time_s: float) -> Bools:
        """Whether what is left is nothing but rounding: of the time, or of the bits sent.

        An absolute tolerance on bits would let rounding produce events that never end.
        """
        tolerance = np.maximum(pace_bps * (8 * math.ulp(time_s)), size * CRUMB)
        return left_bits <= tolerance

    def passage(
        self,
        flows: Flows,
        rows: Ints,
        share_hz: Floats,
        left_bits: Floats,
        start_s: float,
        end_s: float,
        first_slots: int = FIRST_SLOTS,
    ) -> Passage:
        """The slot in which the first flow is complete, or the last one before `end_s`.

        Raises:
            InputError: See `silence`.
        """
        forever = math.isinf(self.source.slot_s)
        first, count = self.slot_at(start_s), 1 if forever else first_slots
        time_s, left, silent = start_s, left_bits, 0
        while True:
            if end_s < math.inf and not forever:
                count = min(count, max(1, math.ceil(end_s / self.source.slot_s) - first))
            slots = np.arange(first, first + count + 1)
            edge_s = np.minimum(np.maximum(self.slot_start_s(1) * slots, time_s), end_s)
            rate_bps = self.rate_bps(flows, rows, slots[:-1], share_hz)
            sent = rate_bps * (edge_s[1:] - edge_s[:-1])
            if count > 1:
                sent = sent.cumsum(axis=1)
            ahead = float((sent[:, -1] / left).max())
            at = count - 1
            if ahead >= 1.0 and count > 1:
                at = int((sent >= left[:, None]).any(axis=0).argmax())
            need = left - sent[:, at - 1] if at else left
            time_s = float(edge_s[at + 1])
            if ahead >= 1.0 or time_s >= end_s:
                return Passage(float(edge_s[at]), time_s, need, rate_bps[:, at], ahead >= 1.0)
            heard = self.hears(rate_bps, left).any()
            left = np.maximum(left - sent[:, -1], 0.0)
            silent = self.silence(flows.client[rows], time_s, 0 if heard else silent + count)
            first += count
            growth = min(16.0, 1.1 / ahead - 1.0) if ahead > 0 else 16.0
            count = min(math.ceil(count * growth) + 1, max(1, MOST_CELLS // len(rows)))

    def _heard_s(
        self, flows: Flows, state: State, rows: Ints, start_s: float, end_s: float
    ) -> float:
        """When the next slot begins in which somebody gets something through; at most `end_s`."""
        first, count, silent = self.slot_at(start_s), FIRST_SLOTS, 0
        while self.slot_start_s(first) < end_s:
            slots = np.arange(first, first + count)
            rate_bps = self.rate_bps(flows, rows, slots, state.share_hz[rows])
            heard = self.hears(rate_bps, state.remaining_bits[rows]).any(axis=0)
            if heard.any():
                heard_s = self.slot_start_s(first + int(heard.argmax()))
                return min(max(start_s, heard_s), end_s)
            first += count
            silent = self.silence(flows.client[rows], self.slot_start_s(first), silent + count)
            count = min(16 * count, max(1, MOST_CELLS // rows.size))
        return end_s

    def hears(self, rate_bps: Floats, left_bits: Floats) -> Bools:
        """Which flows get on, given what they have left, in which slots `[rows, slots]`."""
        return rate_bps > self.least_bps(1.0) * left_bits[:, None]

    def least_bps(self, left_bits: float) -> float:
        """The rate at which a slot brings 1e-12 of what is left.

        At less, a flow needs more slots than any run can follow, or is lost in rounding.
        """
        return left_bits * _LEAST_OF_LEFT / self.slot_start_s(1)

    def silence(self, clients: Ints, time_s: float, slots: int) -> int:
        """So many slots up to `time_s` in which no client was heard: how long it has been silent.

        Raises:
            InputError: If these are a million, or rates that never change are too low.
        """
        if not slots or (math.isfinite(self.source.slot_s) and slots <= MOST_SILENT_SLOTS):
            return slots
        names = ", ".join(str(client) for client in clients[:10])
        more = f" and {len(clients) - 10} more" if len(clients) > 10 else ""
        what = f"as good as nothing through in {slots} coherence slots (until t={time_s:.6g} s)"
        if math.isinf(self.source.slot_s):
            what = "as good as nothing through, at a rate that never changes"
        raise InputError(
            f"{self.direction}: client {names}{more} got {what}; "
            "give the link more power or less loss, or leave them out"
        )
