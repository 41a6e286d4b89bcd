"""Many clients in one pass: the frozen base sees one large batch, each client its own adapter.

The clients of a cohort share every frozen weight, so their batches go through the base model as one
batch of `clients x batch` samples. Only the adapter is per client: a hook on each adapted layer
adds, by batched matrix products over the clients,

    y_n + scaling * gain_n * (x_n A_n^T) B_n^T,

with A_n `[k, d_in]` and B_n^T `[k, d_out]` holding just the components the client computes with.
Summing the clients' losses keeps their gradients apart, because each loss depends on its own row of
the stacked parameters `[clients, compact]`.

Padding is exact: a client with fewer components gets zero rows in A and in B, whose gradients are
zero; a client with fewer samples gets samples of weight zero; shorter sequences are masked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wirelessfl.errors import InputError
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.local import LocalResult, LocalWork
from wirelessfl.learning.optimizer import StackedOptimizer, stacked_optimizer
from wirelessfl.learning.passes import LENGTHS, cut, longest_first
from wirelessfl.learning.stacked import Dropout, stacked_adapters
from wirelessfl.learning.token_loss import losses_of
from wirelessfl.learning.workbench import Workbench
from wirelessfl.scenario.local import LocalConfig

Place = NDArray[np.int64] | slice
"""Where a client's compact vector lies in its row of a stack."""


def train_cohort(bench: Workbench, works: Sequence[LocalWork]) -> list[LocalResult]:
    """Trains all clients of a cohort side by side.

    Args:
        bench: Model, data and optimiser; the model's own adapter is neither read nor changed.
        works: The cohort; starts, ranks and batch sizes may differ.

    Returns:
        One result per work, in order; not finite where training diverged.

    Raises:
        InputError: The model does not compute sample after sample.
    """
    if bench.unstackable is not None:
        raise InputError(
            f"learning.engine: cohort cannot stack {bench.unstackable}, which is not computed "
            "sample after sample; write engine: reference"
        )
    config, layout, device = bench.local, bench.layout, bench.device
    places, local, trained = _stack_starts(layout, works)
    local, gains = local.to(device).requires_grad_(), _gains(layout, works).to(device)
    rows, valid = (stacked.to(device) for stacked in _stack_batches(works))
    trained = None if trained is None else trained.to(device)
    passes = [bench.passes(rows.shape[2])] * config.steps
    mask = bench.samples.inputs.get("attention_mask")
    packed = bench.packed_blocks
    if packed is not None:
        first = rows[:, 0, passes[0][0]]
        tokens = first.numel() * packed.tokens if mask is None else int(mask[first].sum())
        packed = packed if packed.worth_it(tokens) else None
    if mask is not None and not (packed or bench.dropout):  # draws belong to the config's passes
        rows, longest = longest_first(rows, valid, mask)
        most = config.micro_batch or rows.shape[2]
        passes = [cut(lengths, len(works), most) for lengths in longest]

    predicted = bench.samples.predictions.to(device)[rows] * valid[:, None]
    weights = valid[:, None] / predicted.sum(2, keepdim=True).clamp(min=1)
    optimizer = stacked_optimizer(config)
    losses = torch.zeros(config.steps, len(works), device=device)
    fused, head = not (bench.dropout or bench.half), bench.vocabulary_head
    with (
        stacked_adapters(bench, fused, packed) as forward,
        losses_of(bench.model, head) as sample_losses,
    ):

        def gradient_of(step: int) -> Tensor:
            """Of the clients' losses in a step, which are noted `[clients, compact]`."""
            gradient: Tensor | None = None
            for number, part in enumerate(passes[step]):
                batch = bench.samples.take(rows[:, step, part].flatten(), LENGTHS)
                dropout = Dropout(bench, works, step, number, part) if bench.dropout else None
                with bench.precision():
                    output = forward(local, gains, batch, valid[:, part].flatten(), dropout)
                each = sample_losses(output, batch.labels).view(len(works), -1)
                loss = (each * weights[:, step, part]).sum(1)
                losses[step] += loss.detach()
                (own,) = torch.autograd.grad(loss.sum(), local)
                gradient = own if gradient is None else gradient.add_(own)
            assert gradient is not None
            return gradient

        for step in range(config.steps):
            _step(local, gradient_of(step), trained, optimizer, config)

    changed = local.detach().cpu().numpy()
    mean_losses = losses.mean(0).tolist()
    return [
        LocalResult(row[place] - work.start.compact, loss)
        for row, place, work, loss in zip(changed, places, works, mean_losses, strict=True)
    ]


def _step(
    local: Tensor,
    gradient: Tensor,
    trained: Tensor | None,
    optimizer: StackedOptimizer,
    config: LocalConfig,
) -> None:
    """Changes the clients' parameters by a step, and the gradient on the way.

    All but the last two are `[clients, compact]`.
    """
    with torch.no_grad():
        if trained is not None:
            gradient *= trained
        if config.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            gradient *= (config.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        before = local.clone() if trained is not None and config.weight_decay else local
        optimizer.step(local, gradient)
        if trained is not None and config.weight_decay:
            local.copy_(torch.where(trained, local, before))  # AdamW shrinks what has no gradient


def _stack_starts(
    layout: Layout, works: Sequence[LocalWork]
) -> tuple[list[Place], Tensor, Tensor | None]:
    """Where each client's parameters are in its row, the rows, and what may change, if not all."""
    most = max(work.start.rank for work in works)
    ranks = {work.start.rank for work in works}
    places: dict[int, Place] = {rank: layout.padded_index(rank, most) for rank in ranks - {most}}
    places[most] = slice(None)
    start = np.zeros((len(works), sum(layout.compact_sizes(most))), np.float32)
    for n, work in enumerate(works):
        start[n, places[work.start.rank]] = work.start.compact
    mask = None
    if any(work.start.trained is not None for work in works):
        trained = np.ones(start.shape, bool)
        for n, work in enumerate(works):
            if work.start.trained is not None:
                trained[n, places[work.start.rank]] = work.start.trained
        mask = torch.from_numpy(trained)
    return [places[work.start.rank] for work in works], torch.from_numpy(start), mask


def _gains(layout: Layout, works: Sequence[LocalWork]) -> Tensor:
    """Gain times LoRA's scaling, of each client in each module `[clients, modules]`."""
    gains = torch.tensor([work.start.gain for work in works])
    return torch.outer(gains, torch.tensor([module.scaling for module in layout.modules]))


def _stack_batches(works: Sequence[LocalWork]) -> tuple[Tensor, Tensor]:
    """Rows `[clients, steps, batch]`, padded to the largest batch, and which are real, as 1 or 0.

    `[clients, batch]`
    """
    steps = len(works[0].rows)
    widest = max(work.rows.shape[1] for work in works)
    rows = torch.zeros(len(works), steps, widest, dtype=torch.int64)
    valid = torch.zeros(len(works), widest)
    for n, work in enumerate(works):
        batch = work.rows.shape[1]
        rows[n, :, :batch] = torch.from_numpy(work.rows)
        rows[n, :, batch:] = rows[n, :, :1]  # no longer than what is there
        valid[n, :batch] = 1.0
    return rows, valid
