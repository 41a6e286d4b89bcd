"""Who should be at work how often where nobody is waited for: rates and ranks of clients.

Client n delivers r_n updates a second, each weighted by a_n over its expected number in a model
update, so their sum keeps its mean whatever r is. In continuous time, with noise_n = a_n^2 G_n^2/S
and rho_n = gamma/k_n, the time to a target is t_0 times

    J(r, k) = T + DELAYED D + sum_n noise_n rho_n / r_n + (T + DELAYED M/X) drift(k),

T the time between two model updates, D = sum_n a_n c_n with c_n the time that client n is at work
on an update, X = sum r_n and M = sum r_n c_n (who is at work at a time, Little's law). It is the
law of rounds, T (1 + NSR + drift), with q_n = r_n T, and with the delay at which updates count as a
part of the length of a round. Transfers share their link equally, so in a cell with m senders

    c_n = d_n/(1 - L) + compute_n + delay_n + (1 + m) t_n,
    L = sum r d,   m = sum r (delay + t) / (1 - sum r t),     sums over the cell,

where d_n is a download with the whole downlink, and an upload takes delay_n + t_n / share. What one
more update a second of client n adds to DELAYED D is its price: others wait longer, but nobody
waits for it. So r_n = sqrt(noise_n rho_n / price_n), at most `MOST_BUSY` / c_n, since a client does
one thing at a time. Own derivation, `reconstructed`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.sampled_model import Uploads

# What a second of delay costs, over a second between model updates. Measured with the tiny ViT and
# digits, 40 clients: with 1 steps are too long and the loss jumps, with 2 it falls evenly.
DELAYED = 2.0
# Largest part of its time that a client is planned to be at work, and of a link that is used.
MOST_BUSY = 0.8
FULLEST = 0.95
STEPS = 40
IDLE_HZ = 1e-9


@dataclass(frozen=True)
class Flow:
    """What clients take, and what their updates are worth; an option is a rank to train.

    Attributes:
        download_s: Download with the whole downlink. [clients, options]
        compute_s: Computing time and what the wires add. [clients, options]
        uploads: Upload times.
        cell: Cell of each client. [clients]
        weights: Shares of the data a_n. [clients]
        noise: noise_n gamma/k. [clients, options]
        drift: Rounds lost to training few ranks. [clients, options]
        update_s: Time T between two model updates, at least.
    """

    download_s: Floats
    compute_s: Floats
    uploads: Uploads
    cell: Ints
    weights: Floats
    noise: Floats
    drift: Floats
    update_s: float


@dataclass(frozen=True)
class FlowPlan:
    """Rates and ranks.

    Attributes:
        rate_hz: Updates a second of each client. [clients]
        option: Rank of each, as an index of its options. [clients]
        cycle_s: Time that each is at work on an update. [clients]
    """

    rate_hz: Floats
    option: Ints
    cycle_s: Floats

    @property
    def at_work(self) -> float:
        """Mean number of clients at work (Little's law)."""
        return float(self.rate_hz @ self.cycle_s)


@dataclass(frozen=True)
class _Links:
    """Links in use.

    Attributes:
        rate_hz: Updates a second of each client, less where a link would be overfull. [clients]
        delay_s, band_s: Parts of uploads for so many senders. [clients, options]
        senders: Mean number in a client's cell. [clients, 1]
        down, up: Part of the time that its links are used. [clients, 1]
        cycle_s: Time at work on an update. [clients, options]
    """

    rate_hz: Floats
    delay_s: Floats
    band_s: Floats
    senders: Floats
    down: Floats
    up: Floats
    cycle_s: Floats


def flow_plan(flow: Flow) -> FlowPlan:
    """Minimise J by steps on the optimality condition, from empty links at full rank.

    A link's prices grow as (1 - load)^-2, so a step is taken only as far as links are free: for
    equal clients that is Newton's.
    """
    rows = np.arange(len(flow.weights))
    option = np.full(len(rows), flow.compute_s.shape[1] - 1)
    links = _links(flow, np.full(len(rows), IDLE_HZ), option, np.ones(len(rows)))
    for _ in range(STEPS):
        target, option = _best_response(flow, links, option)
        free = 1.0 - np.maximum(links.up, links.down)[:, 0]
        rate = links.rate_hz * (target / links.rate_hz) ** free
        links = _links(flow, rate, option, links.senders[:, 0])
    return FlowPlan(links.rate_hz, option, links.cycle_s[rows, option])


def _links(flow: Flow, rate_hz: Floats, option: Ints, senders: Floats) -> _Links:
    """How full links are; upload times are those for about so many senders. [clients]"""
    rows, level = np.arange(len(rate_hz)), flow.uploads.level(senders)
    delay, band = flow.uploads.delay_s[level, rows], flow.uploads.band_s[level, rows]
    down = _in_cell(flow.cell, rate_hz * flow.download_s[rows, option])
    up = _in_cell(flow.cell, rate_hz * band[rows, option])
    fullest = np.maximum(np.maximum(down, up) / FULLEST, 1.0)
    rate_hz, down, up = rate_hz / fullest, (down / fullest)[:, None], (up / fullest)[:, None]
    sending = _in_cell(flow.cell, rate_hz * (delay + band)[rows, option])[:, None] / (1.0 - up)
    cycle = flow.download_s / (1.0 - down) + flow.compute_s + delay + (1.0 + sending) * band
    return _Links(rate_hz, delay, band, sending, down, up, cycle)


def _best_response(flow: Flow, links: _Links, option: Ints) -> tuple[Floats, Ints]:
    """The best rate and option of each client while links stay as full as they are. [clients]"""
    rows = np.arange(len(option))
    waiting = (
        _in_cell(flow.cell, flow.weights * x[rows, option])[:, None]
        for x in (flow.download_s, links.band_s)
    )
    downs, ups = waiting
    price = downs * flow.download_s / (1.0 - links.down) ** 2
    price += ups * (links.delay_s + (1.0 + links.senders) * links.band_s) / (1.0 - links.up)
    price *= DELAYED
    rate = np.minimum(np.sqrt(flow.noise / price), MOST_BUSY / links.cycle_s)
    delay_s = (links.rate_hz @ links.cycle_s[rows, option]) / links.rate_hz.sum()
    scale_s = flow.update_s + DELAYED * delay_s
    loss = flow.noise / rate + price * rate + scale_s * flow.drift
    loss += DELAYED * flow.weights[:, None] * links.cycle_s
    best = loss.argmin(axis=1)
    return rate[rows, best], best


def _in_cell(cell: Ints, values: Floats) -> Floats:
    """The sum over everybody in a client's cell. [clients]"""
    return np.asarray(np.bincount(cell, values)[cell], dtype=np.float64)
