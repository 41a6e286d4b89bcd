"""Methods that add up products B A, which is what the model sees of an adapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wirelessfl import randomness
from wirelessfl.learning.aggregation import weighted_sum
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.methods.base import Change, FirstComponents, Method, Weights


def products(layout: Layout, vector: Vector | Change) -> list[Change]:
    """scaling B A of each module, in float64 `[d_out, d_in]`."""
    made = []
    for module in layout.modules:
        a, b = np.split(layout.components(vector, module).astype(np.float64), [module.d_in], axis=1)
        made.append(module.scaling * b.T @ a)
    return made


def nearest_factors(layout: Layout, wanted: Sequence[Change], fallback: Vector) -> Change:
    """The adapter whose products are nearest to given ones: the best of rank gamma, by SVD.

    (Eckart and Young 1936.) A = sqrt(S) V^T and B = U sqrt(S), largest first. Where there is
    nothing to hold, A is the fallback's and B zero, so that training can begin there.

    Returns:
        `[layout.size]`, the fallback's head.
    """
    vector = fallback.astype(np.float64)
    for module, product in zip(layout.modules, wanted, strict=True):
        u, s, vt = np.linalg.svd(product / module.scaling, full_matrices=False)
        kept = min(layout.rank, int((s > 1e-7 * max(s[0], 1e-30)).sum()) if s[0] > 0 else 0)
        rows = layout.components(vector, module)
        root = np.sqrt(s[:kept])
        rows[:kept, : module.d_in] = root[:, None] * vt[:kept]
        rows[:kept, module.d_in :] = (u[:, :kept] * root).T
        rows[kept:, module.d_in :] = 0.0
    return vector


class FlexLora(FirstComponents):
    """FlexLoRA (arXiv 2402.11505): products are added up, an SVD gives each client its best k.

    The global model is the best adapter of rank gamma; its components are singular directions,
    largest first, so the first k of them are the best of rank k.
    """

    linear = False

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        self._fresh = adapter
        return adapter

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        total = products(self.layout, model)
        for job, update, weight in zip(jobs, updates, weights, strict=True):
            before, after = _own_products(self.layout, model, job, update)
            total = [t + weight * (a - b) for t, a, b in zip(total, after, before, strict=True)]
        nearest = nearest_factors(self.layout, total, self._fresh)
        head = weighted_sum(updates, weights, len(model))[-self.layout.head_size :]
        change = nearest - model
        if self.layout.head_size:
            change[-self.layout.head_size :] = head
        return change


class _Shifting(Method):
    """A `Method` whose global model is the adapter, then the change of the frozen weights."""

    linear = False
    shifts_base = True

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        dense = sum(module.d_in * module.d_out for module in self.layout.modules)
        return np.concatenate([adapter, np.zeros(dense, np.float32)])

    def adapter(self, model: Vector) -> Vector:
        """See `Method.adapter`."""
        return model[: self.layout.size]

    def residual(self, model: Vector) -> Vector:
        """See `Method.residual`."""
        return model[self.layout.size :]

    def saved(self, model: Vector) -> Vector:
        """See `Method.saved`: PEFT's adapter has rank gamma, the change of the weights has not."""
        adapter = self.adapter(model)
        whole = [
            own + shift
            for own, shift in zip(products(self.layout, adapter), self._shifts(model), strict=True)
        ]
        return nearest_factors(self.layout, whole, adapter).astype(np.float32)

    def _shifts(self, model: Vector) -> list[Change]:
        """The change of each module's weights `[d_out, d_in]`."""
        sizes = [module.d_in * module.d_out for module in self.layout.modules]
        pieces = np.split(self.residual(model).astype(np.float64), np.cumsum(sizes)[:-1])
        return [
            piece.reshape(module.d_out, module.d_in)
            for piece, module in zip(pieces, self.layout.modules, strict=True)
        ]

    def _changed(self, adapter: Change, shifts: Sequence[Change]) -> Change:
        return np.concatenate([adapter, *(shift.ravel() for shift in shifts)])


class FedEx(_Shifting, FirstComponents):
    """FedEx-LoRA (arXiv 2410.09432): factors are averaged, and the error of that goes into W0.

    The model moves exactly by sum_n w_n (B_n A_n - B A): what the averaged factors miss of it is
    added to the frozen weights.
    """

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        return FirstComponents.start(self, self.adapter(model), job)

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        adapter = self.adapter(model)
        change = weighted_sum(updates, weights, self.layout.size)
        exact = [np.zeros_like(p) for p in products(self.layout, adapter)]
        for job, update, weight in zip(jobs, updates, weights, strict=True):
            before, after = _own_products(self.layout, adapter, job, update)
            exact = [e + weight * (a - b) for e, a, b in zip(exact, after, before, strict=True)]
        moved = zip(
            products(self.layout, adapter + change), products(self.layout, adapter), strict=True
        )
        missed = [e - (new - old) for e, (new, old) in zip(exact, moved, strict=True)]
        return self._changed(change, missed)


class Flora(_Shifting):
    """FLoRA (arXiv 2409.05976): stacking adapters adds their products, which are merged into W0.

    Every round begins with a fresh adapter of the client's rank: A drawn as PEFT does, B zero. So
    what clients send is their whole adapter, and sum_n w_n B_n A_n goes into the frozen weights.
    """

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        head = self.adapter(model)[self.layout.size - self.layout.head_size :]
        rng = randomness.generator(self.seed, "flora", job.client, job.round)
        pieces = []
        for module in self.layout.modules:
            bound = 1.0 / np.sqrt(module.d_in)  # kaiming_uniform_(a=sqrt(5))
            pieces.append(rng.uniform(-bound, bound, job.rank * module.d_in))
            pieces.append(np.zeros(job.rank * module.d_out))
        return LocalStart(np.concatenate([*pieces, head]).astype(np.float32), job.rank)

    def update(self, model: Vector, job: GradientJob, result: LocalResult) -> Vector:
        """See `Method.update`: the adapter itself, and the change of the head."""
        sent = self.start(model, job).compact + result.change
        head = self.layout.head_size
        sent[len(sent) - head :] = result.change[len(sent) - head :]
        whole = np.zeros(self.layout.size, np.float32)
        first = np.tile(np.arange(job.rank), (len(self.layout.modules), 1))
        whole[self.layout.compact_index(first)] = sent
        return whole

    def combine(
        self,
        model: Vector,
        jobs: Sequence[GradientJob],
        updates: Sequence[Vector],
        weights: Weights,
    ) -> Change:
        """See `Method.combine`."""
        total = [np.zeros((module.d_out, module.d_in)) for module in self.layout.modules]
        for update, weight in zip(updates, weights, strict=True):
            own = products(self.layout, update)
            total = [t + weight * p for t, p in zip(total, own, strict=True)]
        adapter = np.zeros(self.layout.size)
        if head := self.layout.head_size:
            adapter[-head:] = weighted_sum(updates, weights, self.layout.size)[-head:]
        return self._changed(adapter, total)


def _own_products(
    layout: Layout, adapter: Vector, job: GradientJob, update: Vector
) -> tuple[list[Change], list[Change]]:
    """Products of a client's components before and after its training."""
    before = np.zeros(layout.size)
    for module in layout.modules:
        rows = layout.components(adapter, module)[: job.rank]
        layout.components(before, module)[: job.rank] = rows
    return products(layout, before), products(layout, before + update)
