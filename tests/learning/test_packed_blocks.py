"""Which models compute only what counts, that they do, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from peft import PeftModel
from torch import nn

from tests.learning.architectures import _DECODER, _ENCODER, MAKERS, VOCABULARY, base, samples
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.evaluation import metrics
from wirelessfl.learning.layout import layout_of
from wirelessfl.learning.packable import packed_blocks
from wirelessfl.learning.packed_blocks import PackedBlocks
from wirelessfl.learning.task import Samples
from wirelessfl.scenario.lora import LoraConfig

FIRST_ONLY = {"bert", "roberta", "distilbert", "vit"}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "use_cache": False}


def model_of(name: str, **lora: Any) -> PeftModel:
    return add_adapter(base(name), LoraConfig(rank=2, **lora), seed=3)


def found(name: str, **lora: Any) -> PackedBlocks | None:
    model = model_of(name, **lora)
    return packed_blocks(model, layout_of(model), samples(name, 30))


@pytest.mark.parametrize("name", MAKERS)
def test_the_usual_models_compute_only_what_counts(name: str):
    packed = found(name)
    assert packed is not None
    assert packed.first_only == (name in FIRST_ONLY)


def mean_pooled() -> hf.PreTrainedModel:
    ids = {**_IDS, "cls_token_id": 1, "sep_token_id": 2}
    config = hf.ModernBertConfig(**{**_ENCODER, **ids}, classifier_pooling="mean")
    return hf.ModernBertForSequenceClassification(config)


def bloom() -> hf.PreTrainedModel:
    """Its attention adds a bias by distance."""
    return hf.BloomForCausalLM(
        hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, **_IDS)
    )


def windowed() -> hf.PreTrainedModel:
    """Its tokens see four before them, of up to nine."""
    return hf.MistralForCausalLM(hf.MistralConfig(**_DECODER, sliding_window=4))


def wide_window() -> hf.PreTrainedModel:
    return hf.MistralForCausalLM(hf.MistralConfig(**_DECODER, sliding_window=9))


def capped() -> hf.PreTrainedModel:
    """It caps the products with keys, which does not show while they are small."""
    config = hf.Gemma2Config(**_DECODER, head_dim=8, attn_logit_softcapping=1e6)
    return hf.Gemma2ForCausalLM(config)


def convolving() -> hf.PreTrainedModel:
    """A layer of it convolves neighbours, which packed are of different sequences."""
    types = ["conv", "full_attention"]
    return hf.Lfm2ForCausalLM(hf.Lfm2Config(**_DECODER, layer_types=types))


def mpt() -> hf.PreTrainedModel:
    """It reads its mask, which is None for other attention functions."""
    return hf.MptForCausalLM(
        hf.MptConfig(vocab_size=VOCABULARY, d_model=16, n_layers=2, n_heads=2, use_cache=False)
    )


def funnel() -> hf.PreTrainedModel:
    """The last of its lists of blocks is not called."""
    config = hf.FunnelConfig(
        vocab_size=VOCABULARY, block_sizes=[1], d_model=16, n_head=2, d_head=8, d_inner=24
    )
    config.num_labels = 3
    return hf.FunnelForSequenceClassification(config)


def shared() -> hf.PreTrainedModel:
    """All its layers are one."""
    config = hf.AlbertConfig(**_ENCODER, embedding_size=16)
    return hf.AlbertForSequenceClassification(config)


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (mean_pooled, "padding"),
        (wide_window, "padding"),
        (shared, "padding"),
        (bloom, None),
        (windowed, None),
        (capped, None),
        (convolving, None),
        (mpt, None),
        (funnel, None),
    ],
)
def test_a_model_is_taken_only_as_far_as_it_gives_the_same(
    make: Callable[[], hf.PreTrainedModel], way: str | None, monkeypatch: pytest.MonkeyPatch
):
    head = ("classifier",) if make in (mean_pooled, shared, funnel) else ()
    monkeypatch.setitem(MAKERS, "other", (make, head))
    packed = found("other")
    assert (packed is not None) == (way is not None)
    assert packed is None or not packed.first_only


def test_weights_of_half_precision_and_trained_norms_stay_as_they_are():
    model = model_of("llama")
    layout, data = layout_of(model), samples("llama", 30)
    assert packed_blocks(model, layout, data) is not None
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.requires_grad:
            layer.weight.data = layer.weight.data.bfloat16()
    assert packed_blocks(model, layout, data) is None
    assert found("llama", trained=("input_layernorm",)) is None
    assert found("llama", trained=("embed_tokens",)) is not None


@pytest.mark.parametrize("name", MAKERS)
def test_layers_see_real_tokens_only_and_the_model_is_left_as_it_was(name: str):
    model = model_of(name)
    data = samples(name, 30)
    packed = packed_blocks(model, layout_of(model), data)
    assert packed is not None
    within = [module.name for module in layout_of(model).modules]
    rows: list[int] = []
    handle = model.get_submodule(within[-1]).register_forward_hook(
        lambda _, args, y: rows.append(y.shape[:-1].numel())
    )
    batch = data.take(torch.arange(12))
    mask = batch.inputs.get("attention_mask")
    config: Any = model.get_base_model().config
    before = (config._attn_implementation, [dict(vars(m)) for m in model.modules()])
    with torch.no_grad():
        expected = model(**batch.inputs).logits
        with packed.applied(model):
            packed.begin(mask, 1)
            logits = model(**batch.inputs).logits
        again = model(**batch.inputs).logits
    handle.remove()
    assert torch.equal(again, expected)
    assert (config._attn_implementation, [dict(vars(m)) for m in model.modules()]) == before
    if mask is not None and logits.dim() == 3:
        logits, expected = logits[mask.bool()], expected[mask.bool()]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-6)
    assert rows[0] == rows[2]
    if name in FIRST_ONLY:
        assert rows[1] == 12
    else:
        assert mask is not None and mask.sum() <= rows[1] <= 1.07 * mask.sum() < rows[0]


@pytest.mark.parametrize("name", ["bert", "llama", "vit"])
def test_evaluation_measures_the_same(name: str):
    model, data = model_of(name), samples(name, 150)
    packed = packed_blocks(model, layout_of(model), data)
    plain, lean = (metrics(model, data, torch.enable_grad, own) for own in (None, packed))
    assert lean == pytest.approx(plain, rel=1e-5)


def test_one_token_says_nothing_about_what_a_head_reads():
    model, data = model_of("llama-classes"), samples("llama-classes", 9)
    short = Samples({name: values[:, :1] for name, values in data.inputs.items()}, data.labels)
    packed = packed_blocks(model, layout_of(model), short)
    assert packed is not None and not packed.first_only


def test_the_trial_does_not_depend_on_what_the_adapter_holds():
    model, data = model_of("bert"), samples("bert", 9)
    layout = layout_of(model)
    held = np.full(layout.size, np.nan, np.float32)
    layout.write(model, held)
    with torch.no_grad():
        assert packed_blocks(model, layout, data) is not None
    assert np.isnan(layout.read(model)).all()


@pytest.mark.parametrize("place", ["first block", "last block"])
def test_an_error_within_leaves_the_model_as_it_was(place: str):
    model, data = model_of("bert"), samples("bert", 9)
    packed = packed_blocks(model, layout_of(model), data)
    assert packed is not None
    batch = data.take(torch.arange(3))
    with torch.no_grad():
        expected = model(**batch.inputs).logits
        if place == "first block":
            with pytest.raises(RuntimeError), packed.applied(model):
                packed.begin(torch.ones(2, 5), 1)  # of another batch
                model(**batch.inputs)
        else:
            last = model.get_submodule("base_model.model.bert.encoder.layer.1.intermediate")
            handle = last.register_forward_pre_hook(lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError), packed.applied(model):
                packed.begin(batch.inputs["attention_mask"], 1)
                model(**batch.inputs)
            handle.remove()
        assert torch.equal(model(**batch.inputs).logits, expected)
        with packed.applied(model):
            packed.begin(batch.inputs["attention_mask"], 1)
            again = model(**batch.inputs).logits
        torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-6)


def test_small_passes_are_not_worth_it():
    packed = found("bert")
    assert packed is not None
    assert not packed.worth_it(100)
    assert packed.worth_it(10**6)
