"""Many clients in one pass: the frozen base sees one large batch, each client its own adapter.

The clients of a cohort share every frozen weight, so their batches go through the base model as one
batch of `clients x batch` samples. Only the adapter is per client: a hook on each adapted layer
adds, by batched matrix products over the clients,

    y_n + scaling * (gamma / k_n) * (x_n A_n^T) B_n^T,

with A_n `[k, d_in]` and B_n^T `[k, d_out]` holding just the components the client trains. Summing
the clients' losses keeps their gradients apart, because each loss depends on its own row of the
stacked parameters `[clients, compact]`.

Padding is exact: a client that trains fewer components gets zero rows in A and in B, whose
gradients are zero; a client with fewer samples gets samples of weight zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from wirelessfl.learning.jobs import DivergedError, Update
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalWork
from wirelessfl.learning.task import Samples
from wirelessfl.scenario.learning import LocalConfig

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def train_cohort(
    model: PeftModel,
    layout: Layout,
    samples: Samples,
    config: LocalConfig,
    works: Sequence[LocalWork],
) -> list[Update]:
    """Trains all clients of a cohort side by side.

    Args:
        model: The PEFT model; its adapter is neither read nor changed.
        layout: Places of the adapter's parameters.
        samples: Training set that the works' rows refer to.
        config: Local optimiser.
        works: The cohort; starts, ranks and batch sizes may differ.

    Returns:
        One update per work, in order.

    Raises:
        DivergedError: A client's loss or update is not finite.
    """
    index, scale = _stack_sketches(layout, works)
    starts = torch.from_numpy(np.stack([work.start for work in works]))
    start = F.pad(starts, (0, 1)).gather(1, index)  # one past the end is zero: padding
    rows, weights = _stack_batches(works)

    local = start.clone().requires_grad_()
    velocity = torch.zeros_like(start)
    losses = torch.empty(config.steps, len(works))
    with stacked_adapters(model, layout) as loss_of:
        for step in range(config.steps):
            batch = rows[:, step]
            loss = loss_of(local * scale, samples.inputs[batch], samples.labels[batch], weights)
            (gradient,) = torch.autograd.grad(loss.sum(), local)
            if config.clip_norm is not None:
                norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
                gradient = gradient * (config.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            velocity = config.momentum * velocity + gradient
            with torch.no_grad():
                local -= config.lr * velocity
            losses[step] = loss.detach()

    change = local.detach() - start
    for work, finite in zip(works, (change.sum(1) + losses.sum(0)).isfinite(), strict=True):
        if not finite:
            raise DivergedError(work.job.client, work.job.round)
    deltas = torch.zeros(len(works), layout.size + 1).scatter_(1, index, change)[:, :-1].numpy()
    mean_losses = losses.mean(0).tolist()
    return [
        Update(delta.copy(), loss, work.rows.size)
        for delta, loss, work in zip(deltas, mean_losses, works, strict=True)
    ]


@contextmanager
def stacked_adapters(model: PeftModel, layout: Layout) -> Iterator[Loss]:
    """Puts per-client adapters on the model for the length of the block.

    Yields:
        A function of the stacked parameters, sketch already applied `[clients, compact]`, inputs
        `[clients, batch, ...]`, labels `[clients, batch]` and sample weights `[clients, batch]`,
        that returns every client's loss `[clients]`.
    """
    factors: dict[str, tuple[Tensor, Tensor]] = {}

    def add_lora(name: str, x: Tensor, y: Tensor) -> Tensor:
        a, b = factors[name]
        clients = len(a)
        low = torch.bmm(x.reshape(clients, -1, x.shape[-1]), a.mT)
        return torch.baddbmm(y.reshape(clients, -1, y.shape[-1]), low, b).view(y.shape)

    def apply_head(x: Tensor) -> Tensor:
        weight, bias = factors[layout.head_name]
        stacked = x.reshape(len(weight), -1, x.shape[-1])
        return torch.baddbmm(bias[:, None], stacked, weight.mT).view(*x.shape[:-1], -1)

    def loss_of(parameters: Tensor, inputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        factors.update(_factors(layout, parameters))
        logits = model(inputs.flatten(0, 1)).logits
        loss = F.cross_entropy(logits, labels.flatten(), reduction="none")
        return (loss.view(labels.shape) * weights).sum(1)

    handles = [
        model.get_submodule(module.name).register_forward_hook(
            lambda _, args, y, name=module.name: add_lora(name, args[0], y)
        )
        for module in layout.modules
    ]
    head = model.get_submodule(layout.head_name)
    head.forward = apply_head  # shadows the class's method: the frozen original is not run
    try:
        with model.disable_adapter():
            yield loss_of
    finally:
        del head.forward
        for handle in handles:
            handle.remove()


def _factors(layout: Layout, parameters: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Cuts stacked compact vectors into A `[clients, k, d_in]`, B^T `[clients, k, d_out]`, head."""
    clients, compact = parameters.shape
    rank = (compact - layout.head_size) // layout.component_size
    pieces = iter(torch.split(parameters, layout.compact_sizes(rank), dim=1))
    factors = {}
    for module in layout.modules:
        a, b = next(pieces), next(pieces)
        factors[module.name] = (
            a.view(clients, rank, module.d_in),
            b.view(clients, rank, module.d_out),
        )
    weight, bias = (
        piece.view(clients, *parameter.shape)
        for piece, parameter in zip(pieces, layout.head, strict=True)
    )
    factors[layout.head_name] = (weight, bias)
    return factors


def _stack_sketches(layout: Layout, works: Sequence[LocalWork]) -> tuple[Tensor, Tensor]:
    """Places and factors `[clients, compact]` that turn a global vector into sketched adapters.

    The factors fold S and LoRA's own scaling into A: gamma / k_n * scaling there, 1 elsewhere.
    """
    most = max(work.active.shape[1] for work in works)
    active = np.full((len(works), len(layout.modules), most), -1)
    for n, work in enumerate(works):
        active[n, :, : work.active.shape[1]] = work.active
    sizes = torch.tensor(layout.compact_sizes(most))
    scalings = torch.ones(len(sizes))
    scalings[0 : 2 * len(layout.modules) : 2] = torch.tensor([m.scaling for m in layout.modules])
    sketched = torch.zeros(len(sizes), dtype=torch.bool)
    sketched[0 : 2 * len(layout.modules) : 2] = True
    gain = torch.tensor([[layout.rank / work.active.shape[1]] for work in works])
    scale = torch.where(sketched, gain * scalings, scalings)
    index = torch.from_numpy(layout.compact_index(active))
    return index, scale.repeat_interleave(sizes, dim=1)


def _stack_batches(works: Sequence[LocalWork]) -> tuple[Tensor, Tensor]:
    """Rows `[clients, steps, batch]` and weights `[clients, batch]`, padded to the largest batch.

    A sample weighs 1 / (its client's batch size) and padding nothing, so a sum is the mean.
    """
    steps = len(works[0].rows)
    widest = max(work.rows.shape[1] for work in works)
    rows = torch.zeros(len(works), steps, widest, dtype=torch.int64)
    weights = torch.zeros(len(works), widest)
    for n, work in enumerate(works):
        batch = work.rows.shape[1]
        rows[n, :, :batch] = torch.from_numpy(work.rows)
        weights[n, :batch] = 1.0 / batch
    return rows, weights
