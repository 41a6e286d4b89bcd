"""Methods that average factors, component by component."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wirelessfl.learning.aggregation import weighted_sum
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.methods.base import Change, FirstComponents, Support, Weights
from wirelessfl.learning.methods.products import products


class FedIt(FirstComponents):
    """FedIT (arXiv 2305.05644): plain averaging of A and B.

    With unequal ranks a client's missing components are zeros in the average, which pulls what only
    few clients hold towards zero: with it the model stays near the rank that all hold. The mean of
    products is not the product of means.
    """

    linear = False

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        return weighted_sum(_zero_padded(self.layout, model, jobs, updates), weights, len(model))


class Rbla(FirstComponents):
    """RBLA (arXiv 2408.08699): a component is averaged over those who hold it.

    change_j = W sum_{holders} w_n delta_nj / sum_{holders} w_n, with W the sum of all weights, so
    that a component held by all moves as under FedIT. Not linear, so not unbiased.
    """

    linear = False

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        total = weighted_sum(updates, weights, len(model))
        for module in self.layout.modules:
            held = np.zeros(self.layout.rank)
            for job, weight in zip(jobs, weights, strict=True):
                held[: job.rank] += weight
            rows = self.layout.components(total, module)
            share = np.divide(weights.sum(), held, out=np.ones_like(held), where=held > 0)
            rows *= share[:, None]
        return total


class HetLora(FirstComponents):
    """HetLoRA (arXiv 2401.06432): as FedIT, but whose adapter is richer counts more.

    p_n = W w_n S_n / sum_m w_m S_m with S_n = ||B_n A_n|| (Frobenius, over all modules) of what the
    client has trained, W the sum of all weights. Not linear, so not unbiased. The paper's
    self-pruning of ranks is not part of it: here ranks are the server's choice.
    """

    linear = False

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        size = np.array(
            [
                np.sqrt(sum(np.square(p).sum() for p in self._products(model, job, update)))
                for job, update in zip(jobs, updates, strict=True)
            ]
        )
        rich = weights * size
        if rich.sum() > 0:
            weights = weights.sum() * rich / rich.sum()
        return weighted_sum(_zero_padded(self.layout, model, jobs, updates), weights, len(model))

    def _products(self, model: Vector, job: GradientJob, update: Vector) -> list[Change]:
        """scaling B A of a client's components, trained."""
        mine = np.zeros_like(model, dtype=np.float64)
        for module in self.layout.modules:
            both = self.layout.components(model, module) + self.layout.components(update, module)
            self.layout.components(mine, module)[: job.rank] = both[: job.rank]
        return products(self.layout, mine)


class Ffa(FirstComponents):
    """FFA-LoRA (arXiv 2403.12313): A stays as it was drawn, only B is trained and sent.

    Then the mean of products is the product of means, and averaging is exact.
    """

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        start = super().start(model, job)
        return LocalStart(start.compact, start.rank, trained=~_is_a(self.layout, job.rank))

    def support(self, job: GradientJob) -> Support:
        """See `Method.support`: without A."""
        return super().support(job).only(~_is_a(self.layout, job.rank))


class FedSa(FirstComponents):
    """FedSA-LoRA (arXiv 2410.01463): A is shared, B never leaves its client.

    What is evaluated is the shared A with the mean of the clients' B by their data (a choice of
    ours: the paper judges each client's own model).

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed.
        shares: Share a_n of the data that each client has `[clients]`.
    """

    def __init__(self, layout: Layout, seed: int, shares: Weights) -> None:
        super().__init__(layout, seed)
        self._shares = shares
        self._own: dict[int, Vector] = {}  # B of each client that has trained, zeros elsewhere

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        mine = model + self._own.get(job.client, np.float32(0.0))
        return super().start(np.asarray(mine, np.float32), job)

    def update(self, model: Vector, job: GradientJob, result: LocalResult) -> Vector:
        """See `Method.update`: B is kept, A and the head are sent."""
        change, is_b = result.change.copy(), _is_b(self.layout, job.rank)
        places = self._places(job.rank)
        own = self._own.get(job.client, np.zeros(self.layout.size, np.float32)).copy()
        own[places[is_b]] += change[is_b]
        self._own[job.client] = own
        delta = np.zeros(self.layout.size, np.float32)
        delta[places[~is_b]] = change[~is_b]
        return delta

    def support(self, job: GradientJob) -> Support:
        """See `Method.support`: without B."""
        return super().support(job).only(~_is_b(self.layout, job.rank))

    def adapter(self, model: Vector) -> Vector:
        """See `Method.adapter`."""
        if not self._own:
            return model
        share = np.array([self._shares[client] for client in sorted(self._own)])
        own = [self._own[client] for client in sorted(self._own)]
        return (model + weighted_sum(own, share / share.sum(), len(model))).astype(np.float32)


def _zero_padded(
    layout: Layout, model: Vector, jobs: Sequence[GradientJob], updates: Sequence[Vector]
) -> list[Vector]:
    """Updates to a client's adapter that is zero where it has no components."""
    padded = []
    for job, update in zip(jobs, updates, strict=True):
        whole = update.copy()
        for module in layout.modules:
            lacking = layout.components(whole, module)[job.rank :]
            lacking[:] = -layout.components(model, module)[job.rank :]
        padded.append(whole)
    return padded


def _is_a(layout: Layout, rank: int) -> np.ndarray:
    """Which numbers of a compact vector are A's `[compact]`."""
    return _which(layout, rank, 0)


def _is_b(layout: Layout, rank: int) -> np.ndarray:
    """Which numbers of a compact vector are B's `[compact]`."""
    return _which(layout, rank, 1)


def _which(layout: Layout, rank: int, of_each_pair: int) -> np.ndarray:
    sizes = layout.compact_sizes(rank)
    lora = 2 * len(layout.modules)
    kinds = [number % 2 == of_each_pair if number < lora else False for number in range(len(sizes))]
    return np.repeat(kinds, sizes)
