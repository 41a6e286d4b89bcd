from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from tests.learning.conftest import small_config
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.tiny_vit import tiny_vit
from wirelessfl.scenario.base_model import TinyVit


def test_pre_training_reports_progress_once_and_is_then_remembered():
    config = small_config(model={"pretrain_steps": 5}).model
    heard: list[float] = []
    first = tiny_vit(config, digits_task(), lambda _, fraction: heard.append(fraction)).model
    assert heard == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    again = tiny_vit(config, digits_task(), lambda _, fraction: heard.append(fraction)).model
    assert len(heard) == 5
    assert all(map(torch.equal, first.parameters(), again.parameters()))


def test_building_a_model_leaves_torchs_own_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    tiny_vit(small_config(model={"pretrain_steps": 4}).model, digits_task())
    assert torch.equal(torch.rand(1), expected)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="3 heads do not divide a width of 16"):
        TinyVit(hidden=16, heads=3)


@pytest.mark.slow
def test_pre_training_is_useful_for_classes_it_saw_and_says_nothing_about_the_rest():
    task = digits_task()
    model = tiny_vit(TinyVit(), task).model
    with torch.no_grad():
        logits = model(**task.test.inputs).logits
    accuracy = (logits.argmax(1) == task.test.labels).float().mean().item()
    assert accuracy < 0.3  # the head is fresh: guessing one class gives 0.1
