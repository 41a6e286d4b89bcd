"""A trained model as files that PEFT loads."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import save

from wirelessfl.learning.jobs import Vector
from wirelessfl.learning.layout import ADAPTER, Layout
from wirelessfl.learning.methods.factors import exact_factors, products


def adapter_files(
    model: PeftModel, layout: Layout, adapter: Vector, residual: Vector | None
) -> dict[str, bytes]:
    """The files of a PEFT adapter, which `PeftModel.from_pretrained` loads, by name.

    What a method merged into the frozen weights is written as an adapter too, of as many
    components as that takes: exact but for rounding, though it may be larger than the weights.

    Args:
        model: The model, whose own adapter becomes the one given.
        layout: Places of the adapter's parameters.
        adapter: The adapter and head `[parameters]`.
        residual: Change of the frozen weights, as `Layout.dense` reads it; None is none.
    """
    layout.write(model, adapter)
    tensors = {
        name: value.cpu().contiguous() for name, value in get_peft_model_state_dict(model).items()
    }
    config = copy.copy(model.peft_config[ADAPTER])
    if residual is not None:
        own = products(layout, adapter)
        merged = layout.dense(residual)
        whole = [product + dense for product, dense in zip(own, merged, strict=True)]
        rank, factors = exact_factors(layout, whole)
        for name, (a, b) in factors.items():
            tensors[f"{name}.lora_A.weight"] = torch.from_numpy(a)
            tensors[f"{name}.lora_B.weight"] = torch.from_numpy(b)
        config.r = config.lora_alpha = rank  # type: ignore[attr-defined]
        config.use_rslora = False  # type: ignore[attr-defined]
    # PEFT keeps the names in a set, and a set is not written in the same order every time.
    config.target_modules = sorted(config.target_modules)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        written = (Path(folder) / CONFIG_NAME).read_bytes()
    return {SAFETENSORS_WEIGHTS_NAME: save(tensors, {"format": "pt"}), CONFIG_NAME: written}
