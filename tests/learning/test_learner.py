from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load
from torch.nn import functional as F  # noqa: N812

from tests.learning.conftest import SEED, small_config, trained
from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import apply, weighted_sum
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import Learner, build_learner
from wirelessfl.learning.tiny_vit import tiny_vit
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.tasks import DigitsTask


def test_weights_are_shares_of_the_data(learner: Learner):
    assert learner.samples.sum() == len(digits_task().train)
    np.testing.assert_allclose(learner.workload.weights, learner.samples / learner.samples.sum())
    assert learner.workload.weights.sum() == pytest.approx(1.0)


def test_the_seed_decides_the_first_adapter_and_b_starts_at_zero(learner: Learner):
    same, other = (build_learner(small_config(), 5, seed) for seed in (SEED, SEED + 1))
    assert learner.initial.tobytes() == same.initial.tobytes()
    assert learner.initial.tobytes() != other.initial.tobytes()
    for module in learner.layout.modules:
        components = learner.layout.components(learner.initial, module)
        assert not components[:, module.d_in :].any()
        assert components[:, : module.d_in].any()


def test_automatic_targets_are_every_attention_and_mlp_layer(learner: Learner):
    names = [module.name.rpartition(".")[2] for module in learner.layout.modules]
    assert names == ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"] * 2


def test_an_unknown_target_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"query.*q_proj"):
        build_learner(small_config(lora={"targets": ["query"]}), 5, 0)


def test_payload_at_full_rank_is_the_saved_adapter_to_the_byte(learner: Learner):
    files = learner.adapter_files(learner.initial, learner.method())
    tensors = load(files["adapter_model.safetensors"]).values()
    assert learner.workload.download_bits(learner.rank) == 8 * sum(t.nbytes for t in tensors)


def test_payload_at_lower_rank_is_what_an_update_can_carry(learner: Learner):
    start = trained(learner, 0)
    for rank in (1, 3, 8):
        [update] = learner.train([GradientJob(0, 2, 1, rank)], {0: start}, learner.method())
        assert learner.workload.download_bits(rank) == 32 * np.count_nonzero(update.delta)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # asked by PEFT
def test_a_saved_adapter_gives_the_same_logits_in_peft(learner: Learner, tmp_path: Path):
    vector = trained(learner, 1)
    for name, data in learner.adapter_files(vector, learner.method()).items():
        (tmp_path / name).write_bytes(data)
    base = tiny_vit(learner._config.model, digits_task()).model.eval()
    loaded = PeftModel.from_pretrained(base, str(tmp_path))
    learner.layout.write(learner._model, vector)
    inputs = digits_task().test.inputs["pixel_values"]
    with torch.no_grad():
        assert torch.equal(loaded(inputs).logits, learner._model(inputs).logits)


def test_saving_twice_gives_the_same_bytes(learner: Learner):
    one, two = (learner.adapter_files(trained(learner, 1), learner.method()) for _ in range(2))
    assert one == two
    assert set(one) == {"adapter_model.safetensors", "adapter_config.json"}


def test_evaluation_is_the_plain_mean_over_the_test_set(learner: Learner):
    vector = trained(learner, 2)
    result = learner.evaluate(vector, learner.method())
    learner.layout.write(learner._model, vector)
    test = digits_task().test
    with torch.no_grad():
        logits = learner._model(**test.inputs).logits
    assert set(result) == set(DigitsTask.metrics)
    assert result["loss"] == pytest.approx(F.cross_entropy(logits, test.labels).item(), abs=1e-5)
    right = (logits.argmax(1) == test.labels).float().mean().item()
    assert result["accuracy"] == pytest.approx(right)


def test_an_unchanged_model_is_not_evaluated_again(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
):
    vector = trained(learner, 3)
    first = learner.evaluate(vector, learner.method())
    first_copy = dict(first)
    first["loss"] = 0.0  # a caller's change does not reach the memory
    monkeypatch.setattr(learner, "_model", None)
    assert learner.evaluate(vector.copy(), learner.method()) == first_copy


def test_aggregation_adds_weighted_updates_in_double_precision():
    model = np.zeros(3, np.float32)
    deltas = [np.full(3, value, np.float32) for value in (1e8, 1.0, -1e8)]
    weights = np.ones(3)
    assert weighted_sum(deltas, weights, 3).tolist() == [1.0] * 3
    assert apply(model, weighted_sum(deltas, weights, 3), 0.5).tolist() == [0.5] * 3
    assert apply(model, weighted_sum([], np.empty(0), 3), 0.5).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="zip"):
        weighted_sum(deltas, weights[:2], 3)


@pytest.mark.slow
def test_the_default_scenario_learns():
    learner = build_learner(LearningConfig(), clients=40, seed=1)
    model = learner.initial
    for round in range(30):
        clients = np.random.default_rng(round).choice(40, size=10, replace=False)
        jobs = [GradientJob(round, int(client), round, learner.rank) for client in clients]
        deltas = [update.delta for update in learner.train(jobs, {round: model}, learner.method())]
        weights = learner.workload.weights[clients] / 0.25
        model = apply(model, weighted_sum(deltas, weights, learner.parameters), 1.0)
    before, after = (learner.evaluate(m, learner.method()) for m in (learner.initial, model))
    assert before["accuracy"] < 0.3
    assert after["accuracy"] > 0.7
    assert after["loss"] < 0.5 * before["loss"]
