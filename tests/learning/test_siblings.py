"""Which adapted layers are taken to read the same."""

from __future__ import annotations

from typing import Any

import pytest
from peft import PeftModel

from tests.learning.architectures import base, samples
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.layout import layout_of
from wirelessfl.learning.siblings import siblings
from wirelessfl.scenario.lora import LoraConfig


def model_of(name: str) -> PeftModel:
    return add_adapter(base(name), LoraConfig(rank=2), seed=3)


def groups(model: PeftModel, name: str) -> list[set[str]]:
    layout = layout_of(model)
    found = siblings(model, layout, samples(name, 3))
    assert sorted(n for group in found for n in group) == list(range(len(layout.modules)))
    return [{layout.modules[n].name.rpartition(".")[2] for n in group} for group in found]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "llama",
            [{"q_proj", "k_proj", "v_proj"}, {"o_proj"}, {"gate_proj", "up_proj"}, {"down_proj"}],
        ),
        ("bert", [{"query", "key", "value"}, {"dense"}, {"dense"}, {"dense"}]),
        ("gpt2", [{"c_attn"}, {"c_proj"}, {"c_fc"}, {"c_proj"}]),
    ],
)
def test_queries_keys_and_values_read_the_same_and_so_do_gates(name: str, expected: list[set[str]]):
    found = groups(model_of(name), name)
    assert found[: len(expected)] == found[len(expected) : 2 * len(expected)] == expected


def test_a_layer_that_is_called_twice_is_alone():
    model = model_of("llama")
    attention = model.get_submodule("base_model.model.model.layers.0.self_attn")

    def once_more(module: Any, _: Any, kwargs: Any) -> None:
        module.k_proj(kwargs["hidden_states"])

    attention.register_forward_pre_hook(once_more, with_kwargs=True)
    found = groups(model, "llama")
    assert {"k_proj"} in found and {"q_proj", "v_proj"} in found
