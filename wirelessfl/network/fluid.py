"""The exact engine of a link: flows as fluids, with piecewise constant rates and no clock.

Between two events (a flow becomes ready, leaves or finishes) the shares are fixed, so the bits a
flow has sent are a sum over coherence slots, sent(t) = sum_j r(slot j, share) |slot j in [t0, t]|:
one cumulative sum finds the first completion, which is then exact within its slot. States are
values, so a projection into the future can be kept, read, or thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.network.fading import Direction
from wirelessfl.network.sharing import Bools, Demand, Floats, Ints, SharingRule

_FOREVER_S = 1e12  # one slot of a channel that never changes
_FIRST_SLOTS = 4  # integrated before the pace of a segment is known
_MOST_CELLS = 1 << 16  # flows x slots integrated at once
_MOST_SILENT_SLOTS = 1_000_000


class RateSource(Protocol):
    """What the engine asks of a channel (see `wirelessfl.network.channel.Channel`)."""

    @property
    def slot_s(self) -> float:
        """Length of the slots during which rates are constant; infinity if they always are."""

    def rate_bps(
        self, direction: Direction, clients: Ints, slots: Ints, share_hz: Floats
    ) -> Floats:
        """What gets through, bit/s `[clients, slots]`."""

    def reported_rate_bps(
        self, direction: Direction, clients: Ints, t_s: float, share_hz: Floats
    ) -> Floats:
        """What the base station believes at `t_s`, bit/s `[clients]`."""

    def linear(self, direction: Direction) -> bool:
        """Whether a rate is a constant times the share, and reported as it is."""


@dataclass(frozen=True)
class Flows:
    """What is fixed about the flows on a link, one row each `[flows]`.

    Attributes:
        client: Owner.
        bits: Size.
        ready_s: When it can start.
        expected_s: When the base station expects it to start.
        leave_s: When it is abandoned if unfinished; infinity if never.
    """

    client: Ints
    bits: Floats
    ready_s: Floats
    expected_s: Floats
    leave_s: Floats

    def take(self, rows: Ints) -> Flows:
        """Some of the rows."""
        return Flows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def joined_by(self, others: Flows) -> Flows:
        """These rows, then the others'."""
        names = [field.name for field in fields(self)]
        return Flows(*(np.append(getattr(self, name), getattr(others, name)) for name in names))


@dataclass(frozen=True)
class State:
    """The flows at one instant `[flows]`; shares hold until the next event.

    Attributes:
        time_s: The instant.
        remaining_bits: Bits not sent yet.
        finish_s: When the last bit was sent; NaN while unfinished, infinity if abandoned.
        share_hz: Bandwidth held; it idles while its flow is not present.
        present: Sending now.
    """

    time_s: float
    remaining_bits: Floats
    finish_s: Floats
    share_hz: Floats
    present: Bools

    @property
    def used_hz(self) -> float:
        """Bandwidth in use."""
        return float(self.share_hz[self.present].sum())

    def take(self, rows: Ints) -> State:
        """Some of the rows."""
        return State(
            self.time_s,
            self.remaining_bits[rows],
            self.finish_s[rows],
            self.share_hz[rows],
            self.present[rows],
        )

    def joined_by(self, bits: Floats) -> State:
        """These flows, then new ones of the given sizes, which `Fluid.settle` must admit."""
        n = len(bits)
        return State(
            self.time_s,
            np.append(self.remaining_bits, bits),
            np.append(self.finish_s, np.full(n, np.nan)),
            np.append(self.share_hz, np.zeros(n)),
            np.append(self.present, np.zeros(n, bool)),
        )


