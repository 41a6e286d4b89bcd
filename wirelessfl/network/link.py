"""A link under SimPy: what is submitted now decides everything that follows, until it changes.

The link projects. A submission or a cancellation rolls its state forward to now and the engine
(`wirelessfl.network.fluid`) runs into the future as far as somebody needs it: to the next transfer
that is entirely done, where the one armed SimPy event waits, or as far as a finish time is read.
So a synchronous round costs a constant number of SimPy events, whatever happens on the air.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import simpy
from numpy.typing import ArrayLike

from wirelessfl.network.engines import fluid_engine
from wirelessfl.network.fading import Direction
from wirelessfl.network.flows import Flows, RateSource, State, begin
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.sharing import Bools, Floats, Ints, SharingRule
from wirelessfl.scenario.network import Engine

_MOST_MARKS = 256  # states of a projection kept; between them it is computed again when needed
_MOST_MARKED = 1 << 21  # flows in all of them together


def timeout_at(env: simpy.Environment, at_s: float) -> simpy.Event:
    """An event at `at_s` or an ulp later, never before; now if rounding put it before now."""
    delay_s = max(0.0, at_s - env.now)
    while env.now + delay_s < at_s:
        delay_s = math.nextafter(delay_s, math.inf)
    return env.timeout(delay_s)


class Transfer:
    """Flows submitted together `[members]`.

    Attributes:
        clients: Owner of each flow.
        bits: Size of each flow.
        ready_s: When each can start (not before the submission).
        start_s: When the transfer was submitted.
        done: SimPy event: every member has finished or left.
    """

    def __init__(self, link: Link, clients: Ints, bits: Floats, ready_s: Floats) -> None:
        self.clients, self.bits, self.ready_s = clients, bits, ready_s
        self.start_s: float = link.env.now
        self.done: simpy.Event = link.env.event()
        self._link = link
        self._rows = slice(0, 0)  # in the link's table
        self._final: tuple[Floats, Floats] | None = None  # finish times and bits, once done

    @property
    def finish_s(self) -> Floats:
        """When each member finishes, projected while it runs; infinity if it is abandoned."""
        return self._final[0] if self._final else self._link._finish_s(self._rows)

    @property
    def sent_bits(self) -> Floats:
        """Bits of each member that got through by now."""
        return self._final[1] if self._final else self._link._sent_bits()[self._rows]

    @property
    def air_bits(self) -> float:
        """Bits on the air by now: those of all members, or once what all of them hear."""
        sent_bits = self.sent_bits
        return float(self._link._on_air(sent_bits, np.zeros(len(sent_bits), np.int64)).sum())


class Link:
    """One direction of a cell's bandwidth, shared by all transfers on it.

    Args:
        env: SimPy environment.
        channel: Where rates come from.
        direction: "uplink" or "downlink".
        bandwidth_hz: What the flows share.
        rule: How they share it.
        engine: How the future is computed (`wirelessfl.network.engines`): "virtual_time" in closed
            form, "slotted" slot by slot, "auto" in closed form where that is exact.

    Raises:
        InputError: If the engine does not apply to the channel and the rule.
    """

    _engine: ClassVar[Callable[..., Fluid]] = staticmethod(fluid_engine)

    def __init__(
        self,
        env: simpy.Environment,
        channel: RateSource,
        direction: Direction,
        bandwidth_hz: float,
        rule: SharingRule,
        engine: Engine = "auto",
    ) -> None:
        self.env = env
        self._fluid = self._engine(engine, channel, direction, bandwidth_hz, rule)
        none = np.zeros(0)
        nobody = none.astype(np.int64)
        self._slot_s = channel.slot_s
        self._look_s = math.inf  # how far ahead the next end is sought at first
        self._flows = Flows(nobody, none, none, none, none, nobody, none)
        self._path = [begin(env.now, none)]  # marks, then frontier
        self._table: list[Transfer] = []  # owners of the rows, in order
        self._owner = nobody  # index into the table [rows]
        self._running = none.astype(bool)  # not reported yet [transfers]
        self._changed = self._joined = False  # since the bandwidth was last divided
        self._alarm: simpy.Event | None = None
        self._log_s, self._log_hz = [float(env.now)], [0.0]
        self._forgotten_bits = 0.0
        self._submissions = 0

    def look_near(self) -> None:
        """Project no further than needed, for transfers that are submitted one by one.

        Whatever is projected beyond the next submission is in vain, and slots cost time. Where
        rates never change a look to the end of all is the cheapest.
        """
        if math.isfinite(self._slot_s):
            self._look_s = self._slot_s

    def submit(
        self,
        clients: ArrayLike,
        bits: ArrayLike,
        ready_s: ArrayLike | None = None,
        leave_s: ArrayLike | None = None,
        expected_ready_s: ArrayLike | None = None,
    ) -> Transfer:
        """Put flows on the link.

        Args:
            clients: Owners `[members]`.
            bits: Sizes `[members]`.
            ready_s: Simulated time at which each can start; now if omitted or past.
            leave_s: Simulated time at which each is abandoned if unfinished; never if omitted.
            expected_ready_s: When the base station expects each to start; `ready_s` if omitted.

        Raises:
            ValueError: If sizes are negative, or times or sizes are not finite numbers.
        """
        now_s = self.env.now
        client = np.atleast_1d(np.asarray(clients, np.int64))
        n = client.size

        def column(values: ArrayLike | None, default: ArrayLike) -> Floats:
            chosen = default if values is None else values
            return np.array(np.broadcast_to(np.asarray(chosen, float), n))

        ready = np.maximum(column(ready_s, now_s), now_s)
        flows = Flows(
            client,
            column(bits, 0.0),
            ready,
            column(expected_ready_s, ready),
            column(leave_s, math.inf),
            np.full(n, self._submissions),
            np.ones(n),
        )
        if not (np.isfinite(flows.bits).all() and (flows.bits >= 0).all()):
            raise ValueError(f"bits must be finite and not negative, got {flows.bits}")
        if not (np.isfinite(ready).all() and np.isfinite(flows.expected_s).all()):
            raise ValueError("ready_s and expected_ready_s must be finite")
        if np.isnan(flows.leave_s).any():
            raise ValueError("leave_s must be a time, or infinity for never")
        self._submissions += 1
        transfer = Transfer(self, client, flows.bits, ready)
        self._roll()
        self._forget_done()
        start = len(self._flows.client)
        transfer._rows = slice(start, start + n)
        self._owner = np.append(self._owner, np.full(n, len(self._table)))
        self._running = np.append(self._running, True)
        self._table.append(transfer)
        self._path = [self._path[0].joined_by(flows.bits)]
        self._flows = self._flows.joined_by(flows)
        self._joined = True
        self._touch()
        return transfer

    def cancel(self, transfer: Transfer, members: Bools | None = None) -> None:
        """Abandon the unfinished members of a transfer (all, or those marked) now."""
        if transfer._final:
            return
        leaving = np.zeros(len(self._flows.client), bool)
        leaving[transfer._rows] = True if members is None else members
        leaving &= np.isnan(self._state_now().finish_s)
        if not leaving.any():
            return
        self._roll()
        leave_s = np.where(leaving, self._path[0].time_s, self._flows.leave_s)
        self._flows = replace(self._flows, leave_s=leave_s)
        self._touch()

    def utilisation(self) -> tuple[Floats, Floats]:
        """Bandwidth in use so far: `(time_s, used_hz)`; each value holds until the next time."""
        self._divide()
        n = bisect_right(self._log_s, self.env.now)
        return np.array(self._log_s[:n]), np.array(self._log_hz[:n])

    @property
    def bits_sent(self) -> float:
        """All bits on the air until now, those of abandoned flows included."""
        return self._forgotten_bits + float(self._on_air(self._sent_bits(), self._owner).sum())

    def _on_air(self, sent_bits: Floats, owner: Ints) -> Floats:
        """Bits on the air, given those each flow has sent and the number of its transfer."""
        return sent_bits

    def _finish_s(self, rows: slice) -> Floats:
        self._divide()
        while np.isnan(self._path[-1].finish_s[rows]).any():
            self._step()
        return self._path[-1].finish_s[rows].copy()

    def _sent_bits(self) -> Floats:
        return self._flows.bits - self._state_now().remaining_bits

    def _state_now(self) -> State:
        return self._fluid.advance(self._flows, self._path[self._mark_now()], self.env.now)

    def _mark_now(self) -> int:
        """Index of the last state of the path that is not in the future."""
        return bisect_right(self._path, self.env.now, key=lambda state: state.time_s) - 1

    def _roll(self) -> None:
        """Let the path begin (and end) now: what was projected beyond is about to change."""
        self._path = [self._state_now()]
        known = bisect_right(self._log_s, self._path[0].time_s)
        del self._log_s[known:], self._log_hz[known:]

    def _touch(self) -> None:
        """Divide the bandwidth anew once everything submitted or cancelled now is known."""
        if not self._changed:
            self._changed = True
            self._arm(self.env.now)

    def _divide(self) -> None:
        if self._changed:
            replan = self._joined or self._fluid.rule.replans
            self._path = [self._fluid.settle(self._flows, self._path[0], replan)]
            used_hz = self._fluid.used_hz(self._flows, self._path[0])
            self._log(self._path[0].time_s, used_hz)
            self._changed = self._joined = False

    def _step(self, look_s: float = math.inf) -> None:
        """Project to the next event, or as far as the engine leaps; at most so far ahead."""
        before = self._path[-1]
        after = self._fluid.step(self._flows, before, before.time_s + look_s)
        self._path.append(after)
        for time_s, used_hz in zip(*self._fluid.usage(self._flows, before, after), strict=True):
            self._log(float(time_s), float(used_hz))
        most = min(_MOST_MARKS, 2 + _MOST_MARKED // max(1, len(after.present)))
        if len(self._path) > most:
            del self._path[1:-1:2]

    def _log(self, time_s: float, used_hz: float) -> None:
        if time_s == self._log_s[-1]:
            self._log_hz[-1] = used_hz
        elif used_hz != self._log_hz[-1]:
            self._log_s.append(time_s)
            self._log_hz.append(used_hz)

    def _arm(self, at_s: float) -> None:
        """Wake at `at_s`; an alarm armed earlier is void."""
        self._alarm = timeout_at(self.env, at_s)
        self._alarm.callbacks.append(self._wake)

    def _wake(self, alarm: simpy.Event) -> None:
        """Report the transfers that are done, and wait for the next one."""
        if alarm is not self._alarm:
            return
        self._divide()
        for index in np.flatnonzero(self._running & (self._ends_s() <= self.env.now)):
            self._running[index] = False
            self._report(self._table[index])
        del self._path[: self._mark_now()]
        if self._running.any():
            self._arm(self._next_end_s())

    def _report(self, transfer: Transfer) -> None:
        rows, last = transfer._rows, self._path[-1]
        transfer._final = (
            last.finish_s[rows].copy(),
            self._flows.bits[rows] - last.remaining_bits[rows],
        )
        transfer.done.succeed()

    def _ends_s(self) -> Floats:
        """When all of each transfer has finished or left; infinity where the path ends before."""
        finish_s = self._path[-1].finish_s
        row_end_s = np.where(
            np.isnan(finish_s), math.inf, np.minimum(finish_s, self._flows.leave_s)
        )
        end_s = np.full(len(self._table), -math.inf)
        np.maximum.at(end_s, self._owner, row_end_s)
        return end_s

    def _next_end_s(self) -> float:
        """Project until one of the running transfers is done, and say when that is."""
        look_s = self._look_s
        while math.isinf(end_s := float(self._ends_s()[self._running].min())):
            self._step(look_s)
            look_s *= 2.0
        if math.isfinite(look_s):
            self._look_s = max(2.0 * (end_s - self.env.now), self._slot_s)
        return end_s

    def _forget_done(self) -> None:
        """Drop the rows of transfers that have been reported, once they are the majority."""
        if 2 * np.count_nonzero(self._running) > len(self._table):
            return
        kept = self._running[self._owner]
        forgotten_bits = self._on_air(self._sent_bits()[~kept], self._owner[~kept])
        self._forgotten_bits += float(forgotten_bits.sum())
        self._flows = self._flows.take(np.flatnonzero(kept))
        self._path = [self._path[0].take(np.flatnonzero(kept))]
        self._table = [transfer for transfer in self._table if transfer._final is None]
        self._running = np.ones(len(self._table), bool)
        self._owner = np.repeat(
            np.arange(len(self._table)), [len(transfer.bits) for transfer in self._table]
        )
        start = 0
        for transfer in self._table:
            transfer._rows = slice(start, start + len(transfer.bits))
            start += len(transfer.bits)
