from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.task import Samples


def rows(samples: Samples) -> list[bytes]:
    return [image.tobytes() for image in samples.inputs["pixel_values"].numpy()]


def test_no_image_is_in_two_sets_and_none_is_lost():
    task = digits_task()
    everything = rows(task.source) + rows(task.train) + rows(task.test)
    images = load_digits().data
    assert len(everything) == len(images)
    assert len(set(everything)) == len(np.unique(images, axis=0))


def test_pre_training_sees_only_the_first_five_classes():
    assert set(digits_task().source.labels.tolist()) == set(range(5))


def test_clients_and_the_test_set_hold_all_ten_classes():
    task = digits_task()
    assert set(task.classes.tolist()) == set(range(10))
    for samples in (task.train, task.test):
        assert set(samples.labels.tolist()) == set(range(10))
    shares = torch.bincount(task.test.labels) / len(task.test)
    assert shares.min() > 0.09


def test_pixels_are_scaled_to_the_unit_interval_around_zero():
    inputs = digits_task().train.inputs["pixel_values"]
    assert inputs.shape[1:] == (1, 8, 8)
    assert (inputs.min().item(), inputs.max().item()) == (-1.0, 1.0)
