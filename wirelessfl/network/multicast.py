"""Multicast: one stream that all members of a submission hear, as fast as the worst can.

In each coherence slot the stream is modulated for its worst member, r(s) = min_n r_n(s), over the
stream's share s of the bandwidth (single-rate multicast, reconstructed). Simplified: the base
station knows every member's rate in every slot, nobody is left behind on purpose, and there are no
repairs for single members (a rateless code could serve the best of a slot first).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wirelessfl.network.fading import Direction
from wirelessfl.network.finish_together import RateOfShare
from wirelessfl.network.flows import Flows, RateSource, State
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.link import Link, Transfer
from wirelessfl.network.sharing import Floats, Ints, SharingRule
from wirelessfl.scenario.network import Engine


class _Streams(Fluid):
    """A `Fluid` whose flows are the members of streams: equal numbers in `Flows.stream`.

    Each member's row holds the whole share of its stream, and the same bits.
    """

    def rate_bps(self, flows: Flows, rows: Ints, slots: Ints, share_hz: Floats) -> Floats:
        """See `Fluid.rate_bps`: that of the worst among the given members of a stream."""
        return _worst(super().rate_bps(flows, rows, slots, share_hz), flows.stream[rows])

    def reported_bps(self, flows: Flows, rows: Ints, time_s: float, share_hz: Floats) -> Floats:
        """See `Fluid.reported_bps`."""
        return _worst(super().reported_bps(flows, rows, time_s, share_hz), flows.stream[rows])

    def used_hz(self, flows: Flows, state: State) -> float:
        """See `Fluid.used_hz`."""
        rows = np.flatnonzero(state.present)
        return float(state.share_hz[rows[_starts(flows.stream[rows])]].sum())

    def _sharers(self, flows: Flows, state: State) -> int:
        return len(_starts(flows.stream[state.present]))

    def _ask(
        self,
        flows: Flows,
        state: State,
        rows: Ints,
        reported_bps: RateOfShare,
        slot_bps: RateOfShare,
    ) -> Floats:
        """See `Fluid._ask`: the rule is shown one row a stream."""
        starts = _starts(flows.stream[rows])
        members = np.diff(np.append(starts, rows.size))

        def of_streams(of_members: RateOfShare) -> RateOfShare:
            def rate_bps(streams: Ints, share_hz: Floats) -> Floats:
                count = members[streams]
                first = np.cumsum(count) - count
                some = np.arange(count.sum()) + np.repeat(starts[streams] - first, count)
                worst_bps: Floats = of_members(some, np.repeat(share_hz, count))[first]
                return worst_bps

            return rate_bps

        share_hz = super()._ask(
            flows, state, rows[starts], of_streams(reported_bps), of_streams(slot_bps)
        )
        return np.repeat(share_hz, members)


def _stream_engine(
    engine: Engine,
    source: RateSource,
    direction: Direction,
    bandwidth_hz: float,
    rule: SharingRule,
) -> Fluid:
    """Streams are few, so they are stepped (and `Downlink` refuses virtual time for them)."""
    return _Streams(source, direction, bandwidth_hz, rule)


class MulticastLink(Link):
    """A `Link` on which each submission is one stream.

    All members finish when the stream does; one that leaves has received what was sent by then, and
    from then on the worst of the rest counts. `Transfer.sent_bits` is what each member has
    received, while `bits_sent` and `utilisation` count a stream once.
    """

    _engine = staticmethod(_stream_engine)

    def submit(
        self,
        clients: ArrayLike,
        bits: ArrayLike,
        ready_s: ArrayLike | None = None,
        leave_s: ArrayLike | None = None,
        expected_ready_s: ArrayLike | None = None,
    ) -> Transfer:
        """Put a stream on the link; arguments as for `Link.submit`.

        The stream carries the largest payload, of which a member that asked for less takes its
        part. It begins when its last member is ready.
        """
        sizes = np.atleast_1d(np.asarray(bits, float))
        if sizes.size:
            bits = sizes.max()
            ready_s = None if ready_s is None else np.max(ready_s)
            expected_ready_s = None if expected_ready_s is None else np.max(expected_ready_s)
        return super().submit(clients, bits, ready_s, leave_s, expected_ready_s)

    def _on_air(self, sent_bits: Floats, owner: Ints) -> Floats:
        """See `Link._on_air`: what the member who stayed longest has received."""
        return np.maximum.reduceat(sent_bits, _starts(owner)) if owner.size else sent_bits


def _starts(stream: Ints) -> Ints:
    """Where each stream's rows begin; they are next to one another."""
    return np.flatnonzero(np.append(True, stream[1:] != stream[:-1])[: len(stream)])


def _worst(rate_bps: Floats, stream: Ints) -> Floats:
    """The smallest rate in each stream, for each of its members `[rows, ...]`."""
    starts = _starts(stream)
    worst = np.minimum.reduceat(rate_bps, starts, axis=0)
    every: Floats = np.repeat(worst, np.diff(np.append(starts, len(stream))), axis=0)
    return every
