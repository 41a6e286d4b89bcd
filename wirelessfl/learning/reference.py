"""One client after another through PEFT's own forward pass: the plain reading of the method.

Nothing is stacked, gathered or padded: a client's components are loaded into the PEFT model (those
it does not have are zero there), a hook on each `lora_A` multiplies its output by the client's
gain, and torch's own optimiser takes the steps. The cohort engine has to agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from wirelessfl.learning.layout import ADAPTER
from wirelessfl.learning.local import LocalResult, LocalWork
from wirelessfl.learning.task import sample_losses
from wirelessfl.learning.workbench import Workbench


def train_one_by_one(bench: Workbench, works: Sequence[LocalWork]) -> list[LocalResult]:
    """Trains clients one by one; arguments and result as for `train_cohort`."""
    return [_train(bench, work) for work in works]


def _train(bench: Workbench, work: LocalWork) -> LocalResult:
    layout, config, start = bench.layout, bench.local, work.start
    places = layout.first_index(start.rank)
    vector = np.zeros(layout.size, np.float32)
    vector[places] = start.compact
    layout.write(bench.model, vector)
    trainable = [parameter for parameter in bench.model.parameters() if parameter.requires_grad]
    frozen = _frozen(bench, work, places)
    if config.optimizer == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            trainable, lr=config.lr, momentum=config.momentum
        )
    else:
        optimizer = torch.optim.AdamW(trainable, lr=config.lr, weight_decay=config.weight_decay)
    losses, every = [], bench.samples.predictions
    with _gained(bench, start.gain), _dropping(bench, work) as begin_pass:
        for step, rows in enumerate(torch.from_numpy(work.rows)):
            optimizer.zero_grad()
            predictions = every[rows].sum().clamp(min=1)
            losses.append(0.0)
            for number, part in enumerate(bench.passes(len(rows))):
                batch = bench.samples.take(rows[part])
                begin_pass(step, number)
                with bench.precision():
                    logits = bench.model(**batch.inputs).logits
                loss = sample_losses(logits, batch.labels).sum() / predictions
                torch.autograd.backward(loss)
                losses[-1] += loss.item()
            for parameter, still in frozen:
                assert parameter.grad is not None
                parameter.grad[still] = 0.0
            if config.clip_norm is not None:
                nn.utils.clip_grad_norm_(trainable, config.clip_norm)
            before = [parameter.detach()[still].clone() for parameter, still in frozen]
            optimizer.step()
            with torch.no_grad():
                for (parameter, still), values in zip(frozen, before, strict=True):
                    parameter[still] = values  # AdamW shrinks even what has no gradient
    change = (layout.read(bench.model) - vector)[places]
    return LocalResult(change, float(np.mean(losses)))


def _frozen(
    bench: Workbench, work: LocalWork, places: np.ndarray
) -> list[tuple[nn.Parameter, Tensor]]:
    """Trainable parameters of the model, and where in them this client may change nothing."""
    if work.start.trained is None:
        return []
    still = np.zeros(bench.layout.size, np.float32)
    still[places] = ~work.start.trained
    held = {
        name: p.detach().clone() for name, p in bench.model.named_parameters() if p.requires_grad
    }
    bench.layout.write(bench.model, still)
    parameters = dict(bench.model.named_parameters())
    frozen = [(parameters[name], parameters[name].detach() > 0.5) for name in held]
    with torch.no_grad():
        for name, values in held.items():
            parameters[name].copy_(values)
    return frozen


@contextmanager
def _gained(bench: Workbench, gain: float) -> Iterator[None]:
    """PEFT's forward pass with gain * B A in place of B A, for the length of the block."""
    handles = [
        bench.model.get_submodule(f"{module.name}.lora_A.{ADAPTER}").register_forward_hook(
            lambda _, args, low: low * gain
        )
        for module in bench.layout.modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _dropping(bench: Workbench, work: LocalWork) -> Iterator[Callable[[int, int], None]]:
    """Drops numbers on their way into A; yields what has to be told of each pass."""
    where = {"step": 0, "number": 0}
    handles: list[RemovableHandle] = []

    def begin_pass(step: int, number: int) -> None:
        where.update(step=step, number=number)

    def drop(x: Tensor, module: int) -> Tensor:
        mask = bench.dropout_mask(work, module=module, shape=tuple(x.shape), **where)
        return x * mask

    if bench.dropout:
        for number, module in enumerate(bench.layout.modules):
            a = bench.model.get_submodule(f"{module.name}.lora_A.{ADAPTER}")
            handles.append(
                a.register_forward_pre_hook(lambda _, args, number=number: (drop(args[0], number),))
            )
    try:
        yield begin_pass
    finally:
        for handle in handles:
            handle.remove()
