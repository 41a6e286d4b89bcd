"""What a learning task is: labelled samples in three sets that share no sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Samples:
    """Model inputs `[samples, ...]` and class labels `[samples]`."""

    inputs: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """A federated task and the data its base model was pre-trained on.

    Attributes:
        classes: Number of classes of the federated task.
        source: What central pre-training may see.
        train: What the clients hold together.
        test: What the server evaluates on.
    """

    classes: int
    source: Samples
    train: Samples
    test: Samples
