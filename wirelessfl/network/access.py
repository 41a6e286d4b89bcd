"""The way between server and clients: every cell's two links, and the backhaul behind them.

Each cell has the whole bandwidth of both directions for itself (frequency reuse 1) and divides it
by its own instance of the sharing rule. Each cell's route through the wired network is a pipe of
constant rate in each direction, the cell's part of a static max-min split of every edge
(`Topology.backhaul_bps`), which the cell's transfers share equally. So pipes are independent of one
another and exact in closed form; what is lost is that an idle cell's part is not lent to others.

Wire and air are in series, store and forward: a download is on the air once all of it has come
through the pipe, an upload enters the pipe once all of it has come through the air. A route's
latency passes after its pipe. A client's cell is the one that serves it when a transfer is
submitted, until its end (a handover happens between rounds only).
(Model reconstructed; the pieces are processor sharing and max-min fairness.)
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np
import simpy

from wirelessfl.arrays import by_cell
from wirelessfl.network.build_link import build_link
from wirelessfl.network.ergodic_link import ErgodicLink
from wirelessfl.network.fading import Direction, Index
from wirelessfl.network.flows import RateSource
from wirelessfl.network.link import Link, Transfer, timeout_at
from wirelessfl.network.multicast import MulticastLink
from wirelessfl.network.sharing import EqualShareRule, Floats, Ints, SharingRule, sharing_rule
from wirelessfl.network.topology import Topology
from wirelessfl.scenario.network import Downlink, NetworkConfig, Uplink


class Cells(Protocol):
    """What is asked of a channel here (see `wirelessfl.network.channel.Channel`)."""

    def serving(self, clients: Index, t_s: float) -> Index:
        """The cell of each client at `t_s`, [n]."""

    def at(self, cell: int) -> RateSource:
        """The rates to one cell's station."""


class Access:
    """The links of all cells and their pipes, as one thing that carries downloads and uploads.

    Args:
        env: SimPy environment.
        channel: Rates to every station, and who is served by which.
        topology: The stations and their wires.
        config: Bandwidths, and the rule of the downlinks.
        uplink_rule: How each cell's uplink is shared.

    Attributes:
        downlinks: Link from each station to its clients, [cells].
        uplinks: Link from the clients of each station, [cells].
    """

    def __init__(
        self,
        env: simpy.Environment,
        channel: Cells,
        topology: Topology,
        config: NetworkConfig,
        uplink_rule: SharingRule,
    ) -> None:
        self._env, self._channel = env, channel
        self._latency_s = topology.latency_s
        downlink_rule = sharing_rule(config.downlink.sharing)

        def links(
            direction: Direction, section: Uplink | Downlink, rule: SharingRule
        ) -> tuple[Link, ...]:
            return tuple(
                build_link(env, channel.at(cell), direction, section, rule)
                for cell in range(topology.cells)
            )

        self.downlinks = links("downlink", config.downlink, downlink_rule)
        self.uplinks = links("uplink", config.uplink, uplink_rule)
        copies = MulticastLink if config.downlink.mode == "multicast" else Link
        self._pipes_down = _pipes(copies, env, "downlink", topology.backhaul_bps)
        self._pipes_up = _pipes(Link, env, "uplink", topology.backhaul_bps)

    @property
    def approximated(self) -> tuple[int, int] | None:
        """Transfers over ergodic links so far, and those too short for that; None without any."""
        links = [link for link in self.downlinks + self.uplinks if isinstance(link, ErgodicLink)]
        if not links:
            return None
        return sum(link.transfers for link in links), sum(link.short for link in links)

    def download(self, clients: Ints, bits: Floats, leave_s: Floats) -> Passage:
        """Send to clients, from the server, now.

        Args:
            clients: Client numbers, [n].
            bits: What each gets, [n].
            leave_s: When each leaves if it has not got it yet; infinity for never, [n].
        """
        cell = self._cell(clients)
        start_s = np.full(len(clients), float(self._env.now))
        wire = _submit(self._pipes_down, cell, clients, bits, start_s, leave_s)
        ready_s = wire.pass_s(start_s) + self._latency_s[cell]
        radio = _submit(self.downlinks, cell, clients, bits, ready_s, leave_s)
        return Passage(self._env, cell, (wire, radio), radio, np.zeros(len(clients)))

    def upload(
        self,
        clients: Ints,
        bits: Floats,
        ready_s: Floats,
        leave_s: Floats,
        expected_ready_s: Floats,
    ) -> Passage:
        """Send from clients to the server.

        When uploads enter the pipes is known from what the uplinks project now: it is what happens
        unless something else is submitted to them while these uploads last. In a synchronous round
        nothing is.

        Args:
            clients: Client numbers, [n].
            bits: What each sends, [n].
            ready_s: When each can begin, [n].
            leave_s: When each leaves if it is still on the air; infinity for never, [n].
            expected_ready_s: When the base station expects each to begin, [n].
        """
        cell = self._cell(clients)
        radio = _submit(self.uplinks, cell, clients, bits, ready_s, leave_s, expected_ready_s)
        legs: tuple[_Leg, ...] = (radio,)
        if any(pipe is not None for pipe in self._pipes_up):
            arrive_s = radio.pass_s(ready_s)
            legs = (radio, _submit(self._pipes_up, cell, clients, bits, arrive_s))
        return Passage(self._env, cell, legs, radio, self._latency_s[cell])

    def _cell(self, clients: Ints) -> Index:
        return self._channel.serving(clients, float(self._env.now))


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
        legs: Sequence[_Leg],
        radio: _Leg,
        after_s: Floats,
    ) -> None:
        self.cell = cell
        self._env, self._legs, self._radio, self._after_s = env, legs, radio, after_s
        ends = [transfer.done for leg in legs for _, _, transfer in leg.parts]
        self.done: simpy.Event = ends[0] if len(ends) == 1 else env.all_of(ends)
        if after_s.any():
            self.done = env.process(self._arrive(self.done))

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


class _Leg:
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


def _submit(
    links: Sequence[Link | None],
    cell: Index,
    clients: Ints,
    bits: Floats,
    ready_s: Floats,
    leave_s: Floats | None = None,
    expected_s: Floats | None = None,
) -> _Leg:
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
    return _Leg(parts)


def _pipes(
    kind: type[Link], env: simpy.Environment, direction: Direction, rate_bps: Floats
) -> list[Link | None]:
    """A link for each cell whose route has a limit: 1 Hz of it carries 1 bit/s."""
    return [
        kind(env, _Wire(), direction, float(rate), EqualShareRule()) if np.isfinite(rate) else None
        for rate in rate_bps
    ]


class _Wire:
    """Rates of a wire: what share of it one has, always."""

    slot_s = np.inf

    def rate_bps(
        self, direction: Direction, clients: Ints, slots: Ints, share_hz: Floats
    ) -> Floats:
        return np.repeat(share_hz[:, None], len(slots), axis=1)

    def reported_rate_bps(
        self, direction: Direction, clients: Ints, t_s: float, share_hz: Floats
    ) -> Floats:
        return share_hz

    def proportional(self, direction: Direction) -> bool:
        return True

    def linear(self, direction: Direction) -> bool:
        return True
