"""What a model's shapes say about its work, against counting on the real model."""

from __future__ import annotations

import warnings

import numpy as np
import peft
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from peft.tuners.lora import Linear as LoraLinear
from transformers import AutoModel, BertConfig, DistilBertConfig, GPT2Config, LlamaConfig, ViTConfig

from tests.learning.conftest import small_config
from wirelessfl.errors import InputError
from wirelessfl.learning.learner import build_learner
from wirelessfl.learning.model_size import parameters, sized_workload
from wirelessfl.learning.partition import holdings, partition
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.models import ModelSize, model_sizes
from wirelessfl.scenario.tasks import NoTask

SHAPES = [(48, 2, 4), (32, 3, 2), (96, 2, 8), (128, 4, 4)]


def timed(config: LearningConfig) -> LearningConfig:
    return config.model_copy(update={"task": NoTask()})


@pytest.mark.parametrize(("hidden", "layers", "heads"), SHAPES)
@pytest.mark.parametrize("targets", ["auto", ("q_proj", "k_proj", "v_proj", "fc2")])
@pytest.mark.slow
def test_the_tiny_vit_costs_what_counting_says(hidden, layers, heads, targets):
    model = {"hidden": hidden, "layers": layers, "heads": heads}
    config = small_config(model=model, lora={"targets": targets})
    real = build_learner(config, 5, 0).workload
    shapes = sized_workload(timed(config), 5, 0)
    clients, ranks = np.arange(5), np.array([1, 2, 4, 8, 8])
    assert_array_equal(shapes.download_bits(ranks), real.download_bits(ranks))
    assert_array_equal(shapes.samples, real.samples)
    assert_allclose(
        shapes.local_flops(clients, ranks), real.local_flops(clients, ranks), rtol=1e-12
    )
    assert_allclose(shapes.local_bytes(clients, ranks), real.local_bytes(clients, ranks), rtol=0.15)
    assert_allclose(shapes.memory_bytes(ranks), real.memory_bytes(ranks), rtol=0.15)


@pytest.mark.parametrize("name", model_sizes())
def test_parameters_add_up_to_the_published_number(name: str):
    size = model_sizes()[name]
    assert parameters(size) == pytest.approx(size.parameters, rel=0.015)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("bert-base", BertConfig()),
        ("distilbert-base", DistilBertConfig()),
        ("gpt2", GPT2Config()),
        ("vit-base", ViTConfig()),
        (
            "llama-3.2-1b",
            LlamaConfig(
                hidden_size=2048,
                num_hidden_layers=16,
                num_attention_heads=32,
                num_key_value_heads=8,
                intermediate_size=8192,
                vocab_size=128256,
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_shapes_are_those_that_peft_adapts_in_the_real_architecture(name: str, config):
    size = model_sizes()[name]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = AutoModel.from_config(config)
        total = sum(p.numel() for p in base.parameters())
        layers = r"(.*\.)?(layers?|h)\.\d+\."
        adapter = peft.LoraConfig(
            r=1, target_modules=layers + ".*(" + "|".join(_real_names(size)) + ")"
        )
        model = peft.get_peft_model(base, adapter)
    found = [m for m in model.modules() if isinstance(m, LoraLinear)]
    component = sum(m.in_features + m.out_features for m in found)
    products = sum(m.in_features * m.out_features for m in found)
    shapes = [shape for layer in size.linear.values() for shape in layer]
    assert component == size.layers * sum(a + b for a, b in shapes)
    assert products == size.layers * sum(a * b for a, b in shapes)
    assert parameters(size) == pytest.approx(total, rel=0.015)


def _real_names(size: ModelSize) -> list[str]:
    """Names in the installed transformers; the ViT's were renamed in version 5."""
    renamed = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]
    return [*size.linear, *(renamed if size.patch else [])]


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "dirichlet", "alpha": 0.3},
        {"kind": "iid", "sizes": "balanced"},
        {"kind": "iid", "sizes": "lognormal"},
        {"kind": "shards", "per_client": 3},
    ],
    ids=lambda kind: kind["kind"],
)
def test_clients_hold_as_much_as_of_a_real_task(kind: dict):
    config = small_config(partition=kind).partition
    labels = np.random.default_rng(0).integers(10, size=1003)
    for seed in range(3):
        owned = partition(config, labels, 17, seed)
        assert_array_equal(holdings(config, 1003, 17, seed), [len(rows) for rows in owned])


def test_a_causal_model_pays_for_its_vocabulary_at_every_token():
    def flops(tokens: int) -> float:
        task = {"kind": "none", "tokens": tokens}
        model = {"kind": "sized", "name": "gemma-3-270m"}
        config = LearningConfig.model_validate({"task": task, "model": model})
        workload = sized_workload(config, 3, 0)
        assert workload.head_size == 0
        return workload.step.flops.per_sample / tokens

    size = model_sizes()["gemma-3-270m"]
    products = sum(a * b for layer in size.linear.values() for a, b in layer)
    inputs = 640 * (1024 + 256 + 256)
    attention = 12 * 64 * 1024 * 18
    head = 4 * 640 * 262144
    assert flops(64) == pytest.approx(4 * 18 * products - 2 * inputs + attention + head, rel=1e-12)


def test_an_unknown_target_is_refused():
    config = timed(small_config(lora={"targets": ("q_prj",)}))
    with pytest.raises(InputError, match=r"learning.lora.targets.*did you mean 'q_proj'"):
        sized_workload(config, 5, 0)
