"""Who should be at work how often where nobody is waited for: rates and ranks of clients.

Client n delivers r_n updates a second, each weighted by a_n over its expected number in a model
update, so their sum keeps its mean whatever r is. In continuous time, with noise_n = a_n^2 G_n^2/S
and rho_n = gamma/k_n, the time to a target is t_0 times

    J(r, k) = T + DELAYED D + sum_n noise_n rho_n / r_n + (T + DELAYED M/X) drift(k),

T the time between two model updates, D = sum_n a_n c_n with c_n the time that client n is at work
on an update, X = sum r_n and M = sum r_n c_n (who is at work at a time, Little's law). It is the
law of rounds, T (1 + NSR + drift), with q_n = r_n T, and with the delay at which updates count as a
part of the length of a round. Transfers share their link equally, so in a cell with m senders

    c_n = d_n/(1 - L) + compute_n + delay_n + m t_n,
    L = sum r d,   m = sum r delay / (1 - sum r t),     sums over the cell,

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


def flow_plan(flow: Flow) -> FlowPlan:
    """Minimise J by damped steps on the optimality condition, from empty links at full rank."""
    rows = np.arange(len(flow.weights))
    option = np.full(len(rows), flow.compute_s.shape[1] - 1)
    rate = np.full(len(rows), IDLE_HZ)
    delay, band = flow.uploads.delay_s[0], flow.uploads.band_s[0]
    for step in range(STEPS):
        chosen = rate * np.stack([x[rows, option] for x in (flow.download_s, band)])
        down, up = (_in_cell(flow.cell, load) for load in chosen)
        fullest = np.maximum(np.maximum(down, up) / FULLEST, 1.0)
        rate, down, up = rate / fullest, down / fullest, up / fullest
        senders = _in_cell(flow.cell, rate * delay[rows, option]) / (1.0 - up)
        level = flow.uploads.level(np.maximum(senders, 1.0))
        delay = flow.uploads.delay_s[level, rows]
        band = flow.uploads.band_s[level, rows]
        senders = (_in_cell(flow.cell, rate * delay[rows, option]) / (1.0 - up))[:, None]
        down, up = down[:, None], up[:, None]
        cycle = flow.download_s / (1.0 - down) + flow.compute_s + delay + senders * band
        if step == STEPS - 1:
            return FlowPlan(rate, option, cycle[rows, option])
        shared = flow.weights * np.stack([x[rows, option] for x in (flow.download_s, band)])
        downs, ups = (_in_cell(flow.cell, share)[:, None] for share in shared)
        price = downs * flow.download_s / (1.0 - down) ** 2
        price += ups * (delay + senders * band) / (1.0 - up)
        price *= DELAYED
        target = np.minimum(np.sqrt(flow.noise / price), MOST_BUSY / cycle)
        scale_s = flow.update_s + DELAYED * (rate @ cycle[rows, option]) / rate.sum()
        loss = flow.noise / target + price * target + scale_s * flow.drift
        option = loss.argmin(axis=1)
        target = target[rows, option]
        rate = target if step == 0 else np.sqrt(rate * target)
    raise AssertionError("the last step returns")


def _in_cell(cell: Ints, values: Floats) -> Floats:
    """The sum over everybody in a client's cell. [clients]"""
    return np.asarray(np.bincount(cell, values)[cell], dtype=np.float64)
