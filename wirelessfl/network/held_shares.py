"""Flows that hold their shares: nobody's bits depend on anybody else, so all are followed at once.

sent_n(t) = sum_j r_n(slot j) |slot j in [start_n, min(leave_n, t)]|.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.compiled import compiled
from wirelessfl.network.flows import Flows, State
from wirelessfl.network.fluid import CRUMB, FIRST_SLOTS
from wirelessfl.network.leap import Leap
from wirelessfl.network.sharing import Floats

_CELLS = 1 << 18  # flows x slots in a block
_CELLS_A_STEP = 1 << 21  # then a state is handed back, so that a look does not begin from scratch


class HeldShares(Leap):
    """A `Fluid` for rules that divide the bandwidth at submissions only, over slots."""

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state when all flows have ended or left, at `until_s`, or a million cells later."""
        rows = np.flatnonzero(np.isnan(state.finish_s))
        if not rows.size:
            return super().step(flows, state, until_s)
        start_s = np.maximum(flows.ready_s[rows], state.time_s)
        leave_s, share_hz = flows.leave_s[rows], state.share_hz[rows]
        left, end_s = state.remaining_bits[rows], np.full(rows.size, math.nan)
        empty = (left == 0.0) & (start_s <= np.minimum(leave_s, until_s))
        end_s[empty] = start_s[empty]
        going = np.flatnonzero((left > 0.0) & (start_s < leave_s))
        time_s, count, silent, cells = state.time_s, FIRST_SLOTS, 0, 0
        while going.size and time_s < until_s and (silent or cells < _CELLS_A_STEP):
            time_s = max(time_s, min(until_s, float(start_s[going].min())))
            first = self.slot_at(time_s)
            if until_s < math.inf:
                count = min(count, max(1, math.ceil(until_s / self.source.slot_s) - first))
            edge_s = self.slot_start_s(1) * np.arange(first, first + count + 1)
            edge_s = np.minimum(np.maximum(edge_s, time_s), until_s)
            time_s = float(edge_s[-1])
            on = going[start_s[going] < time_s]
            rate_bps = self.rate_bps(flows, rows[on], np.arange(first, first + count), share_hz[on])
            left_bits = left[on]
            heard = not on.size or self.hears(rate_bps, left_bits).any()
            end_s[on] = _hold_slots(
                np.ascontiguousarray(rate_bps),
                edge_s,
                8.0 * np.spacing(edge_s),
                start_s[on],
                leave_s[on],
                flows.bits[rows[on]] * CRUMB,
                left_bits,
            )
            left[on] = left_bits
            cells += rate_bps.size
            going = going[np.isnan(end_s[going]) & (leave_s[going] > time_s)]
            silent = self.silence(flows.client[rows[on]], time_s, 0 if heard else silent + count)
            count = min(2 * count, max(1, _CELLS // max(1, going.size)))
        if not going.size:
            stays_s = np.where(np.isnan(end_s), leave_s, end_s)
            time_s = min(until_s, max(state.time_s, float(stays_s.max())))
        end_s[end_s > time_s] = math.nan
        return self._landed(flows, state, rows, time_s, left, end_s)


@compiled
def _hold_slots(
    rate_bps: Floats,
    edge_s: Floats,
    rounding_s: Floats,
    start_s: Floats,
    leave_s: Floats,
    crumb_bits: Floats,
    left_bits: Floats,
) -> Floats:
    """Follow flows whose rates nobody changes, each for itself.

    Args:
        rate_bps: Rates `[flows, slots]`.
        edge_s: When slots begin, and when the last one ends `[slots + 1]`.
        rounding_s: Of these times `[slots + 1]`.
        start_s: When flows begin; before the last edge `[flows]`.
        leave_s: When they are abandoned; after the first edge `[flows]`.
        crumb_bits: What rounding leaves of a flow that is complete `[flows]`.
        left_bits: Bits left, changed in place `[flows]`.

    Returns:
        When flows ended, or NaN `[flows]`.
    """
    end_s = np.full(left_bits.size, math.nan)
    for flow in range(left_bits.size):
        left = left_bits[flow]
        for slot in range(edge_s.size - 1):
            rate, stop_s = rate_bps[flow, slot], edge_s[slot + 1]
            from_s = max(edge_s[slot], start_s[flow])
            to_s = min(stop_s, leave_s[flow])
            if from_s >= to_s:
                continue
            sent = rate * (to_s - from_s)
            if sent >= left:
                end_s[flow], left = min(from_s + left / rate, to_s), 0.0
                break
            left -= sent
            crumb = left <= max(rate * rounding_s[slot + 1], crumb_bits[flow])
            if crumb and leave_s[flow] >= stop_s:
                end_s[flow], left = stop_s, 0.0
                break
        left_bits[flow] = left
    return end_s
