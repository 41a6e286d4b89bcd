"""Cost of one link: how many flows a second can share it, and the bandwidth rules side by side.

The air is that of `scale.py`: one cell, an uplink of 100 MHz, flows of 0.18 Mbit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import harness
import numpy as np
import simpy
from harness import Case

from wirelessfl import randomness
from wirelessfl.network.channel import build_channel
from wirelessfl.network.link import Link
from wirelessfl.network.sharing import (
    EqualFinishRule,
    EqualShareRule,
    FifoRule,
    MaxMinRule,
    ProportionalFairRule,
    SharingRule,
    WorkConservingRule,
)
from wirelessfl.scenario.network import NetworkConfig

BANDWIDTH_HZ = 100e6
BITS = 180e3
FLOWS = 10_000
ARRIVALS = 100_000
SPREAD_S = 5.0  # over which the flows of a round become ready

NO_FADING = {"kind": "none"}
RAYLEIGH = {"kind": "rayleigh_block", "coherence_time": "10 ms"}

Measure = Callable[[float], Mapping[str, float]]


def uplink(clients: int, fading: Mapping[str, str], rule: SharingRule) -> Link:
    """A link from so many clients to their station, with a clock of its own."""
    config = NetworkConfig.model_validate(
        {
            "uplink": {"bandwidth": "100 MHz", "power_mode": "per_rb"},
            "path_loss": {"kind": "tr38901", "environment": "umi"},
            "antenna_gain": "10 dB",
            "cells": {"radius": "200 m", "min_distance": "10 m"},
            "fading": fading,
        }
    )
    source = build_channel(config, clients, seed=1).at(0)
    everybody = np.arange(clients)
    source.reported_rate_bps("uplink", everybody, 0.0, np.ones(clients))  # path losses, once
    return Link(simpy.Environment(), source, "uplink", BANDWIDTH_HZ, rule)


def per_second(link: Link, flows: int, started: float) -> dict[str, float]:
    """Let the clock run until every flow has ended, and say what that cost."""
    link.env.run()
    elapsed_s = time.perf_counter() - started
    return {
        "value": flows / elapsed_s,
        "elapsed_s": elapsed_s,
        "simulated_s": float(link.env.now),
        "flows": flows,
    }


def together(scale: float) -> Mapping[str, float]:
    """All flows join at once; ten links' worth, one after another."""
    n, times = round(FLOWS * scale), 10
    links = [uplink(n, NO_FADING, EqualShareRule()) for _ in range(times)]
    started = time.perf_counter()
    for link in links:
        link.submit(np.arange(n), np.full(n, BITS))
        found = per_second(link, n * times, started)
    return found


def arriving(one_by_one: bool) -> Measure:
    """10,000 flows are there, and others arrive, as fast as the link can serve them."""

    def measure(scale: float) -> Mapping[str, float]:
        there = round(FLOWS * scale)
        more = round((ARRIVALS / 50 if one_by_one else ARRIVALS) * scale)
        link = uplink(there + more, NO_FADING, EqualShareRule())
        clients = np.arange(there + more)
        alone = link.submit(clients[:there], np.full(there, BITS))
        served_per_s = there / float(np.max(alone.finish_s))  # the link's capacity
        link = uplink(there + more, NO_FADING, EqualShareRule())
        gaps_s = randomness.exponential(1, "arrivals", clients[there:]) / served_per_s
        ready_s = np.append(np.zeros(there), gaps_s.cumsum())
        started = time.perf_counter()
        if one_by_one:
            link.env.process(_arrivals(link, clients, there, gaps_s))
        else:
            link.submit(clients, np.full(there + more, BITS), ready_s)
        return per_second(link, there + more, started)

    return measure


def _arrivals(link: Link, clients: np.ndarray, there: int, gaps_s: np.ndarray):
    link.submit(clients[:there], np.full(there, BITS))
    for client, gap_s in zip(clients[there:].tolist(), gaps_s.tolist(), strict=True):
        yield link.env.timeout(gap_s)
        link.submit([client], [BITS])


def round_of(rule: SharingRule) -> Measure:
    """One round's uploads, which become ready over a few seconds."""

    def measure(scale: float) -> Mapping[str, float]:
        n = round(FLOWS * scale)
        link = uplink(n, RAYLEIGH, rule)
        clients = np.arange(n)
        ready_s = SPREAD_S * randomness.uniform(1, "ready", clients)
        started = time.perf_counter()
        transfer = link.submit(clients, np.full(n, BITS), ready_s)
        found = per_second(link, n, started)
        uploads_s = transfer.finish_s - ready_s
        return found | {"value": found["elapsed_s"], "mean_upload_s": float(uploads_s.mean())}

    return measure


RULES: dict[str, tuple[str, SharingRule]] = {
    "equal_share": ("equal_share", EqualShareRule()),
    "work_conserving": ("work_conserving", WorkConservingRule()),
    "max_min": ("max_min", MaxMinRule()),
    "equal_finish": ("equal_finish, shares held", EqualFinishRule()),
    "equal_finish-on_event": ("equal_finish, resolve: on_event", EqualFinishRule("on_event")),
    "tdma_fifo": ("tdma_fifo", FifoRule()),
    "proportional_fair": ("proportional_fair", ProportionalFairRule()),
}

CASES = {
    "together": Case(
        "10,000 flows at once share a constant link equally (ten times over)",
        together,
        unit="flows/s",
        target=1e5,
        more_is_better=True,
    ),
    "poisson": Case(
        "10,000 flows present, 100,000 more arrive (Poisson, at the link's capacity) and are "
        "submitted ahead in one call, as in a round",
        arriving(one_by_one=False),
        unit="flows/s",
        target=1e5,
        more_is_better=True,
    ),
    "poisson-one-by-one": Case(
        "the same, 2,000 more, each submitted when it arrives",
        arriving(one_by_one=True),
        unit="flows/s",
        more_is_better=True,
    ),
    **{
        name: Case(f"10,000 uploads of a round over 10 ms fading, {words}", round_of(rule))
        for name, (words, rule) in RULES.items()
    },
}


def main(arguments: list[str] | None = None) -> None:
    """See `harness`."""
    harness.main(__file__, CASES, arguments)


if __name__ == "__main__":
    main()
