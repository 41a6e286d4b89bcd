"""How the tiny base models get their past: AdamW with a warm-up and a cosine, on one thread."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from wirelessfl.learning.threads import torch_threads


def made_with() -> dict[str, Any]:
    """What beside a recipe decides the last bits of pre-trained weights, as JSON values."""
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "machine": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
    }


def pretrain(
    model: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    peak_lr: float,
    progress: Callable[[float], None],
) -> None:
    """Trains all of a model in place.

    Args:
        model: In training mode.
        loss: Loss of the model on the next batch.
        steps: Optimiser steps.
        peak_lr: Largest learning rate.
        progress: Told the fraction done after every step.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warmup_cosine(step, steps)
    )
    with torch_threads(1):
        for step in range(steps):
            value = loss()
            optimizer.zero_grad()
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress((step + 1) / steps)


def _warmup_cosine(step: int, steps: int) -> float:
    """Share of the peak learning rate: linear over a twentieth of the steps, then half a cosine."""
    warmup = max(1, steps // 20)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
