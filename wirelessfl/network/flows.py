"""What the engines of a link work on: the flows, where they stand, and where rates come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Protocol

import numpy as np

from wirelessfl.network.fading import Direction
from wirelessfl.network.sharing import Bools, Floats, Ints


class RateSource(Protocol):
    """What an engine asks of a channel (see `wirelessfl.network.channel.Channel`)."""

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

    def proportional(self, direction: Direction) -> bool:
        """Whether a rate is, in each slot, a constant times the share."""

    def linear(self, direction: Direction) -> bool:
        """Whether a rate is always the same constant times the share, and reported as it is."""


@dataclass(frozen=True)
class Flows:
    """What is fixed about the flows on a link, one row each `[flows]`.

    Attributes:
        client: Owner.
        bits: Size.
        ready_s: When it can start.
        expected_s: When the base station expects it to start.
        leave_s: When it is abandoned if unfinished; infinity if never.
        stream: Flows submitted together have the same number.
        pace: By which factor more gets through than the channel says (`fidelity: ergodic`); nobody
            is told. 1 where the channel says what gets through.
    """

    client: Ints
    bits: Floats
    ready_s: Floats
    expected_s: Floats
    leave_s: Floats
    stream: Ints
    pace: Floats

    @cached_property
    def paced(self) -> bool:
        """Whether any flow has a pace other than 1."""
        return bool((self.pace != 1.0).any())

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
        present: Sending, or waiting for a share.
        average_bps: Served rate, averaged if the rule has a window; NaN before the flow is ready.
    """

    time_s: float
    remaining_bits: Floats
    finish_s: Floats
    share_hz: Floats
    present: Bools
    average_bps: Floats

    def take(self, rows: Ints) -> State:
        """Some of the rows."""
        columns = (getattr(self, field.name)[rows] for field in fields(self)[1:])
        return State(self.time_s, *columns)

    def joined_by(self, bits: Floats) -> State:
        """These flows, then new ones of the given sizes, which `Fluid.settle` must admit."""
        new = begin(self.time_s, bits)
        names = [field.name for field in fields(self)[1:]]
        columns = (np.append(getattr(self, name), getattr(new, name)) for name in names)
        return State(self.time_s, *columns)


@dataclass(frozen=True)
class Passage:
    """A stretch of a segment with constant rates, the last one integrated `[rows]`.

    Attributes:
        start_s: When it begins.
        end_s: When the slot, or the segment, ends.
        left_bits: Bits left at its start.
        pace_bps: Rates in it.
        completes: Some flow is complete before its end.
    """

    start_s: float
    end_s: float
    left_bits: Floats
    pace_bps: Floats
    completes: bool


def begin(time_s: float, bits: Floats) -> State:
    """Flows of the given sizes that nobody has admitted yet."""
    n = len(bits)
    unknown = np.full(n, math.nan)
    return State(time_s, bits, unknown, np.zeros(n), np.zeros(n, bool), unknown)
