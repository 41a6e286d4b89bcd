"""A link over mean rates whose transfers take a random time (`wirelessfl.network.ergodic`).

A transfer's spread depends on how it is served: with share s(t) the variance of what it gets
through is Tc (sigma / mu)^2 integral r^2 dt, r its mean rate. Relative to its bits b that is
w / L with L = b^2 / integral r^2 dt, the time it would take at an even rate; waiting, or a share
that changes, makes L less than its sojourn. So what is submitted is projected twice: with mean
rates, to find L, and with the pace L / T that follows from the T drawn. (Reconstructed.)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import simpy
from numpy.typing import ArrayLike

from wirelessfl.network.ergodic import ErgodicRates
from wirelessfl.network.fading import Direction
from wirelessfl.network.link import Link, Transfer
from wirelessfl.network.sharing import Floats, SharingRule
from wirelessfl.scenario.network import Engine

ENOUGH = 100.0  # correlation times, and times w, from which on a transfer counts as long


class ErgodicLink(Link):
    """A `Link` whose flows each have a pace, drawn when they are submitted.

    Of flows submitted at one instant the later ones are drawn knowing the earlier ones.

    Attributes:
        transfers: Flows submitted that had something to send and began.
        short: Those among them shorter than the approximation is made for: than 100 correlation
            times, or 100 w.
    """

    def __init__(
        self,
        env: simpy.Environment,
        source: ErgodicRates,
        direction: Direction,
        bandwidth_hz: float,
        rule: SharingRule,
        engine: Engine = "auto",
    ) -> None:
        super().__init__(env, source, direction, bandwidth_hz, rule, engine)
        self._source, self._direction = source, direction
        self.transfers = self.short = 0

    def submit(
        self,
        clients: ArrayLike,
        bits: ArrayLike,
        ready_s: ArrayLike | None = None,
        leave_s: ArrayLike | None = None,
        expected_ready_s: ArrayLike | None = None,
    ) -> Transfer:
        """See `Link.submit`."""
        transfer = super().submit(clients, bits, ready_s, leave_s, expected_ready_s)
        pace = self._flows.pace.copy()
        pace[transfer._rows] = self._paces(transfer._rows)
        self._flows = replace(self._flows, pace=pace)
        return transfer

    def _paces(self, new: slice) -> Floats:
        """Draw how much faster than its mean rate each new flow is. [new]"""
        even_s, share_hz = self._even_s(new)
        clients, ready_s = self._flows.client[new], self._flows.ready_s[new]
        wander_s = self._source.wander_s(self._direction, clients, self.env.now, share_hz)
        begun = even_s > 0
        self.transfers += int(begun.sum())
        long_s = ENOUGH * np.maximum(wander_s, self._source.correlation_s)
        self.short += int((begun & (even_s < long_s)).sum())
        spread = np.divide(wander_s, even_s, out=np.zeros_like(wander_s), where=begun)
        return 1.0 / self._source.relative_time(self._direction, clients, ready_s, spread)

    def _even_s(self, new: slice) -> tuple[Floats, Floats]:
        """At mean rates: how long new flows would take evenly served, and their mean shares. [new]

        Shares are weighted by the bits sent with them. Flows that never begin get 0 seconds.
        """
        flows, fluid = self._flows, self._fluid
        first = state = fluid.settle(flows, self._path[0], replan=True)
        squared, shared = np.zeros(len(flows.bits)), np.zeros(len(flows.bits))
        while np.isnan(state.finish_s[new]).any():
            after = fluid.step(flows, state)
            squared += fluid.squared_rate(flows, state, after)
            shared += state.share_hz * (state.remaining_bits - after.remaining_bits)
            state = after
        sent_bits = (first.remaining_bits - state.remaining_bits)[new]
        sent = sent_bits > 0
        even_s, share_hz = np.zeros(len(sent_bits)), np.full(len(sent_bits), fluid.bandwidth_hz)
        np.divide(sent_bits**2, squared[new], out=even_s, where=sent)
        np.divide(shared[new], sent_bits, out=share_hz, where=sent & (shared[new] > 0))
        return even_s, share_hz
