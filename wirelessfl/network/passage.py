"""Transfers on their way through wire and air, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import simpy

from wirelessfl.arrays import by_cell
from wirelessfl.network.fading import Index
from wirelessfl.network.link import Link, Transfer, timeout_at
from wirelessfl.network.sharing import Floats, Ints


class Passage:
    """Transfers submitted together, on their way through wire and air, `[n]`.

    Attributes:
        cell: The cell each goes through.
        done: SimPy event: every transfer has reached its end or been abandoned.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cell: Index,
        legs: Sequence[Leg],
        radio: Leg,
        after_s: Floats,
    ) -> None:
        self.cell = cell
        self._env, self._legs, self._radio, self._after_s = env, legs, radio, after_s
        self.done = self._go()

    def _go(self) -> simpy.Event:
        passed = _passed(self._env, self._legs)
        if not self._after_s.any():
            return passed
        return self._env.process(self._arrive(passed))

    @property
    def finish_s(self) -> Floats:
        """When each is at its end, projected while it runs; infinity if it is abandoned."""
        passed_s = np.full(len(self.cell), np.inf)
        for leg in self._legs:
            passed_s = leg.pass_s(passed_s)
        return passed_s + self._after_s

    @property
    def radio_end_s(self) -> Floats:
        """When the last bit of each has been on the air; as `finish_s`."""
        return self._radio.pass_s(np.full(len(self.cell), np.inf))

    @property
    def sent_bits(self) -> Floats:
        """Bits of each that have been on the air by now."""
        bits = np.zeros(len(self.cell))
        for members, _, transfer in self._radio.parts:
            bits[members] = transfer.sent_bits
        return bits

    @property
    def air_bits(self) -> float:
        """Bits that have been on the air by now; what all of a cell hear counts once."""
        return sum(transfer.air_bits for _, _, transfer in self._radio.parts)

    def cancel(self) -> None:
        """Abandon now what is still in wire or air; what is only delayed arrives nevertheless."""
        for leg in self._legs:
            for _, link, transfer in leg.parts:
                link.cancel(transfer)

    def _arrive(self, passed: simpy.Event) -> Generator[simpy.Event, object, None]:
        yield passed
        finish_s = self.finish_s
        last_s = finish_s.max(where=np.isfinite(finish_s), initial=0.0)
        if last_s > self._env.now:
            yield timeout_at(self._env, float(last_s))


class Relay(Passage):
    """A `Passage` that is submitted to its second leg when it has passed the first.

    So it is exact whatever else is submitted to either meanwhile; until then its end is not known.

    Args:
        env: SimPy environment.
        cell: The cell each goes through, [n].
        first: The leg that is under way.
        second: Submits them to the other one.
        on_air: Whether the second leg is the one on the air.
        after_s: Latency behind both, [n].
    """

    def __init__(
        self,
        env: simpy.Environment,
        cell: Index,
        first: Leg,
        second: Callable[[], Leg],
        on_air: bool,
        after_s: Floats,
    ) -> None:
        self._second, self._on_air, self._cancelled = second, on_air, False
        super().__init__(env, cell, (first,), Leg([]) if on_air else first, after_s)

    def _go(self) -> simpy.Event:
        return self._env.process(self._relayed())

    def _relayed(self) -> Generator[simpy.Event, object, None]:
        yield _passed(self._env, self._legs)
        if self._cancelled:
            return
        second = self._second()
        self._legs = (*self._legs, second)
        if self._on_air:
            self._radio = second
        yield from self._arrive(_passed(self._env, (second,)))

    @property
    def finish_s(self) -> Floats:
        """See `Passage.finish_s`; infinity until the second leg has begun."""
        return super().finish_s if len(self._legs) > 1 else np.full(len(self.cell), np.inf)

    def cancel(self) -> None:
        """See `Passage.cancel`."""
        self._cancelled = True
        super().cancel()


class Leg:
    """A passage's part of the way over one kind of link.

    Attributes:
        parts: Members, link and transfer of every cell that has a link here.
    """

    def __init__(self, parts: list[tuple[Ints, Link, Transfer]]) -> None:
        self.parts = parts

    def pass_s(self, arrive_s: Floats) -> Floats:
        """When each has passed; at once if its cell has no link here. [n]"""
        passed_s = arrive_s.copy()
        for members, _, transfer in self.parts:
            passed_s[members] = transfer.finish_s
        return passed_s


def submit(
    links: Sequence[Link | None],
    cell: Index,
    clients: Ints,
    bits: Floats,
    ready_s: Floats,
    leave_s: Floats | None = None,
    expected_s: Floats | None = None,
) -> Leg:
    """Submit each to its cell's link; those that never become ready (infinity) stay away."""
    parts = []
    for number, residents in by_cell(cell):
        link, members = links[number], residents[np.isfinite(ready_s[residents])]
        if link is not None and members.size:
            transfer = link.submit(
                clients[members],
                bits[members],
                ready_s[members],
                None if leave_s is None else leave_s[members],
                None if expected_s is None else expected_s[members],
            )
            parts.append((members, link, transfer))
    return Leg(parts)


def _passed(env: simpy.Environment, legs: Sequence[Leg]) -> simpy.Event:
    """All transfers of the legs are done."""
    ends = [transfer.done for leg in legs for _, _, transfer in leg.parts]
    return ends[0] if len(ends) == 1 else env.all_of(ends)
