"""One client after another through PEFT's own forward pass: the plain reading of the method.

Nothing is stacked, gathered or padded: the global adapter is loaded into the PEFT model, a hook on
each `lora_A` multiplies its output by the diagonal of S, and torch's own SGD takes the steps. The
cohort engine has to agree with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import nn
from torch.nn import functional as F  # noqa: N812

from wirelessfl.learning.jobs import DivergedError, Update
from wirelessfl.learning.layout import ADAPTER, Layout
from wirelessfl.learning.local import LocalWork
from wirelessfl.learning.sketch import sketch_diagonal
from wirelessfl.learning.task import Samples
from wirelessfl.scenario.learning import LocalConfig


def train_one_by_one(
    model: PeftModel,
    layout: Layout,
    samples: Samples,
    config: LocalConfig,
    works: Sequence[LocalWork],
) -> list[Update]:
    """Trains clients one by one; arguments, result and errors as for `train_cohort`."""
    return [_train(model, layout, samples, config, work) for work in works]


def _train(
    model: PeftModel, layout: Layout, samples: Samples, config: LocalConfig, work: LocalWork
) -> Update:
    layout.write(model, work.start)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=config.lr, momentum=config.momentum)
    losses = []
    with _sketched(model, layout, work.active):
        for rows in torch.from_numpy(work.rows):
            loss = F.cross_entropy(model(samples.inputs[rows]).logits, samples.labels[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            if config.clip_norm is not None:
                nn.utils.clip_grad_norm_(trainable, config.clip_norm)
            optimizer.step()
            losses.append(loss.item())
    delta = layout.read(model) - work.start
    if not (np.isfinite(losses).all() and np.isfinite(delta).all()):
        raise DivergedError(work.job.client, work.job.round)
    return Update(delta, float(np.mean(losses)), work.rows.size)


@contextmanager
def _sketched(model: PeftModel, layout: Layout, active: NDArray[np.int64]) -> Iterator[None]:
    """PEFT's forward pass with B S A in place of B A, for the length of the block."""
    diagonals = torch.from_numpy(sketch_diagonal(active, layout.rank))
    handles = [
        model.get_submodule(f"{module.name}.lora_A.{ADAPTER}").register_forward_hook(
            lambda _, args, low, diagonal=diagonal: low * diagonal
        )
        for module, diagonal in zip(layout.modules, diagonals, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
