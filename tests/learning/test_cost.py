from __future__ import annotations

import numpy as np
import pytest

from tests.learning.conftest import BuildLearner
from wirelessfl.learning.cost import count_step
from wirelessfl.learning.learner import Learner


@pytest.mark.parametrize(("batch", "rank"), [(2, 1), (3, 8), (16, 1), (16, 8), (13, 5)])
def test_counts_are_bilinear_in_batch_and_rank(batch: int, rank: int, learner: Learner):
    counted = count_step(learner._bench, batch, rank)
    cost = learner.workload.step
    predicted = [f(batch, rank) for f in (cost.flops, cost.bytes, cost.activation_bytes)]
    np.testing.assert_allclose(predicted, counted, rtol=5e-3)
    assert predicted[0] == pytest.approx(counted[0], rel=1e-12)


def test_flops_are_those_of_the_matrix_products(learner: Learner):
    """Forward, gradients of inputs, and of LoRA's and the head's weights; none of frozen ones."""
    model, lora = learner._config.model, learner.layout
    tokens, width, classes = 17, model.hidden, 10  # 4 x 4 patches and the class token
    products = sum(module.d_in * module.d_out for module in lora.modules)
    first = 3  # q, k and v of the first layer: nothing before them is trained
    patches = 2 * 16 * 2**2 * width
    frozen = 2 * tokens * (2 * products - first * width**2)
    attention = 3 * model.layers * 2 * (2 * tokens**2 * width)
    head = 3 * 2 * width * classes
    per_rank = 2 * tokens * (3 * lora.component_size - first * width)
    flops = learner.workload.step.flops
    assert flops.per_sample == pytest.approx(patches + frozen + attention + head, rel=1e-12)
    assert flops.per_sample_rank == pytest.approx(per_rank, rel=1e-12)
    assert (flops.constant, flops.per_rank) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_a_round_costs_its_steps_times_the_samples_of_a_step(learner: Learner):
    clients = np.array([int(np.argmin(learner.samples)), int(np.argmax(learner.samples))])
    held = np.minimum(learner.samples[clients], 16)
    assert held[0] < held[1] == 16
    flops = learner.workload.local_flops(clients, np.array([4, 4]))
    assert flops[1] / flops[0] == pytest.approx(held[1] / held[0])
    assert flops[1] == pytest.approx(3 * learner.workload.step.flops(16, 4))
    assert np.all(np.diff(learner.workload.local_bytes(clients, 4)) > 0)


def test_memory_holds_base_adapter_optimiser_and_activations(build: BuildLearner):
    plain, momentum = build(), build(local={"momentum": 0.9})
    base = 4 * sum(p.numel() for p in plain._model.parameters() if not p.requires_grad)
    copies = [
        memory - base - plain.workload.step.activation_bytes(16, 4)
        for memory in (plain.workload.memory_bytes(4), momentum.workload.memory_bytes(4))
    ]
    payload = plain.workload.download_bits(4) / 8
    np.testing.assert_allclose(copies, [2 * payload, 3 * payload])
