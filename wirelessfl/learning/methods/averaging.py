"""Methods that average factors, component by component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from wirelessfl.learning.aggregation import weighted_sum
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.methods.base import Change, FirstComponents, Ranks, Support, Weights
from wirelessfl.learning.methods.factors import product_norm
from wirelessfl.learning.state import State, by_client, of_clients


class FedIt(FirstComponents):
    """FedIT (arXiv 2305.05644): plain averaging of A and B.

    The paper has equal ranks. Unequal ones are truncated and padded with zeros, the baseline of
    HetLoRA and FLoRA: a client of k components asks for its change of the first k, and for the
    others to vanish, so what few clients hold is pulled to zero by all the others. As a change
    that is still linear. The mean of products is not the product of means.
    """

    def change(self, model: Vector, job: GradientJob, sent: Vector) -> Vector:
        """See `Method.change`."""
        change = sent.copy()
        for module in self.layout.modules:
            lacking = self.layout.components(model, module)[job.rank :]
            self.layout.components(change, module)[job.rank :] = -lacking
        return change


class Rbla(FirstComponents):
    """RBLA (arXiv 2408.08699): a component is averaged over those who hold it.

    change_j = W sum_{holders} w_n delta_nj / sum_{holders} w_n, with W the sum of all weights, so
    that a component held by all moves as under FedIT. A ratio, so not unbiased.
    """

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        changes: Iterable[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        total = weighted_sum(changes, weights, len(model))
        ranks = np.array([job.rank for job in jobs], np.int64)
        held = weights @ (np.arange(self.layout.rank) < ranks[:, None])
        share = np.divide(weights.sum(), held, out=np.ones_like(held), where=held > 0)
        for module in self.layout.modules:
            rows = self.layout.components(total, module)
            rows *= share[:, None]
        return total


class HetLora(FedIt):
    """HetLoRA (arXiv 2401.06432): clients truncate and pad; whose adapter is richer counts more.

    p_n = W w_n S_n / sum_m w_m S_m with S_n = ||scaling B_n A_n|| (Frobenius, over all modules) of
    what the client has trained, W the sum of all weights: ratios, so not unbiased. The trained
    head, which the paper does not have, is added up with w_n.

    Self-pruning: if the last components of a client, beyond a share `pruning` of its rank, have a
    smaller ||B A|| after its training than before, its rank shrinks to that share for good. In the
    paper it sends fewer at once; here its upload is under way before its result is known, so a
    smaller rank holds from its next round. The paper's penalty on those norms is left out.

    Args:
        layout: Places of the adapter's parameters.
        seed: The scenario's seed.
        pruning: Share of its rank that a client keeps when it prunes; None: no client does.
    """

    def __init__(self, layout: Layout, seed: int, pruning: float | None = None) -> None:
        super().__init__(layout, seed)
        self._pruning = pruning
        self._kept: dict[int, int] = {}  # rank of those who have pruned

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        self._kept = {}
        return adapter

    def capped(self, ranks: Ranks) -> Ranks:
        """See `Method.capped`."""
        capped = ranks.copy()
        for client, kept in self._kept.items():
            capped[client] = min(capped[client], kept)
        return capped

    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """See `Method.update`; the client decides whether it prunes."""
        if self._pruning is not None:
            kept = max(1, int(self._pruning * job.rank))
            before, after = (
                product_norm(self.layout, self._placed(job, compact), kept)
                for compact in (start.compact, start.compact + result.change)
            )
            if after < before:
                self._kept[job.client] = kept
        return super().update(job, start, result)

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        changes: Iterable[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        changes = list(changes)
        rich = weights * np.array([product_norm(self.layout, model + change) for change in changes])
        counted = weights.sum() * rich / rich.sum() if rich.any() else weights
        total = weighted_sum(changes, counted, len(model))
        head = self.layout.size - self.layout.head_size
        total[head:] = weighted_sum([c[head:] for c in changes], weights, len(model) - head)
        return total

    def state(self) -> State:
        """See `Method.state`."""
        return by_client(self._kept)

    def load(self, state: State) -> None:
        """See `Method.load`."""
        self._kept = {client: int(kept) for client, kept in of_clients(state).items()}


class Ffa(FirstComponents):
    """FFA-LoRA (arXiv 2403.12313): A stays as it was drawn, only B is trained and sent.

    Then the mean of products is the product of means, and averaging is exact. The paper has equal
    ranks; with unequal ones, components that a client does not have count as unchanged, for a row
    of A that is zero once would be dead for good.
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

    The paper has equal ranks; with unequal ones, components that a client does not have count as
    unchanged. A client whose upload is lost forgets what it trained.

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

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        self._own = {}
        return adapter

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        mine = model + self._own.get(job.client, np.float32(0.0))
        return super().start(np.asarray(mine, np.float32), job)

    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """See `Method.update`: B is kept, A and the head are sent."""
        is_b = _is_b(self.layout, job.rank)
        kept = self._own.get(job.client, np.float32(0.0))
        self._own[job.client] = kept + self._placed(job, np.where(is_b, result.change, 0))
        return self._placed(job, np.where(is_b, 0, result.change))

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

    def state(self) -> State:
        """See `Method.state`."""
        return by_client(self._own)

    def load(self, state: State) -> None:
        """See `Method.load`."""
        self._own = of_clients(state)


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
