"""The trainable part of the model, made by PEFT: LoRA on linear layers plus a trainable head."""

from __future__ import annotations

import warnings

import peft
import torch
from torch import nn
from transformers import PreTrainedModel

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.scenario.learning import LoraConfig


def add_adapter(base: PreTrainedModel, config: LoraConfig, head: str, seed: int) -> peft.PeftModel:
    """Freezes `base` and adds the adapter; A is random (from the seed), B zero, as PEFT does.

    Args:
        base: Pre-trained model; it becomes part of the result.
        config: Rank, scaling and target layers.
        head: Name of the linear layer that is trained in full.
        seed: The scenario's seed.

    Raises:
        InputError: A target layer does not exist.
    """
    linear = {
        name.rpartition(".")[2]
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear)
    } - {head}
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
        modules_to_save=[head],
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT 0.21 asks a transformers 5 model for a property by its old name.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        torch.manual_seed(randomness.subseed(seed, "adapter"))
        return peft.get_peft_model(base, settings).eval()
