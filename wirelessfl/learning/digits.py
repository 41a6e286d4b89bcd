"""The digits task: real handwriting that scikit-learn already carries, so nothing is downloaded.

1,797 images of 8 x 8 pixels (the test part of UCI "Optical Recognition of Handwritten Digits"). Of
every class a fifth is held out for testing; of the classes 0 to 4, a third of the rest is the
source on which the base model is pre-trained, so fine-tuning meets five classes it has never seen.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from wirelessfl import randomness
from wirelessfl.learning.task import Samples, Task

SOURCE_CLASSES = 5
_SPLIT_SEED = 0


@cache
def digits_task() -> Task:
    """The task, the same in every process: the split does not depend on a scenario's seed."""
    images, labels = load_digits(return_X_y=True)
    inputs = (images / 8.0 - 1.0).astype(np.float32).reshape(-1, 1, 8, 8)  # 0..16 to -1..1
    source, train, test = _split(labels)

    def samples(rows: NDArray[np.int64]) -> Samples:
        return Samples(
            {"pixel_values": torch.from_numpy(inputs[rows])}, torch.from_numpy(labels[rows])
        )

    digest = hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()
    return Task(
        train=samples(train),
        test=samples(test),
        classes=labels[train],
        owners=None,
        metrics=("loss", "accuracy"),
        source=samples(source),
        fingerprint=digest,
    )


def _split(
    labels: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Disjoint rows of the source, train and test sets, each stratified by class."""
    source, train, test = [], [], []
    for digit in range(10):
        rng = randomness.generator(_SPLIT_SEED, "digits-split", digit)
        rows = rng.permutation(np.flatnonzero(labels == digit))
        held_out, rest = np.split(rows, [len(rows) // 5])
        known, private = np.split(rest, [len(rest) // 3 if digit < SOURCE_CLASSES else 0])
        source.append(known)
        train.append(private)
        test.append(held_out)
    return np.concatenate(source), np.concatenate(train), np.concatenate(test)
