"""A tiny federated problem in NumPy, to run strategies through a whole training on a clock.

Softmax regression on Gaussian clusters, unevenly labelled and uneven in size; the weights come in
as many groups of rows as the adapter has ranks, and a client that trains k of them sees its model
through the sketch diag(gamma/k on k random groups), as LoRA's ranks do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.strategy.conftest import observation
from wirelessfl.randomness import generator, uniform
from wirelessfl.strategy import RoundFeedback, Strategy
from wirelessfl.strategy.observation import Floats
from wirelessfl.strategy.round_time import EqualFinish, WorkConserving

CLASSES, WIDTH, RANK = 6, 4, 8
FEATURES = RANK * WIDTH


class Federated:
    """Clients' data, their channel and devices, and one training loop."""

    def __init__(self, seed: int = 0, clients: int = 40, **changes: object) -> None:
        rng = np.random.default_rng(seed)
        self.clients, self.seed = clients, seed
        self.seen = observation(seed, clients, RANK, **changes)
        centres = rng.normal(size=(CLASSES, FEATURES))
        sizes = np.maximum(8, (self.seen.weights * clients * 60).astype(int))
        self.seen = replace(self.seen, weights=sizes / sizes.sum())
        mixes = rng.dirichlet(np.full(CLASSES, 0.2), clients)
        self.labels = [
            rng.choice(CLASSES, size, p=mix) for size, mix in zip(sizes, mixes, strict=True)
        ]
        self.inputs = [0.3 * centres[y] + rng.normal(size=(len(y), FEATURES)) for y in self.labels]
        self.all = np.concatenate(self.inputs), np.concatenate(self.labels)

    def loss(self, model: Floats) -> float:
        """Mean cross-entropy over everybody's data."""
        x, y = self.all
        logits = x @ model
        top = logits.max(axis=1)
        log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return float(np.mean(log_sum - logits[np.arange(len(y)), y]))

    def update(self, model: Floats, client: int, rank: int, round: int) -> Floats:
        """Local model minus global model after five steps of sketched SGD."""
        rng = generator(self.seed, "local", client, round)
        sketch = np.zeros(RANK)
        sketch[rng.permutation(RANK)[:rank]] = RANK / rank
        scale = np.repeat(sketch, WIDTH)[:, None]
        x, y = self.inputs[client], self.labels[client]
        local = model.copy()
        for _ in range(5):
            batch = rng.integers(len(y), size=16)
            logits = x[batch] @ (scale * local)
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(16), y[batch]] -= 1
            local -= 0.1 * scale * (x[batch].T @ p) / 16
        return local - model

    def time_to(self, strategy: Strategy, loss: float, rounds: int = 400) -> float:
        """Simulated seconds until the training loss falls to `loss`; inf if it does not."""
        model, time_s = np.zeros((FEATURES, CLASSES)), 0.0
        last = np.full_like(model, np.nan)
        sharing = EqualFinish() if strategy.bandwidth.kind == "equal_finish" else WorkConserving()
        for round in range(rounds):
            seen = replace(self.seen, round=round, time_s=time_s)
            plan = strategy.plan(seen)
            draws = uniform(self.seed, "participation", np.arange(self.clients), round)
            counts = strategy.select(plan, draws)
            members = counts > 0
            who = np.flatnonzero(members)
            weights = strategy.weights(plan, seen, who, counts[who])
            deltas = np.array([self.update(model, n, int(plan.k[n]), round) for n in who])
            down = seen.download_bits(np.arange(self.clients), plan.k) / seen.downlink_rate_bps
            down *= seen.downlink_share_hz / seen.downlink_hz
            compute = seen.compute_fixed_s + plan.k * seen.compute_per_rank_s
            upload = seen.upload_bits(plan.k) / seen.uplink_rate_bps
            upload *= seen.uplink_share_hz / seen.uplink_hz
            tau = compute + (members * np.minimum(down[:, None], down)).sum(axis=1)
            length = float(sharing.durations_s(members[:, None] * 1.0, tau, upload)[0])
            time_s += length + seen.server_overhead_s
            total = np.tensordot(weights, deltas, 1) if len(who) else np.zeros_like(model)
            model = model + plan.server_step * total
            strategy.observe(
                RoundFeedback(
                    round=round,
                    asked=who,
                    clients=who,
                    weights=weights,
                    q=plan.q[who],
                    k=plan.k[who],
                    squared_norms=np.array([np.sum(delta**2) for delta in deltas]),
                    update_squared_norm=float(np.sum(total**2)),
                    losses=np.zeros(len(who)),
                    compute_s=compute[who],
                    upload_s=upload[who],
                    duration_s=length + seen.server_overhead_s,
                    update_product=float(np.sum(total * last)),
                )
            )
            last = total
            if self.loss(model) <= loss:
                return time_s
        return float("inf")
