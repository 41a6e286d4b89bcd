"""The trainable part of the model, made by PEFT: LoRA on linear layers plus a trainable head."""

from __future__ import annotations

import warnings

import peft
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.base import Base
from wirelessfl.scenario.lora import LoraConfig


def add_adapter(base: Base, config: LoraConfig, seed: int) -> peft.PeftModel:
    """Freezes `base` and adds the adapter; A is random (from the seed), B zero, as PEFT does.

    Args:
        base: Pre-trained model; it becomes part of the result.
        config: Rank, scaling, target layers and what is trained in full.
        seed: The scenario's seed.

    Raises:
        InputError: A target layer does not exist.
    """
    model, trained = base.model, base.head if config.trained == "auto" else config.trained
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := set(trained) - names:
        raise InputError(
            f"learning.lora.trained: this model has no module {', '.join(sorted(missing))}"
        )
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not set(name.split(".")) & set(trained)
    }
    linear -= {name for name, _ in model.named_children() if name == "lm_head"}
    targets = linear if config.targets == "auto" else set(config.targets)
    if unknown := targets - linear:
        raise InputError(
            f"learning.lora.targets: no linear layer is called {', '.join(sorted(unknown))}; "
            f"this model has {', '.join(sorted(linear))}"
        )
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=sorted(targets),
        modules_to_save=list(trained) or None,
        use_rslora=config.rslora,
        fan_in_fan_out=any(  # as GPT-2 stores its weights
            isinstance(module, Conv1D) and name.rpartition(".")[2] in targets
            for name, module in model.named_modules()
        ),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 asks a transformers 5 model for a property by its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        torch.manual_seed(randomness.subseed(seed, "adapter"))
        return peft.get_peft_model(model, settings).eval()
