"""What a learning task is: samples to train on and to be judged by, as a model reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

IGNORED = -100
"""Label of a token that is not predicted, as in transformers."""


@dataclass(frozen=True)
class Samples:
    """Samples of one set.

    Attributes:
        inputs: Arguments of the model by name, `[samples, ...]`. Sequences are padded on the right;
            `attention_mask` says where they end.
        labels: A class for each sample `[samples]`, or the tokens themselves `[samples, length]`,
            each predicted from those before it; IGNORED where nothing is predicted.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor, multiple: int = 1) -> Samples:
        """The samples at `rows` `[n]`, cut to the longest sequence among them.

        Args:
            rows: Which.
            multiple: Sequences are cut to a multiple of this, if they are as long.
        """
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        labels = self.labels[rows]
        if (mask := inputs.get("attention_mask")) is None:
            return Samples(inputs, labels)
        longest = -(-int(mask.sum(1).max()) // multiple) * multiple
        inputs = {name: values[:, :longest] for name, values in inputs.items()}
        return Samples(inputs, labels[:, :longest] if labels.ndim == 2 else labels)

    def to(self, device: torch.device) -> Samples:
        """The samples on another device."""
        inputs = {name: values.to(device) for name, values in self.inputs.items()}
        return Samples(inputs, self.labels.to(device))

    @property
    def predictions(self) -> Tensor:
        """Predictions that each sample's loss is the sum of `[samples]`: 1, or its tokens."""
        if self.labels.ndim == 1:
            return torch.ones(len(self), dtype=torch.int64)
        return (self.labels[:, 1:] != IGNORED).sum(1)


@dataclass(frozen=True)
class Task:
    """A federated task.

    Attributes:
        train: What the clients hold together.
        test: What the server evaluates on.
        classes: Class of every training sample, which Dirichlet and shard partitions go by
            `[train]`.
        owners: Natural owner of every training sample (an author, a package), numbered from 0
            `[train]`; None where there is none.
        metrics: What evaluation tells: loss, and accuracy (classes) or perplexity (tokens).
        source: What central pre-training of a tiny model may see; None if there is nothing.
        fingerprint: SHA-256 of the data.
        class_names: What the classes are called; empty is their numbers.
    """

    train: Samples
    test: Samples
    classes: NDArray[np.int64]
    owners: NDArray[np.int64] | None
    metrics: tuple[str, ...]
    source: Samples | None
    fingerprint: str
    class_names: tuple[str, ...] = ()


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample `[samples]`, summed over its predictions, in float32.

    Args:
        logits: `[samples, classes]`, or `[samples, length, vocabulary]`.
        labels: As `Samples.labels`.
    """
    if labels.ndim == 1:
        return F.cross_entropy(logits.float(), labels, reduction="none")
    ahead = logits[:, :-1].float().transpose(1, 2)
    each = F.cross_entropy(ahead, labels[:, 1:], ignore_index=IGNORED, reduction="none")
    return each.sum(1)
