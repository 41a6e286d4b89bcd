"""Whether a model gives the same when its blocks compute only what counts.

See `packed_blocks` for what that rests on. A model that is written otherwise is found out by its
logits, its gradients, what its layers see, or an error, and keeps its padded batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import Tensor, nn

from wirelessfl.learning.layout import Layout
from wirelessfl.learning.out_of_memory import is_out_of_memory
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.task import Samples

_ROUNDING = 1e-5  # of the largest number; 310 architectures: right ones 4e-7, wrong ones 4e-5
_TIMES = 4.0  # what rounding does in the model, found to do at most 2 times that
_MOST_ROUNDING = 1e-4  # where one could not tell any more


def packed_blocks(model: PeftModel, layout: Layout, samples: Samples) -> PackedBlocks | None:
    """The model's blocks, if it gives the same with them and there is something to gain.

    Within the blocks, all that is trained has to be LoRA beside float32 weights. The longest and
    the shortest sample go through with random numbers for an adapter, for the way that saves most
    first. What rounding does in the model is seen from an adapter whose numbers are one bit off.
    """
    blocks = _blocks(model)
    if blocks is None:
        return None
    name, every = blocks
    within = [m.name for m in layout.modules if m.name.startswith(f"{name}.")]
    layers = [model.get_submodule(own).get_base_layer() for own in within]  # type: ignore[operator]
    if any(layer.weight.dtype != torch.float32 for layer in layers):
        return None
    if any(parameter.wrapper.startswith(f"{name}.") for parameter in layout.head):
        return None
    mask = samples.inputs.get("attention_mask")
    lengths = torch.ones(len(samples)) if mask is None else mask.sum(1)
    batch = samples.take(torch.stack([lengths.argmax(), lengths.argmin()]))
    rng = np.random.default_rng(0)
    draws = rng.normal(scale=0.1, size=layout.size)
    by_a_bit = draws * (1 + rng.choice([-1.0, 1.0], size=layout.size) * 2.0**-23)
    with _adapter(model, layout, by_a_bit), torch.enable_grad():
        moved = _logits_and_gradients(model, batch)
    with _adapter(model, layout, draws), torch.enable_grad():
        padded = _logits_and_gradients(model, batch)
        near = [_TIMES * _apart(*pair) for pair in zip(moved, padded, strict=True)]
        read = _tokens_read(model, every[-1], batch)
        if read is None:
            return None
        classifies = batch.labels.ndim == 1
        reads_first_only = classifies and len(read) > 1 and not read[1:].any()
        for first_only in (True, False):
            if not (reads_first_only if first_only else mask is not None):
                continue
            found = PackedBlocks(every, len(read), first_only)
            packed = _tried(model, found, within, batch)
            if packed is not None and all(map(_near, packed, padded, near)):
                return found
    return None


def _blocks(model: PeftModel) -> tuple[str, nn.ModuleList] | None:
    """The model's one list of blocks, and its name."""
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    outer = [(n, m) for n, m in lists if not any(n.startswith(f"{o}.") for o, _ in lists)]
    return outer[0] if len(outer) == 1 else None


@contextmanager
def _adapter(model: PeftModel, layout: Layout, values: NDArray[np.float64]) -> Iterator[None]:
    """The model with this adapter, whatever it holds."""
    before = layout.read(model)
    layout.write(model, values.astype(np.float32))
    try:
        yield
    finally:
        layout.write(model, before)


def _logits_and_gradients(model: PeftModel, batch: Samples) -> list[Tensor]:
    """Of real tokens, and of the adapter for a sum of logits that are weighted at random."""
    logits = model(**batch.inputs).logits
    mask = batch.inputs.get("attention_mask")
    if mask is not None and batch.labels.ndim == 2:
        logits = logits[mask.bool()]
    trained = [p for p in model.parameters() if p.requires_grad]
    weights = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0))
    total = (logits * weights.to(logits.device)).sum()
    gradients = torch.autograd.grad(total, trained, allow_unused=True)
    return [logits.detach(), torch.cat([g.flatten() for g in gradients if g is not None])]


def _tokens_read(model: PeftModel, last: nn.Module, batch: Samples) -> Tensor | None:
    """Whether each token of the last block's output moves the logits `[tokens]`.

    None if that block is never called, or does not give `[samples, tokens, width]`.
    """
    seen: list[Tensor | None] = []

    def watch(_: nn.Module, args: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        if not isinstance(hidden, Tensor) or hidden.dim() != 3:
            return seen.append(None)
        hidden = hidden.detach().requires_grad_()
        seen.append(hidden)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = last.register_forward_hook(watch)
    try:
        logits = model(**batch.inputs).logits
    finally:
        handle.remove()
    if not seen or seen[-1] is None:
        return None
    [gradient] = torch.autograd.grad(logits.square().sum(), [seen[-1]])
    return gradient.abs().amax((0, 2)) > 0


def _tried(
    model: PeftModel, found: PackedBlocks, within: Sequence[str], batch: Samples
) -> list[Tensor] | None:
    """Logits and gradients by these blocks; None if layers within do not see packed rows."""
    fits: list[bool] = []

    def check(_: nn.Module, args: Any) -> None:
        fits.append(args[0].shape[:2] == (1, found.rows))

    handles = [model.get_submodule(name).register_forward_pre_hook(check) for name in within]
    try:
        with found.applied(model):
            found.begin(batch.inputs.get("attention_mask"), 1)
            packed = _logits_and_gradients(model, batch)
    except Exception as error:  # whatever a model that is written for padded batches comes to
        if is_out_of_memory(error):
            raise
        return None
    finally:
        for handle in handles:
            handle.remove()
    return packed if fits and all(fits) else None


def _near(one: Tensor, other: Tensor, rounding: float) -> bool:
    """Whether they are the same but for what rounding was seen to do in this model."""
    if one.shape != other.shape:
        return False
    return _apart(one, other) <= min(max(_ROUNDING, rounding), _MOST_ROUNDING)


def _apart(one: Tensor, other: Tensor) -> float:
    """How far they differ, of the largest number."""
    return float((one - other).abs().max() / other.abs().max())
