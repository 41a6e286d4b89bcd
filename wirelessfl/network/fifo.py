"""One flow at a time over a channel that changes from slot to slot: a walk through (flow, slot).

The walk only ever goes on, to the next slot or the next flow, so rates are fetched in blocks of
both and each is looked at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from wirelessfl.network.flows import Flows, State
from wirelessfl.network.fluid import CRUMB, Fluid
from wirelessfl.network.leap import Leap
from wirelessfl.network.sharing import Floats, Ints

_BLOCK = 1 << 10  # rates fetched at once
_BLOCKS_A_STEP = 1 << 9  # then a state is handed back, so that a look does not begin from scratch


class Fifo(Leap):
    """A `Fluid` for `FifoRule` over slots: O(flows + slots) for all flows together."""

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state when all have ended or left, at `until_s`, or many blocks of rates later."""
        unfinished = np.isnan(state.finish_s)
        busy = np.flatnonzero(unfinished & (state.remaining_bits > 0.0))
        empty = np.flatnonzero(unfinished & (state.remaining_bits == 0.0))
        if not busy.size:
            return super().step(flows, state, until_s)
        busy = busy[np.lexsort((flows.client[busy], flows.ready_s[busy]))]
        rates = _Rates(self, flows, busy)
        remaining_bits, end_s = state.remaining_bits.copy(), state.finish_s.copy()
        time_s = state.time_s
        for place, row in enumerate(busy.tolist()):
            leave_s = float(flows.leave_s[row])
            start_s = max(time_s, float(flows.ready_s[row]))
            if start_s >= until_s:
                time_s = until_s
                break
            time_s = max(time_s, min(start_s, leave_s))
            if leave_s <= start_s:
                continue
            if rates.spent:
                break
            limit_s, bits = min(until_s, leave_s), float(remaining_bits[row])
            time_s, bits = self._serve(rates, place, bits, start_s, limit_s)
            remaining_bits[row] = bits
            if bits == 0.0:
                end_s[row] = time_s
            elif time_s < leave_s:
                break
        empty_s = np.maximum(flows.ready_s[empty], state.time_s)
        at_once = (empty_s <= time_s) & (empty_s <= flows.leave_s[empty])
        end_s[empty[at_once]] = empty_s[at_once]
        every = np.arange(len(end_s))
        return self._landed(flows, state, every, time_s, remaining_bits, end_s)

    def _serve(
        self, rates: _Rates, place: int, left_bits: float, start_s: float, limit_s: float
    ) -> tuple[float, float]:
        """When a flow that has all of the link ends, or where it stops before; bits left then."""
        time_s, slot, silent = start_s, self.slot_at(start_s), 0
        flow = rates.rows[place : place + 1]
        size, least = float(rates.flows.bits[flow[0]]), self.least_bps(1.0)
        while True:
            edge_s = min(limit_s, self.slot_start_s(slot + 1))
            pace_bps = rates.bps(place, slot)
            if left_bits <= pace_bps * (edge_s - time_s):
                return min(time_s + left_bits / pace_bps, edge_s), 0.0
            left_bits -= pace_bps * (edge_s - time_s)
            time_s, slot = edge_s, slot + 1
            if left_bits <= max(pace_bps * 8 * math.ulp(time_s), size * CRUMB):
                return time_s, 0.0
            heard = pace_bps > least * left_bits
            silent = self.silence(rates.flows.client[flow], time_s, 0 if heard else silent + 1)
            if time_s >= limit_s or (rates.spent and not silent):
                return time_s, left_bits


@dataclass
class _Rates:
    """Rates along the walk, with the whole bandwidth."""

    fluid: Fluid
    flows: Flows
    rows: Ints  # in order of service
    spent: bool = False  # as many blocks were fetched as one step should
    _fetched: int = 0
    _place: int = 0  # of the block's first row in `rows`
    _slot: int = 0
    _block: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    _deep: int = 16  # flows in a block

    def bps(self, place: int, slot: int) -> float:
        """Rate of the flow at a place of the order, in a slot."""
        deep, wide = self._block.shape
        row, column = place - self._place, slot - self._slot
        if row >= deep or column >= wide:
            self._fetch(place, slot, grow=row >= deep)
            row = column = 0
        return float(self._block[row, column])

    def _fetch(self, place: int, slot: int, grow: bool) -> None:
        self._deep = min(max(2 * self._deep if grow else self._deep // 2, 1), _BLOCK)
        rows = self.rows[place : place + self._deep]
        slots = np.arange(slot, slot + _BLOCK // self._deep)
        all_hz = np.full(rows.size, self.fluid.bandwidth_hz)
        self._block = self.fluid.rate_bps(self.flows, rows, slots, all_hz)
        self._place, self._slot = place, slot
        self._fetched += 1
        self.spent = self._fetched >= _BLOCKS_A_STEP
