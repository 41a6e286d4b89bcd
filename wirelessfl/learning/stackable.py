"""Whether a model computes sample after sample, which is what stacking clients rests on.

A stacked layer takes its input apart into the clients' samples along the first axis. A layer that
reads something else (relative positions in DeBERTa, sequences before samples in XLNet) would mix
the clients up, and by chance of its shape without an error. So it is tried: a sample that goes
through the model twice in one batch must reach every trained layer as two copies of what reaches it
alone. Nor can parameters be stacked that a model reads without calling the layer they belong to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from peft import PeftModel
from torch import Tensor

from wirelessfl.learning.layout import Layout, trained_layers
from wirelessfl.learning.task import Samples

_ROUNDING = 1e-3  # of the largest number, by which copies may differ


def unstackable(model: PeftModel, layout: Layout, samples: Samples) -> str | None:
    """Name of the first trained layer whose input is not sample after sample; None if all are."""
    lora = [module.name for module in layout.modules]
    wrappers = sorted({parameter.wrapper for parameter in layout.head})
    trained = [name for wrapper in wrappers for name, _ in trained_layers(model, wrapper)]
    one, two = (_inputs(model, lora + trained, samples, copies) for copies in (1, 2))
    for name in lora + trained:
        read_without_a_call = name in trained and not one[name]
        if read_without_a_call or not all(map(_copied, one[name], two[name])):
            return name
    return None


def _inputs(
    model: PeftModel, names: Sequence[str], samples: Samples, copies: int
) -> Mapping[str, list[Tensor]]:
    """What enters each layer, call after call, when the first sample goes through in copies."""
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen[name].append(args[0])
        )
        for name in names
    ]
    rows = torch.zeros(copies, dtype=torch.int64, device=samples.labels.device)
    try:
        with torch.no_grad():
            model(**samples.take(rows).inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _copied(one: Tensor, two: Tensor) -> bool:
    if len(two) != 2 * len(one):
        return False
    off = (two.reshape(2, -1) - one.reshape(1, -1)).abs().max()
    return bool(off <= _ROUNDING * one.abs().max())
