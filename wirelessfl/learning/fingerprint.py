"""What a run's frozen model was, in one number: two runs from equal weights have equal ones."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def frozen_weights(model: nn.Module) -> tuple[str, int]:
    """SHA-256 (hexadecimal) of the parameters that are not trained, and how many numbers they are.

    Type, shape and bytes of each parameter count, in the model's own order; its name does not,
    since that is up to the libraries.
    """
    digest, numbers = hashlib.sha256(), 0
    for parameter in model.parameters():
        if not parameter.requires_grad:
            digest.update(f"{parameter.dtype} {tuple(parameter.shape)};".encode())
            flat = parameter.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
            numbers += parameter.numel()
    return digest.hexdigest(), numbers
