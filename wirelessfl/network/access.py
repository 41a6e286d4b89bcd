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

from typing import Protocol

import numpy as np
import simpy

from wirelessfl.network.build_link import build_link
from wirelessfl.network.ergodic_link import ErgodicLink
from wirelessfl.network.fading import Direction, Index
from wirelessfl.network.flows import RateSource
from wirelessfl.network.link import Link
from wirelessfl.network.multicast import MulticastLink
from wirelessfl.network.passage import Leg, Passage, Relay, submit
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
        one_by_one: Whether transfers are submitted at any time, so that it is not known beforehand
            when those under way pass the first of wire and air; otherwise all transfers of a
            direction are submitted together.

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
        one_by_one: bool = False,
    ) -> None:
        self._env, self._channel, self._one_by_one = env, channel, one_by_one
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
        if one_by_one:
            for link in self.downlinks + self.uplinks:
                link.look_near()
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
        wire = submit(self._pipes_down, cell, clients, bits, start_s, leave_s)

        def to_air() -> Leg:
            ready_s = wire.pass_s(start_s) + self._latency_s[cell]
            return submit(self.downlinks, cell, clients, bits, ready_s, leave_s)

        at_once = np.zeros(len(clients))
        if self._one_by_one and wire.parts:
            return Relay(self._env, cell, wire, to_air, on_air=True, after_s=at_once)
        radio = to_air()
        return Passage(self._env, cell, (wire, radio), radio, at_once)

    def upload(
        self,
        clients: Ints,
        bits: Floats,
        ready_s: Floats,
        leave_s: Floats,
        expected_ready_s: Floats,
    ) -> Passage:
        """Send from clients to the server.

        When uploads enter the pipes is known from what the uplinks project now, unless something
        else is submitted to them while these uploads last (`one_by_one`).

        Args:
            clients: Client numbers, [n].
            bits: What each sends, [n].
            ready_s: When each can begin, [n].
            leave_s: When each leaves if it is still on the air; infinity for never, [n].
            expected_ready_s: When the base station expects each to begin, [n].
        """
        cell = self._cell(clients)
        radio = submit(self.uplinks, cell, clients, bits, ready_s, leave_s, expected_ready_s)
        after_s = self._latency_s[cell]

        def to_wire() -> Leg:
            return submit(self._pipes_up, cell, clients, bits, radio.pass_s(ready_s))

        if all(pipe is None for pipe in self._pipes_up):
            return Passage(self._env, cell, (radio,), radio, after_s)
        if self._one_by_one:
            return Relay(self._env, cell, radio, to_wire, on_air=False, after_s=after_s)
        return Passage(self._env, cell, (radio, to_wire()), radio, after_s)

    def _cell(self, clients: Ints) -> Index:
        return self._channel.serving(clients, float(self._env.now))


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
