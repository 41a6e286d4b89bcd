"""What engines have in common that pass many events in one step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from wirelessfl.network.flows import Flows, State
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.processor_sharing import sharing_squares, sweep
from wirelessfl.network.sharing import EqualFinishRule, FifoRule, Floats, Ints


class Leap(Fluid):
    """A `Fluid` whose step may pass over flows that join, end and leave."""

    def usage(self, flows: Flows, before: State, after: State) -> tuple[Floats, Floats]:
        """See `Fluid.usage`: between the states, from when each flow was there."""
        rows = np.flatnonzero(np.isnan(before.finish_s))
        start_s = np.maximum(flows.ready_s[rows], before.time_s)
        end_s = np.nan_to_num(after.finish_s[rows], nan=math.inf, posinf=math.inf)
        end_s = np.minimum(end_s, flows.leave_s[rows])
        held = isinstance(self.rule, EqualFinishRule)
        height = before.share_hz[rows] if held else np.ones(rows.size)
        throughout = (start_s <= before.time_s) & (end_s >= after.time_s)
        base = float(height[throughout].sum())
        some = ~throughout & (start_s < np.minimum(end_s, after.time_s))
        time_s, order = sweep(start_s[some], end_s[some])
        present = np.cumsum(np.where(order < np.count_nonzero(some), 1, -1))
        used_hz = base + np.append(height[some], -height[some])[order].cumsum()
        used_hz = np.where(present > 0, used_hz, base)
        if not held:
            used_hz = np.where(used_hz > 0.5, self.bandwidth_hz, 0.0)
        last = np.append(time_s[1:] > time_s[:-1], True)[: len(time_s)]  # of those at one instant
        inside = last & (before.time_s < time_s) & (time_s < after.time_s)
        time_s = np.append(time_s[inside], after.time_s)
        used_hz = np.append(used_hz[inside], self.used_hz(flows, after))
        changed = np.append(True, used_hz[1:] != used_hz[:-1])
        return time_s[changed], used_hz[changed]

    def squared_rate(self, flows: Flows, before: State, after: State) -> Floats:
        """See `Fluid.squared_rate`: for shares that are held, equal, or all of f in turn."""
        sent_bits = before.remaining_bits - after.remaining_bits
        rows = np.flatnonzero(sent_bits > 0)
        start_s, end_s = self._spans(flows, before, after)
        squared = np.zeros(len(sent_bits))
        if isinstance(self.rule, EqualFinishRule):
            per_s = 1.0 / (end_s[rows] - start_s[rows])
        elif isinstance(self.rule, FifoRule):
            rows = rows[np.lexsort((flows.client[rows], flows.ready_s[rows]))]
            free_s = np.append(-math.inf, end_s[rows[:-1]])[: rows.size]
            per_s = 1.0 / (end_s[rows] - np.maximum(start_s[rows], free_s))
        else:
            rows = np.flatnonzero(end_s > start_s)
            per_s = sharing_squares(np.ones(rows.size), start_s[rows], end_s[rows])
        squared[rows] = sent_bits[rows] ** 2 * per_s
        return squared

    def _spans(self, flows: Flows, before: State, after: State) -> tuple[Floats, Floats]:
        """From when to when each flow was there between two states; not at all if reversed."""
        start_s = np.maximum(flows.ready_s, before.time_s)
        end_s = np.minimum(
            np.where(np.isnan(after.finish_s), after.time_s, after.finish_s), flows.leave_s
        )
        return start_s, np.minimum(end_s, after.time_s)

    def _landed(
        self,
        flows: Flows,
        state: State,
        rows: Ints,
        time_s: float,
        left_bits: Floats,
        end_s: Floats,
    ) -> State:
        """The state at `time_s`, given what is left of some rows and when they ended, or NaN."""
        finish_s, remaining_bits = state.finish_s.copy(), state.remaining_bits.copy()
        finish_s[rows], remaining_bits[rows] = end_s, left_bits
        state = replace(state, time_s=time_s, finish_s=finish_s, remaining_bits=remaining_bits)
        return self.settle(flows, state, self.rule.replans)
