"""How good a model is on held-out data."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from peft import PeftModel
from transformers import PretrainedConfig

from wirelessfl.learning.fast_layers import FastLayers
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.task import Samples, sample_losses

_BATCH = 128
_BYTES = 256e6  # of logits, of which a language model has a vocabulary's worth per token
_MOST_LOSS = 700.0  # whose exponential is still a number


def evaluation_batch(model: PeftModel, test: Samples) -> int:
    """Samples that are evaluated at once; fewer where their logits would not fit."""
    if test.labels.ndim == 1:
        return _BATCH
    config: PretrainedConfig = model.get_base_model().config  # type: ignore[assignment]
    logits = 4 * test.labels.shape[1] * config.vocab_size
    return max(1, min(_BATCH, int(_BYTES // logits)))


def metrics(
    model: PeftModel,
    test: Samples,
    precision: Callable[[], AbstractContextManager[object]],
    packed: PackedBlocks | None = None,
    fast: FastLayers | None = None,
) -> dict[str, float]:
    """Loss, accuracy (of classes) and perplexity of the model as it stands.

    Args:
        model: The model.
        test: Held-out samples, on its device.
        precision: Makes the context to compute in.
        packed: The model's blocks, to compute only what counts.
        fast: The model's layers that need fewer passes over memory.
    """
    loss, right = 0.0, 0
    with (
        torch.no_grad(),  # and not inference_mode, whose tensors `packed` could not keep
        packed.applied(model) if packed is not None else nullcontext(),
        fast.applied() if fast is not None else nullcontext(),
    ):
        every = torch.arange(len(test), device=test.labels.device)
        for rows in torch.split(every, evaluation_batch(model, test)):
            batch = test.take(rows)
            if packed is not None:
                packed.begin(batch.inputs.get("attention_mask"), 1)
            with precision():
                logits = model(**batch.inputs).logits
            loss += sample_losses(logits, batch.labels).double().sum().item()
            if batch.labels.ndim == 1:
                right += int((logits.argmax(1) == batch.labels).sum())
    loss /= int(test.predictions.sum())
    return {
        "loss": loss,
        "accuracy": right / len(test),
        "perplexity": math.exp(min(loss, _MOST_LOSS)),
    }
