"""A change of the frozen weights for a while, for methods that merge updates into them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel

from wirelessfl.learning.jobs import Vector
from wirelessfl.learning.layout import Layout


@contextmanager
def shifted(model: PeftModel, layout: Layout, residual: Vector | None) -> Iterator[None]:
    """Adds a change to the frozen weights of adapted layers for the length of the block.

    Args:
        model: The model.
        layout: Places of its adapter's parameters.
        residual: The change, as `Layout.dense` reads it; None is none.
    """
    if residual is None:
        yield
        return
    weights = []
    for module, dense in zip(layout.modules, layout.dense(residual), strict=True):
        layer = model.get_submodule(module.name)
        weight = layer.get_base_layer().get_parameter("weight")  # type: ignore[operator]
        weights.append((weight, weight.detach().clone()))
        shift = torch.tensor(dense)
        shift = shift.T if layer.fan_in_fan_out else shift
        weight.data += shift.to(weight)
    try:
        yield
    finally:
        for weight, before in weights:
            weight.data.copy_(before)
