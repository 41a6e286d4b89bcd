"""Models that mix samples up are found, whatever their shapes, and can be trained one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from tests.learning.architectures import _DECODER, _ENCODER, MAKERS, VOCABULARY, base, samples
from tests.learning.checkpoints import save_checkpoint
from tests.learning.test_huggingface import LABELS, SCENARIO, write_reviews
from wirelessfl.errors import InputError
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.layout import layout_of
from wirelessfl.learning.stackable import unstackable
from wirelessfl.scenario import load
from wirelessfl.scenario.lora import LoraConfig
from wirelessfl.simulation import simulate


def deberta() -> hf.PreTrainedModel:
    """Its layers read relative positions too, `[1, positions, width]`, beside the samples."""
    config = hf.DebertaV2Config(
        **_ENCODER,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        max_relative_positions=20,
        type_vocab_size=0,
    )
    return hf.DebertaV2ForSequenceClassification(config)


def xlnet() -> hf.PreTrainedModel:
    """It computes with `[length, samples, width]`."""
    config = hf.XLNetConfig(
        vocab_size=VOCABULARY, d_model=16, n_layer=1, n_head=2, d_inner=24, num_labels=3
    )
    return hf.XLNetForSequenceClassification(config)


class Routed(nn.Module):
    """An expert that sees the tokens that choose it."""

    def __init__(self, width: int, least: float):
        super().__init__()
        self.least = least
        self.expert = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        chosen = x[..., 0] > self.least
        y = torch.zeros_like(x)
        y[chosen] = self.expert(x[chosen])
        return y


def routed(least: float = 0.0) -> hf.PreTrainedModel:
    model = hf.LlamaForSequenceClassification(hf.LlamaConfig(**_DECODER))
    model.model.layers[1].mlp = Routed(16, least)
    return model


def chosen_by_none() -> hf.PreTrainedModel:
    return routed(1e9)


# The weight of that module is read, and the module never called.
DETACHED = {"targets": ("query_proj",), "trained": ("rel_embeddings",)}


def found(name: str, lora: dict) -> str | None:
    model = add_adapter(base(name), LoraConfig(rank=2, **lora), seed=3)
    return unstackable(model, layout_of(model), samples(name, 4))


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_usual_models_stack(name: str):
    assert found(name, {}) is None


@pytest.mark.parametrize(
    ("make", "lora", "where"),
    [
        (routed, {"trained": ("score",)}, "layers.1.mlp.expert"),
        (chosen_by_none, {"trained": ("score",)}, "layers.1.mlp.expert"),
        (deberta, {}, "layer.0.attention.self.pos_key_proj"),
        (
            deberta,
            DETACHED,
            "rel_embeddings.modules_to_save.default",
        ),
        (xlnet, {"trained": ("logits_proj",)}, "layer.0.ff.layer_1"),
        (xlnet, {"targets": ("layer_1",), "trained": ("word_embedding",)}, "ff.layer_1"),
    ],
)
def test_others_are_found_by_the_layer(
    make, lora: dict, where: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(MAKERS, "other", (make, ("classifier",)))
    name = found("other", lora)
    assert name is not None
    assert name.endswith(where)


def test_what_the_cohort_refuses_trains_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MAKERS, "deberta", (deberta, ("classifier",)))
    write_reviews(tmp_path)
    save_checkpoint("deberta", tmp_path / "checkpoint")
    (tmp_path / "own.yaml").write_text(SCENARIO.format(task=LABELS), encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot stack .*pos_key_proj.*engine: reference"):
        simulate(load(tmp_path / "own.yaml"))
    trace = simulate(load(tmp_path / "own.yaml", ["learning.engine=reference"]))
    assert trace.rounds["loss"].nunique() > 1
