"""Small models of many architectures with random weights, and random samples for them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import transformers as hf

from wirelessfl.learning.base import Base
from wirelessfl.learning.task import IGNORED, Samples

VOCABULARY, CLASSES, LENGTH = 40, 3, 9

_ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_labels": CLASSES,
    "pad_token_id": 0,
}
_DECODER = {
    **_ENCODER,
    "num_key_value_heads": 1,
    "use_cache": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_DISTIL = {"vocab_size": VOCABULARY, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
_GPT2 = {
    "vocab_size": VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 32,
    "num_labels": CLASSES,
    "pad_token_id": 0,
    "use_cache": False,
}
_VIT = {
    "image_size": 8,
    "patch_size": 4,
    "num_channels": 1,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "num_labels": CLASSES,
}

MAKERS: dict[str, tuple[Callable[[], hf.PreTrainedModel], tuple[str, ...]]] = {
    "bert": (
        lambda: hf.BertForSequenceClassification(hf.BertConfig(**_ENCODER)),
        ("classifier",),
    ),
    "roberta": (
        lambda: hf.RobertaForSequenceClassification(
            hf.RobertaConfig(**_ENCODER, max_position_embeddings=32)
        ),
        ("classifier",),
    ),
    "distilbert": (
        lambda: hf.DistilBertForSequenceClassification(
            hf.DistilBertConfig(**_DISTIL, num_labels=CLASSES)
        ),
        ("pre_classifier", "classifier"),
    ),
    "llama": (lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_DECODER)), ()),
    "llama-classes": (
        lambda: hf.LlamaForSequenceClassification(hf.LlamaConfig(**_DECODER)),
        ("score",),
    ),
    "qwen2": (lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_DECODER)), ()),
    "gpt2": (lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**_GPT2)), ()),
    "gpt2-classes": (
        lambda: hf.GPT2ForSequenceClassification(hf.GPT2Config(**_GPT2)),
        ("score",),
    ),
    "vit": (lambda: hf.ViTForImageClassification(hf.ViTConfig(**_VIT)), ("classifier",)),
}


def base(name: str) -> Base:
    """A model with random weights, the same every time."""
    make, head = MAKERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = make().eval()
    return Base(model, head)


def samples(name: str, count: int) -> Samples:
    """Random samples; sequences of unequal lengths, half of each prompt not predicted."""
    rng = np.random.default_rng(7)
    labels = torch.from_numpy(rng.integers(CLASSES, size=count))
    if name == "vit":
        pixels = rng.normal(size=(count, 1, 8, 8)).astype(np.float32)
        return Samples({"pixel_values": torch.from_numpy(pixels)}, labels)
    lengths = rng.integers(3, LENGTH + 1, size=count)
    mask = torch.from_numpy((np.arange(LENGTH) < lengths[:, None]).astype(np.int64))
    tokens = torch.from_numpy(rng.integers(3, VOCABULARY, size=(count, LENGTH))) * mask
    inputs = {"input_ids": tokens, "attention_mask": mask}
    if MAKERS[name][1]:
        return Samples(inputs, labels)
    predicted = (mask == 1) & (torch.arange(LENGTH) >= torch.from_numpy(lengths // 3)[:, None])
    return Samples(inputs, torch.where(predicted, tokens, IGNORED))
