"""What learning asks of air and devices, in bits, operations and bytes; no torch needed.

A training step of m samples and k components per module is bilinear in both:

    cost(m, k) = constant + per_rank k + m (per_sample + per_sample_rank k).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.scenario.adapter import Method, SketchMode, UplinkDtype
from wirelessfl.scenario.local import LocalConfig

UPLINK_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8}
"""Bits of a number of an update on the air."""
NUMBER_BITS = 32  # of a number on the downlink, of a scale of int8
_NUMBER_BYTES = 4  # of a trained number in memory
_MERGING = ("flora", "fedex")  # methods that change the frozen weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Bilinear:
    """constant + per_rank k + m (per_sample + per_sample_rank k)."""

    constant: float
    per_rank: float
    per_sample: float
    per_sample_rank: float

    def __call__(self, samples: ArrayLike, rank: ArrayLike) -> Floats:
        """Cost of one step of `samples` samples and `rank` components; arrays broadcast."""
        m, k = np.asarray(samples, np.float64), np.asarray(rank, np.float64)
        return self.constant + self.per_rank * k + m * (self.per_sample + self.per_sample_rank * k)


@dataclass(frozen=True)
class StepCost:
    """Cost of one local training step.

    Attributes:
        flops: Floating-point operations of the matrix products, forward and backward.
        bytes: Memory traffic without caches.
        activation_bytes: Memory that autograd holds between the passes.
    """

    flops: Bilinear
    bytes: Bilinear
    activation_bytes: Bilinear


@dataclass(frozen=True, eq=False)
class Workload:
    """One round's work of every client, by the rank it trains.

    Attributes:
        samples: |D_n|, samples each client holds. [clients]
        rank: gamma, components per adapted layer.
        d_in: Inputs of each adapted layer. [modules]
        d_out: Outputs of each. [modules]
        head_size: Numbers in the trainable head.
        head_tensors: Tensors they make up.
        base_bytes: Memory of the frozen weights.
        step: Cost of one local step.
        local: Local steps, batch and optimiser.
        uplink_dtype: How updates are written on the uplink.
        method: How the adapter is shared, which says what of it is sent.
        sketch_mode: Whether fslora sketches all of the work or the update alone.
    """

    samples: Ints
    rank: int
    d_in: Ints
    d_out: Ints
    head_size: int
    head_tensors: int
    base_bytes: float
    step: StepCost
    local: LocalConfig
    uplink_dtype: UplinkDtype = "float32"
    method: Method = "fslora"
    sketch_mode: SketchMode = "forward"

    @property
    def weights(self) -> Floats:
        """a_n = |D_n| / |D|. [clients]"""
        return np.asarray(self.samples / self.samples.sum(), np.float64)

    @property
    def component_size(self) -> int:
        """Numbers in one component over all adapted layers: sum of d_in + d_out."""
        return int((self.d_in + self.d_out).sum())

    def trained_numbers(self, rank: ArrayLike) -> Floats:
        """Numbers that a client holds to train: k * sum of (d_in + d_out) + head. [n]"""
        return np.asarray(rank, np.float64) * self.component_size + self.head_size

    def _sent_numbers(self, rank: ArrayLike) -> Floats:
        """Numbers that a client sends; ffa sends no A, fedsa no B. [n]"""
        component = self.component_size
        if self.method in ("ffa", "fedsa"):
            component = int((self.d_out if self.method == "ffa" else self.d_in).sum())
        return np.asarray(np.asarray(rank) * component + self.head_size, np.float64)

    def download_bits(self, rank: ArrayLike) -> Floats:
        """Bits on the air to a client that trains `rank` components. [n]

        In float32 what it will send; which components they are follows from the seed both sides
        know, and costs nothing. Sketches of the update alone need the whole adapter. Of flora and
        fedex only the head: fresh adapters follow from the seed, averaged ones from what was merged
        into the frozen weights, and what a client has missed of that comes on top (`missed_bits`).
        """
        rank = self._used(rank)
        if self.method in _MERGING:
            rank = np.zeros_like(rank)
        return NUMBER_BITS * self._sent_numbers(rank)

    def merged_components(self, ranks: ArrayLike) -> int:
        """Components that say how a round of clients of these ranks changed the frozen weights.

        The stacked adapters (FLoRA, arXiv 2409.05976); fedex also needs the average that was taken
        off, which is the new adapter.
        """
        if self.method not in _MERGING:
            return 0
        return int(np.sum(ranks)) + (self.rank if self.method == "fedex" else 0)

    def missed_bits(self, components: ArrayLike) -> Floats:
        """Bits on the air to a client that has missed so many of them. [n]

        For each layer they, or its whole change where that is less (of fedex with the adapter).
        """
        missed, size = np.asarray(components)[..., None], self.d_in + self.d_out
        whole = self.d_in * self.d_out + (self.rank * size if self.method == "fedex" else 0)
        return np.asarray(NUMBER_BITS * np.minimum(missed * size, whole).sum(-1), np.float64)

    def upload_bits(self, rank: ArrayLike) -> Floats:
        """Bits on the air from a client that trained `rank` components. [n]

        What it trained and shares in `uplink_dtype`; int8 adds a float32 scale for each row of A
        and of B^T of every layer, and for each tensor of the head.
        """
        bits = UPLINK_BITS[self.uplink_dtype] * self._sent_numbers(rank)
        if self.uplink_dtype == "int8":
            factors = 1 if self.method in ("ffa", "fedsa") else 2
            rows = factors * len(self.d_in) * np.asarray(rank)
            bits += NUMBER_BITS * (rows + self.head_tensors)
        return bits

    def local_flops(self, clients: ArrayLike, rank: ArrayLike) -> Floats:
        """Floating-point operations of a round's local training. [n]

        Sketches of the update alone compute with all components, and are counted as if all were
        trained; ffa is counted as if it trained A (upper bounds both).
        """
        return self.local.steps * self.step.flops(self._batch(clients), self._used(rank))

    def local_bytes(self, clients: ArrayLike, rank: ArrayLike) -> Floats:
        """Memory traffic of a round's local training in bytes, as if nothing were cached. [n]"""
        return self.local.steps * self.step.bytes(self._batch(clients), self._used(rank))

    def memory_bytes(self, rank: ArrayLike) -> Floats:
        """Memory that a full batch takes: base, adapter, its optimiser, activations. [n]

        The adapter is held as parameters, gradients and, with momentum, velocities.
        """
        beside = 2 if self.local.momentum > 0 else 1
        held = self.trained_numbers(self._used(rank)) + beside * self.trained_numbers(rank)
        activations = self.step.activation_bytes(self.local.batch, self._used(rank))
        return self.base_bytes + _NUMBER_BYTES * held + activations

    def _used(self, rank: ArrayLike) -> Ints:
        """Components that a client computes with. [n]"""
        rank = np.asarray(rank)
        return np.full_like(rank, self.rank) if self.sketch_mode == "update" else rank

    def _batch(self, clients: ArrayLike) -> Ints:
        """Samples in each local step of the given clients."""
        held: Ints = self.samples[np.asarray(clients)]
        return np.minimum(held, self.local.batch)
