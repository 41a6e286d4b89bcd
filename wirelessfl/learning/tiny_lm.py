"""A small language model with a past: Llama's architecture on a tokenizer of its own.

Tokenizer (byte-level BPE) and weights come from the pre-training packages of the pydoc task, so
they are the same for every task that starts from them. For classes of text the model gets a fresh
head instead of the one over the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import tokenizers
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from wirelessfl import randomness
from wirelessfl.learning.base import Base, Progress
from wirelessfl.learning.cache import Tensors, cached_tensors
from wirelessfl.learning.pretraining import made_with, pretrain
from wirelessfl.learning.pydoc import pydoc_corpus
from wirelessfl.learning.task import Samples, sample_losses
from wirelessfl.learning.texts import Corpus, encode
from wirelessfl.scenario.base_model import TinyLm

HEAD = "score"
RECIPE_VERSION = 1
"""Raise it when a change below changes the tokenizer or the pre-trained weights."""

_SEED = 0
_BATCH = 32
_TOKENS = 64  # of a pre-training sample
_POSITIONS = 2048  # rotary, so more cost nothing
_PEAK_LR = 3e-3
_END, _PAD = "<|end|>", "<|pad|>"
_WRAPPER: Any = PreTrainedTokenizerFast  # these two have no types
_CLASSIFIER: Any = AutoModelForSequenceClassification
_TOKENIZER = "tokenizer.json"  # its text, as bytes among the tensors


def tiny_lm(config: TinyLm, classes: int = 0, progress: Progress | None = None) -> Base:
    """The pre-trained model and its tokenizer.

    Args:
        config: Its size and how long it is pre-trained.
        classes: Number of classes of a fresh head; 0 is the language model.
        progress: Told how far pre-training is, where it is not in the cache.

    Raises:
        InputError: If it must be pre-trained and this Python's library has no source.
    """
    corpus = pydoc_corpus()
    recipe = {
        "model": config.model_dump(mode="json"),
        "source_sha256": _fingerprint(text.text for text in corpus.source),
        "recipe_version": RECIPE_VERSION,
        "tokenizers": tokenizers.__version__,
        **made_with(),
    }
    tell = progress or (lambda *_: None)
    weights = dict(cached_tensors("tiny-lm", recipe, lambda: _build(config, corpus, tell)))
    tokenizer = _wrapped(bytes(weights.pop(_TOKENIZER).numpy()).decode())
    if not classes:
        model = _language_model(config, tokenizer, "head")
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        model.load_state_dict(weights)
        return Base(model, (), tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.subseed(_SEED, "head"))
        shape = _shape(config, tokenizer, classes)
        classifier: PreTrainedModel = _CLASSIFIER.from_config(shape)
    fresh = {name: value for name, value in classifier.state_dict().items() if HEAD in name}
    classifier.load_state_dict(weights | fresh)
    return Base(classifier, (HEAD,), tokenizer)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: it can spell any text, and common words are one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer.to_str())


def _wrapped(text: str) -> PreTrainedTokenizerFast:
    wrapped: PreTrainedTokenizerFast = _WRAPPER(
        tokenizer_object=Tokenizer.from_str(text), eos_token=_END, pad_token=_PAD
    )
    return wrapped


def _build(config: TinyLm, corpus: Corpus, progress: Progress) -> Tensors:
    """Tokenizer and weights, without the head that shares the embedding's."""
    tokenizer = train_tokenizer((text.text for text in corpus.source), config.vocabulary)
    source = encode(Corpus(corpus.source, corpus.source[:1]), tokenizer, _TOKENS).train
    model = _language_model(config, tokenizer, "pretrain").train()
    _pretrain(model, source, config.pretrain_steps, progress)
    weights: Tensors = model.state_dict()
    del weights["lm_head.weight"]
    spelled = bytearray(tokenizer.backend_tokenizer.to_str().encode())
    return weights | {_TOKENIZER: torch.frombuffer(spelled, dtype=torch.uint8)}


def _pretrain(model: LlamaForCausalLM, source: Samples, steps: int, progress: Progress) -> None:
    rng = randomness.generator(_SEED, "pretrain")

    def loss() -> torch.Tensor:
        batch = source.take(torch.from_numpy(rng.integers(len(source), size=_BATCH)))
        losses = sample_losses(model(**batch.inputs).logits, batch.labels)
        return losses.sum() / batch.predictions.sum()

    pretrain(
        model, loss, steps, _PEAK_LR, lambda done: progress("pre-training tiny-lm (once)", done)
    )


def _shape(config: TinyLm, tokenizer: PreTrainedTokenizerFast, classes: int = 0) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=2 * config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=_POSITIONS,
        tie_word_embeddings=True,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        id2label={label: str(label) for label in range(classes)} or None,
    )


def _language_model(
    config: TinyLm, tokenizer: PreTrainedTokenizerFast, stream: str
) -> LlamaForCausalLM:
    """An untrained model; the same weights on every call with the same stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.subseed(_SEED, stream))
        return LlamaForCausalLM(_shape(config, tokenizer))


def _fingerprint(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\x00")
    return digest.hexdigest()
