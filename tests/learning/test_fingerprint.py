"""A run's frozen model is known by its weights, and by nothing else."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from tests.learning.conftest import SEED, small_config, trained
from wirelessfl.learning.fingerprint import frozen_weights
from wirelessfl.learning.learner import Learner, build_learner


def test_it_is_the_hash_of_what_is_frozen():
    model = nn.Linear(2, 1)
    model.bias.requires_grad = False
    with torch.no_grad():
        model.bias.fill_(0.5)
    expected = hashlib.sha256(b"torch.float32 (1,);" + bytes.fromhex("0000003f")).hexdigest()
    assert frozen_weights(model) == (expected, 1)


def test_shape_and_type_count_as_much_as_the_numbers():
    def known(tensor: torch.Tensor) -> str:
        module = nn.Module()
        module.weight = nn.Parameter(tensor, requires_grad=False)
        return frozen_weights(module)[0]

    flat = torch.zeros(4)
    hashes = {known(flat), known(flat.reshape(2, 2)), known(torch.zeros(8, dtype=torch.bfloat16))}
    assert len(hashes) == 3


def test_seed_and_training_leave_it_and_another_base_model_changes_it(learner: Learner):
    before = dict(learner.base)
    trained(learner, 0)
    other_seed = build_learner(small_config(), 5, SEED + 1)
    assert other_seed.base == before
    assert frozen_weights(learner._model) == (before["fingerprint"], before["parameters"])
    longer = build_learner(small_config(model={"kind": "tiny-vit", "pretrain_steps": 3}), 5, SEED)
    assert longer.base["fingerprint"] != before["fingerprint"]
