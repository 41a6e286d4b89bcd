"""Whether a model gives the same when its blocks compute only what counts.

See `packed_blocks` for what that rests on. A model that is written otherwise is found out by its
logits, by what its layers see, or by an error, and keeps its padded batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from wirelessfl.learning.layout import Layout
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.task import Samples

_ROUNDING = 1e-4  # of the largest number, by which logits may differ


def packed_blocks(model: PeftModel, layout: Layout, samples: Samples) -> PackedBlocks | None:
    """The model's blocks, if it gives the same with them and there is something to gain.

    Within the blocks, all that is trained has to be LoRA beside float32 weights. The longest and
    the shortest sample go through, for the way that saves most first.
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
    found = PackedBlocks(every)
    if _reads_first_only(model, every[-1], batch):
        found.first_only = True
        if _same(model, found, within, batch):
            return found
        found.first_only = False
    return found if mask is not None and _same(model, found, within, batch) else None


def _blocks(model: PeftModel) -> tuple[str, nn.ModuleList] | None:
    """The model's one list of blocks, and its name."""
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    outer = [(n, m) for n, m in lists if not any(n.startswith(f"{o}.") for o, _ in lists)]
    return outer[0] if len(outer) == 1 else None


def _reads_first_only(model: PeftModel, last: nn.Module, batch: Samples) -> bool:
    """Whether a classifier's logits have gradients in first tokens alone."""
    if batch.labels.ndim == 2:
        return False
    seen: list[Tensor] = []

    def watch(_: nn.Module, args: Any, output: Any) -> Any:
        hidden = (output if isinstance(output, Tensor) else output[0]).detach().requires_grad_()
        seen.append(hidden)
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    handle = last.register_forward_hook(watch)
    try:
        logits = model(**batch.inputs).logits
    finally:
        handle.remove()
    weights = torch.arange(1.0, 1 + logits.numel(), device=logits.device).view(logits.shape)
    [gradient] = torch.autograd.grad((logits * weights).sum(), seen[-1:])
    by_token = gradient.abs().amax(-1).amax(0)
    return bool(by_token[0] > 0 and not by_token[1:].any())


def _same(model: PeftModel, found: PackedBlocks, within: Sequence[str], batch: Samples) -> bool:
    """Whether logits are the model's own, and the layers within the blocks see packed rows."""
    fits: list[bool] = []

    def check(_: nn.Module, args: Any) -> None:
        fits.append(args[0].shape[:2] == (1, found.rows))

    handles = [model.get_submodule(name).register_forward_pre_hook(check) for name in within]
    mask = batch.inputs.get("attention_mask")
    with torch.no_grad():
        try:
            found.begin(mask, 1)
            with found.applied(model):
                packed = model(**batch.inputs).logits
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False  # it is written for padded batches alone, and gets them
        finally:
            for handle in handles:
                handle.remove()
        padded = model(**batch.inputs).logits
    if not (fits and all(fits) and packed.shape == padded.shape):
        return False
    if mask is not None and batch.labels.ndim == 2:
        packed, padded = packed[mask.bool()], padded[mask.bool()]
    return bool((packed - padded).abs().max() <= _ROUNDING * padded.abs().max())
