"""Who should be at work how often where nobody is waited for: rates and ranks of clients.

Client n delivers r_n updates a second, each weighted by a_n over its expected number in a model
update, so their sum keeps its mean whatever r is. In continuous time, with noise_n = a_n^2 G_n^2/S
and rho_n = gamma/k_n, the time to a target is t_0 times

    J(r, k) = DELAYED D + sum_n noise_n rho_n / r_n + (T + DELAYED M/X) drift(k),

T the time between two model updates, D = sum_n a_n c_n with c_n the time that client n is at work
on an update, X = sum r_n and M = sum r_n c_n (who is at work at a time, Little's law). It is the
law of rounds, T (1 + NSR + drift), with q_n = r_n T (and what is constant left out), and with the
delay at which updates count as a part of the length of a round. T is no variable: two server
overheads, or half of M/X. Transfers are taken to share their link equally, and one meets m others:

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
# Of a deadline, the part that a client is planned to take, and the share that may take longer.
PUNCTUAL, LATE = 0.8, 0.1
BISECTIONS, SETTLING = 20, 5
# Least time between two model updates, over the mean time at work.
DELAYS = 0.5


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
        least_s: Time T between two model updates, at least.
    """

    download_s: Floats
    compute_s: Floats
    uploads: Uploads
    cell: Ints
    weights: Floats
    noise: Floats
    drift: Floats
    least_s: float


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


def update_s(least_s: float, delay_s: float) -> float:
    """Time T between two model updates: half the mean time at work, but at least so long."""
    return max(least_s, DELAYS * delay_s)


@dataclass(frozen=True)
class _Links:
    """Links in use.

    Attributes:
        rate_hz: Updates a second of each client, less where a link would be overfull. [clients]
        delay_s, band_s: Parts of uploads for so many senders. [clients, options]
        senders: Mean number of others that are met in a client's cell. [clients, 1]
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


def flow_plan(flow: Flow, most: float = np.inf, deadline_s: float = np.inf) -> FlowPlan:
    """Minimise J by steps on the optimality condition, from empty links at full rank.

    A link's prices grow as (1 - load)^-2, so a step is taken only as far as links are free: for
    equal clients that is Newton's. If that breaks a limit all rates are lowered by one factor.

    Args:
        flow: Clients that can be reached, at least one.
        most: Clients at work at a time, at most.
        deadline_s: Time after which a client is given up: at most `LATE` of all updates may be
            expected to take more than `PUNCTUAL` of it.
    """
    rows = np.arange(len(flow.weights))
    option = np.full(len(rows), flow.compute_s.shape[1] - 1)
    meets = np.zeros(len(rows))
    links = _links(flow, np.full(len(rows), IDLE_HZ), option, meets)
    for _ in range(STEPS):
        target, option = _best_response(flow, links, option)
        free = 1.0 - np.maximum(links.up, links.down)[:, 0]
        rate = links.rate_hz * (target / links.rate_hz) ** free
        meets = (meets + links.senders[:, 0]) / 2
        links = _links(flow, rate, option, meets)
    best = FlowPlan(links.rate_hz, option, links.cycle_s[rows, option])

    def slowed(factor: float) -> FlowPlan:
        """The plan with lower rates, whose senders are those of links as full as that."""
        meets = links.senders[:, 0] * factor
        for _ in range(SETTLING):
            found = _links(flow, factor * links.rate_hz, option, meets)
            meets = found.senders[:, 0]
        return FlowPlan(found.rate_hz, option, found.cycle_s[rows, option])

    def allowed(plan: FlowPlan) -> bool:
        late = plan.rate_hz @ (plan.cycle_s > PUNCTUAL * deadline_s)
        return plan.at_work <= most and late <= LATE * plan.rate_hz.sum()

    if allowed(best):
        return best
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(slowed(middle)) else (low, middle)
    return slowed(low or high)


def _links(flow: Flow, rate_hz: Floats, option: Ints, meets: Floats) -> _Links:
    """How full links are; upload times are those of one who meets so many others. [clients]"""
    rows = np.arange(len(rate_hz))
    delay, band = flow.uploads.between(1.0 + meets)
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
    noise = np.maximum(flow.noise, np.finfo(float).tiny)
    rate = np.minimum(np.sqrt(noise / price), MOST_BUSY / links.cycle_s)
    delay_s = (links.rate_hz @ links.cycle_s[rows, option]) / links.rate_hz.sum()
    scale_s = update_s(flow.least_s, delay_s) + DELAYED * delay_s
    loss = flow.noise / rate + price * rate + scale_s * flow.drift
    loss += DELAYED * flow.weights[:, None] * links.cycle_s
    best = loss.argmin(axis=1)
    return rate[rows, best], best


def _in_cell(cell: Ints, values: Floats) -> Floats:
    """The sum over everybody in a client's cell. [clients]"""
    return np.asarray(np.bincount(cell, values)[cell], dtype=np.float64)
