"""Methods that add up products B A, which is what the model sees of an adapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wirelessfl import randomness
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.local import LocalResult, LocalStart
from wirelessfl.learning.methods.averaging import FedIt
from wirelessfl.learning.methods.factors import Floats, nearest_factors, products


class _Products(FedIt):
    """A `Method` whose global model is the adapter, then T `[d_out, d_in]` of every layer.

    T is what the layers have got of all updates: a client asks for scaling (B_n A_n - B A), with
    B_n A_n of its own rank. Its sum is exact, and unbiased under independent sampling. What the
    adapter does not hold of T is in the frozen weights.
    """

    shifts_base = True

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        return self._joined(adapter, products(self.layout, adapter))

    def change(self, model: Vector, job: GradientJob, sent: Vector) -> Vector:
        """See `Method.change`: of the factors, padded with zeros, and of their products."""
        factors, adapter = super().change(model, job, sent), self.adapter(model)
        before = products(self.layout, adapter)
        after = products(self.layout, adapter.astype(np.float64) + factors)
        return self._joined(factors, [new - old for new, old in zip(after, before, strict=True)])

    def adapter(self, model: Vector) -> Vector:
        """See `Method.adapter`."""
        return model[: self.layout.size]

    def residual(self, model: Vector) -> Vector | None:
        """See `Method.residual`: T - scaling B A."""
        held = [product.ravel() for product in products(self.layout, model)]
        return np.asarray(model[self.layout.size :] - np.concatenate(held), np.float32)

    def _joined(self, adapter: Vector, dense: Sequence[Floats]) -> Vector:
        return np.concatenate([adapter, *(layer.ravel() for layer in dense)], dtype=np.float32)

    def _head_alone(self, adapter: Vector) -> Vector:
        """Zero, but for the head of an adapter."""
        alone = np.zeros(self.layout.size, np.float32)
        head = self.layout.size - self.layout.head_size
        alone[head:] = adapter[head:]
        return alone


class FedEx(_Products):
    """FedEx-LoRA (arXiv 2410.09432): factors are averaged, and the error of that goes into W0.

    The paper has equal ranks; unequal ones are padded as in `FedIt`.
    """


class FlexLora(_Products):
    """FlexLoRA (arXiv 2402.11505): products are added up, an SVD gives each client its best k.

    The global model is the best adapter of rank gamma; its components are singular directions,
    largest first, so the first k of them are the best of rank k. The sum is unbiased, its SVD is
    not. What a client cannot hold is missing from its product, so directions that few hold shrink
    round by round (the rank collapse of arXiv 2602.13486).
    """

    shifts_base = False

    def initial(self, adapter: Vector) -> Vector:
        """See `Method.initial`."""
        self._fresh = adapter
        return super().initial(adapter)

    def change(self, model: Vector, job: GradientJob, sent: Vector) -> Vector:
        """See `Method.change`: of the products and the head; the factors follow from those."""
        change = super().change(model, job, sent)
        change[: self.layout.size] = self._head_alone(sent)
        return change

    def settled(self, model: Vector) -> Vector:
        """See `Method.settled`: the nearest adapter of rank gamma, and its products."""
        dense = [layer.astype(np.float64) for layer in self.layout.dense(model[self.layout.size :])]
        adapter = nearest_factors(self.layout, dense, self._fresh)
        head = self.layout.size - self.layout.head_size
        adapter[head:] = model[head : self.layout.size]
        return super().initial(adapter)

    def residual(self, model: Vector) -> Vector | None:
        """See `Method.residual`: the adapter holds all of T."""
        return None


class Flora(_Products):
    """FLoRA (arXiv 2409.05976): stacking adapters adds their products, which are merged into W0.

    Every round begins with a fresh adapter of the client's rank: A drawn as PEFT does, B zero. So
    what clients send is their whole adapter, and its product is their change.
    """

    def start(self, model: Vector, job: GradientJob) -> LocalStart:
        """See `Method.start`."""
        head = model[self.layout.size - self.layout.head_size : self.layout.size]
        rng = randomness.generator(self.seed, "flora", job.client, job.round)
        pieces = []
        for module in self.layout.modules:
            bound = 1.0 / np.sqrt(module.d_in)  # kaiming_uniform_(a=sqrt(5))
            pieces.append(rng.uniform(-bound, bound, job.rank * module.d_in))
            pieces.append(np.zeros(job.rank * module.d_out))
        return LocalStart(np.concatenate([*pieces, head]).astype(np.float32), job.rank)

    def update(self, job: GradientJob, start: LocalStart, result: LocalResult) -> Vector:
        """See `Method.update`: the adapter itself, and the change of the head."""
        lora = len(start.compact) - self.layout.head_size
        own = result.change.copy()
        own[:lora] += start.compact[:lora]
        return super().update(job, start, LocalResult(own, result.loss))

    def change(self, model: Vector, job: GradientJob, sent: Vector) -> Vector:
        """See `Method.change`: the product of what was sent, and the head's change."""
        return self._joined(self._head_alone(sent), products(self.layout, sent))
