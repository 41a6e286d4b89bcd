"""Equal sharing of a link whose rates change from slot to slot, many slots at a time.

Within a coherence slot rates are constant, so what `wirelessfl.network.processor_sharing` says of a
constant link holds inside it: all flows present get the same Hz s, and flow n, which would need a_n
seconds alone at this slot's rates, ends when virtual time has come to a_n.
"""

from __future__ import annotations

import math

import numpy as np

from wirelessfl.arrays import stable_order
from wirelessfl.network.flows import Flows, State
from wirelessfl.network.fluid import CRUMB, FIRST_SLOTS
from wirelessfl.network.leap import Leap
from wirelessfl.network.sharing import Floats, Ints
from wirelessfl.network.sharing_kernels import share_slots

_CELLS = 1 << 18  # flows x slots in a block
_CELLS_A_STEP = 1 << 20  # then a state is handed back, which a later look can begin from
_FEW_END = 1.0 / 16.0  # of the flows in a block of slots; if more do, the next one is shorter


class SlotSharing(Leap):
    """A `Fluid` for equal shares of a rate proportional to the share.

    Rates are fetched in blocks of flows x slots, and each is looked at a few times.
    """

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state a million cells later, when nobody is left, or at `until_s`."""
        if not state.present.any():
            return super().step(flows, state, until_s)
        time_s, left_bits, end_s = state.time_s, state.remaining_bits.copy(), state.finish_s.copy()
        there = np.flatnonzero(state.present)
        coming = np.flatnonzero(np.isnan(end_s) & ~state.present & (flows.ready_s <= flows.leave_s))
        coming = coming[stable_order(flows.ready_s[coming])]
        coming_s = flows.ready_s[coming]
        come, count, silent, cells = 0, FIRST_SLOTS, 0, 0
        while time_s < until_s and (silent or cells < _CELLS_A_STEP):
            first = self.slot_at(time_s)
            if until_s < math.inf:
                count = min(count, max(1, math.ceil(until_s / self.source.slot_s) - first))
            edge_s = self.slot_start_s(1) * np.arange(first, first + count + 1)
            edge_s = np.minimum(np.maximum(edge_s, time_s), until_s)
            ahead = int(np.searchsorted(coming_s, edge_s[-1]))
            rows = np.append(there, coming[come:ahead])
            heard, end_s[rows], left_bits[rows] = self._pass(
                flows, rows, first, edge_s, left_bits[rows]
            )
            time_s, come = float(edge_s[-1]), ahead
            stays = np.isnan(end_s[rows]) & (flows.leave_s[rows] > time_s)
            there = rows[stays]
            if not there.size:
                time_s = float(np.fmin(end_s[rows], flows.leave_s[rows]).max())
                break
            cells += rows.size * count
            silent = self.silence(flows.client[there], time_s, 0 if heard else silent + count)
            ended = rows.size - there.size
            count = 2 * count if ended <= _FEW_END * rows.size else count // 2
            count = min(max(count, 1), max(1, _CELLS // rows.size))
        every = np.arange(len(end_s))
        return self._landed(flows, state, every, time_s, left_bits, end_s)

    def _pass(
        self, flows: Flows, rows: Ints, first: int, edge_s: Floats, left_bits: Floats
    ) -> tuple[bool, Floats, Floats]:
        """Pass some slots: whether anybody gets on, end times and bits left."""
        slots = np.arange(first, first + len(edge_s) - 1)
        all_hz = np.full(rows.size, self.bandwidth_hz)
        rate_bps = self.rate_bps(flows, rows, slots, all_hz)
        heard = bool(self.hears(rate_bps, left_bits * rows.size).any())
        pace_bps = np.ascontiguousarray(rate_bps.T)
        ready_s, leave_s = flows.ready_s[rows], flows.leave_s[rows]
        end_s = share_slots(
            pace_bps,
            edge_s,
            8.0 * np.spacing(edge_s),
            ready_s,
            leave_s,
            flows.bits[rows] * CRUMB,
            left_bits,
            np.flatnonzero(ready_s > edge_s[0]),
            np.flatnonzero(leave_s <= edge_s[-1]),
        )
        return heard, end_s, left_bits