@dataclass(frozen=True)
class Fluid:
    """The physics of one link: who shares it by which rule, over which channel."""

    source: RateSource
    direction: Direction
    bandwidth_hz: float
    rule: SharingRule

    def advance(self, flows: Flows, state: State, until_s: float) -> State:
        """The state at `until_s`, if nothing is submitted or cancelled before."""
        while state.time_s < until_s:
            state = self.step(flows, state, until_s)
        return state

    def step(self, flows: Flows, state: State, until_s: float = math.inf) -> State:
        """The state after the next event, or at `until_s` if that is sooner.

        Without `until_s`, some flow must be unfinished.

        Raises:
            InputError: If nothing at all gets through for a million slots.
        """
        unfinished = np.isnan(state.finish_s)
        coming_s = flows.ready_s[unfinished & ~state.present].min(initial=math.inf)
        event_s = float(flows.leave_s[unfinished].min(initial=coming_s))
        time_s = min(event_s, until_s)
        remaining_bits, finished = state.remaining_bits, False
        rows = np.flatnonzero(state.present)
        if rows.size:
            time_s, left_bits = self._transmit(
                flows.client[rows], state.share_hz[rows], remaining_bits[rows], state.time_s, time_s
            )
            remaining_bits = remaining_bits.copy()
            remaining_bits[rows] = left_bits
            finished = not left_bits.all()
        state = replace(state, time_s=time_s, remaining_bits=remaining_bits)
        if not finished and time_s < event_s:
            return state
        return self.settle(flows, state, self.rule.replans)

    def usage(self, flows: Flows, before: State, after: State) -> tuple[Floats, Floats]:
        """Bandwidth in use after `before`, up to and at its next step: `(time_s, used_hz)`."""
        return np.array([after.time_s]), np.array([after.used_hz])

    def settle(self, flows: Flows, state: State, replan: bool) -> State:
        """Admit, finish and drop flows as of `state.time_s`, and divide the bandwidth anew."""
        now_s = state.time_s
        unfinished = np.isnan(state.finish_s)
        present = unfinished & (flows.ready_s <= now_s)
        done = present & (state.remaining_bits == 0.0)
        gone = unfinished & ~done & (flows.leave_s <= now_s)
        finish_s = np.where(done, now_s, np.where(gone, math.inf, state.finish_s))
        present &= ~(done | gone)
        share_hz = state.share_hz
        if replan:
            rows = np.flatnonzero(np.isnan(finish_s))
            client = flows.client[rows]

            def reported_bps(some: Ints, some_hz: Floats) -> Floats:
                return self.source.reported_rate_bps(self.direction, client[some], now_s, some_hz)

            demand = Demand(
                state.remaining_bits[rows], flows.expected_s[rows], present[rows], reported_bps
            )
            share_hz = np.zeros(len(present))
            share_hz[rows] = self.rule.shares(demand, now_s, self.bandwidth_hz)
        return State(now_s, state.remaining_bits, finish_s, share_hz, present)

    def _transmit(
        self, clients: Ints, share_hz: Floats, bits: Floats, start_s: float, end_s: float
    ) -> tuple[float, Floats]:
        """Send with fixed shares until the first completion, or `end_s`.

        A flow is complete when what it still needs is a few ulps of the time: an absolute
        tolerance on bits would let rounding produce events that never end.

        Returns:
            The time reached, and the bits left (0.0 for a complete flow).
        """
        slot_s = min(self.source.slot_s, _FOREVER_S)
        first = math.floor(start_s / slot_s)
        count = 1 if slot_s == _FOREVER_S else _FIRST_SLOTS
        time_s, left, silent = start_s, bits, 0
        while True:
            if end_s < math.inf:
                count = min(count, max(1, math.ceil(end_s / slot_s) - first))
            slots = np.arange(first, first + count + 1)
            edge_s = np.minimum(np.maximum(slot_s * slots, time_s), end_s)
            rate_bps = self.source.rate_bps(self.direction, clients, slots[:-1], share_hz)
            sent = (rate_bps * (edge_s[1:] - edge_s[:-1])).cumsum(axis=1)
            ahead = float((sent[:, -1] / left).max())
            at, time_s = count - 1, float(edge_s[-1])
            if ahead >= 1.0:
                complete = sent >= left[:, None]
                at = int(complete.any(axis=0).argmax())
            pace_bps = rate_bps[:, at]
            need = left - sent[:, at - 1] if at else left
            if ahead >= 1.0:
                who = complete[:, at]
                time_s = float(edge_s[at] + (need[who] / pace_bps[who]).min())
            left = np.maximum(need - pace_bps * (time_s - edge_s[at]), 0.0)
            left[left <= pace_bps * (8 * math.ulp(time_s))] = 0.0
            if time_s >= end_s or not left.all():
                return time_s, left
            silent = 0 if rate_bps.any() else silent + count
            if silent > _MOST_SILENT_SLOTS:
                raise self._silence(clients, time_s, silent)
            first += count
            growth = min(16.0, 1.1 / ahead - 1.0) if ahead > 0 else 16.0
            count = min(math.ceil(count * growth) + 1, max(1, _MOST_CELLS // len(clients)))

    def _silence(self, clients: Ints, time_s: float, slots: int) -> InputError:
        names = ", ".join(str(client) for client in clients[:10])
        more = f" and {len(clients) - 10} more" if len(clients) > 10 else ""
        return InputError(
            f"{self.direction}: client {names}{more} got no bit through in {slots} coherence slots "
            f"(until t={time_s:.6g} s); give the link more power or less loss, or leave them out"
        )
