from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import get_peft_model_state_dict

from tests.learning.conftest import trained
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.sketch import active_components


def test_what_is_written_into_the_model_is_read_back(learner: Learner):
    vector = trained(learner, 3)
    learner.layout.write(learner._model, vector)
    assert learner.layout.read(learner._model).tobytes() == vector.tobytes()


def test_the_vector_holds_exactly_what_peft_trains(learner: Learner):
    trainable = sum(p.numel() for p in learner._model.parameters() if p.requires_grad)
    saved = sum(t.numel() for t in get_peft_model_state_dict(learner._model).values())
    assert learner.parameters == trainable == saved


def test_a_component_is_a_row_of_a_and_a_column_of_b(learner: Learner):
    layout, model = learner.layout, learner._model
    vector = np.arange(learner.parameters, dtype=np.float32)
    layout.write(model, vector)
    index = layout.compact_index(np.full((len(layout.modules), 1), 5))
    pieces = np.split(index, np.cumsum(layout.compact_sizes(1)))
    for m, module in enumerate(layout.modules):
        a = model.get_parameter(f"{module.name}.lora_A.default.weight")
        b = model.get_parameter(f"{module.name}.lora_B.default.weight")
        assert torch.equal(a[5], torch.from_numpy(vector[pieces[2 * m]]))
        assert torch.equal(b[:, 5], torch.from_numpy(vector[pieces[2 * m + 1]]))


def test_all_components_and_the_head_make_up_the_vector(learner: Learner):
    layout = learner.layout
    modules = len(layout.modules)
    active = active_components(0, 0, 0, layout.rank, layout.rank, modules, per_module=True)
    index = layout.compact_index(active)
    assert np.array_equal(np.sort(index), np.arange(layout.size))


def test_padding_adds_components_after_those_there_are(learner: Learner):
    layout = learner.layout
    compact = np.arange(1.0, sum(layout.compact_sizes(2)) + 1, dtype=np.float32)
    padded = np.zeros(sum(layout.compact_sizes(3)), np.float32)
    padded[layout.padded_index(2, 3)] = compact
    for short, long in zip(layout.factors(compact, 2), layout.factors(padded, 3), strict=True):
        for two, three in zip(short, long, strict=True):
            assert (two == three[:2]).all()
            assert (three[2] == 0).all()
    assert (compact[-layout.head_size :] == padded[-layout.head_size :]).all()


def test_a_vector_of_another_length_is_refused(learner: Learner):
    with pytest.raises(ValueError, match="shape"):
        learner.layout.write(learner._model, learner.initial[:-1])
