"""Whether a model computes sample after sample, which is what stacking clients rests on.

A stacked layer takes its input apart into the clients' samples along the first axis. A layer that
reads something else (relative positions in DeBERTa, sequences before samples in XLNet, the tokens
that chose an expert) would mix the clients up, and by chance of its shape without an error. So it
is tried: samples that go through the model in one batch must reach every trained layer as what
reaches it of each alone, one after another and as much of each. Nor can parameters be stacked that
a model reads without calling the layer they belong to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from peft import PeftModel
from torch import Tensor

from wirelessfl.learning.layout import Layout, trained_layers
from wirelessfl.learning.task import Samples

_SAMPLES = 4  # each may choose other experts
_ROUNDING = 1e-3  # of the largest number, by which copies may differ


def unstackable(model: PeftModel, layout: Layout, samples: Samples) -> str | None:
    """Name of the first trained layer whose input is not sample after sample; None if all are."""
    lora = [module.name for module in layout.modules]
    wrappers = sorted({parameter.wrapper for parameter in layout.head})
    trained = [name for wrapper in wrappers for name, _ in trained_layers(model, wrapper)]
    rows = torch.arange(min(_SAMPLES, len(samples)), device=samples.labels.device)
    together = samples.take(rows.repeat(2) if len(rows) == 1 else rows)
    batch = layer_inputs(model, lora + trained, together, slice(None))
    each = [
        layer_inputs(model, lora + trained, together, slice(n, n + 1)) for n in range(len(together))
    ]
    for name in lora + trained:
        read_without_a_call = name in trained and not batch[name]
        calls = zip(batch[name], *(alone[name] for alone in each), strict=False)
        as_often = all(len(alone[name]) == len(batch[name]) for alone in each)
        if read_without_a_call or not as_often or not all(_in_turn(*call) for call in calls):
            return name
    return None


def layer_inputs(
    model: PeftModel, names: Sequence[str], samples: Samples, part: slice
) -> Mapping[str, list[Tensor]]:
    """What enters each layer, call after call, when some of the samples go through."""
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen[name].append(args[0])
        )
        for name in names
    ]
    try:
        with torch.no_grad():
            model(**{name: values[part] for name, values in samples.inputs.items()})
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _in_turn(batch: Tensor, *each: Tensor) -> bool:
    """Whether the batch is the samples, one after another; nothing at all does not tell."""
    if not len(batch) or any(len(batch) != len(each) * len(alone) for alone in each):
        return False
    every = torch.cat(each)
    return bool((batch - every).abs().max() <= _ROUNDING * every.abs().max())
