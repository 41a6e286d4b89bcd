"""The small language model: its tokenizer, its past, its heads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wirelessfl.learning.cache import cache_folder
from wirelessfl.learning.pydoc import pydoc_corpus
from wirelessfl.learning.task import sample_losses
from wirelessfl.learning.texts import Corpus, Text, encode_samples
from wirelessfl.learning.tiny_lm import tiny_lm, train_tokenizer
from wirelessfl.scenario.base_model import TinyLm

SMALL = TinyLm(hidden=16, layers=1, heads=2, vocabulary=300, pretrain_steps=3)
TOKENIZER = train_tokenizer([text.text for text in pydoc_corpus().source[:200]], 320)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WIRELESSFL_CACHE", str(tmp_path))
    return cache_folder()


@given(st.text())
def test_the_tokenizer_spells_any_text(text: str):
    text = text.encode("utf-8", "ignore").decode()
    tokens = TOKENIZER(text)["input_ids"]
    assert TOKENIZER.decode(tokens, clean_up_tokenization_spaces=False) == text
    assert all(token < 320 for token in tokens)


def test_frequent_pieces_are_one_token_and_the_same_every_time():
    assert len(TOKENIZER(" the")["input_ids"]) == 1
    texts = [text.text for text in pydoc_corpus().source[:200]]
    again = train_tokenizer(texts, 320).backend_tokenizer.to_str()
    assert TOKENIZER.backend_tokenizer.to_str() == again
    assert TOKENIZER.pad_token_id != TOKENIZER.eos_token_id


def test_pre_training_happens_once_and_a_damaged_entry_is_made_again(fresh_cache: Path):
    heard: list[float] = []

    def build() -> dict[str, torch.Tensor]:
        base = tiny_lm(SMALL, progress=lambda _, done: heard.append(done))
        assert base.head == ()
        assert base.tokenizer is not None
        assert len(base.tokenizer) == SMALL.vocabulary
        return base.model.state_dict()

    first = build()
    assert heard == pytest.approx([1 / 3, 2 / 3, 1.0])
    build()
    assert len(heard) == 3
    [path] = fresh_cache.glob("tiny-lm-*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = build()
    assert len(heard) == 6
    assert path.read_bytes() == whole
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_classifier_has_the_same_body_and_a_fresh_head(fresh_cache: Path):
    language, classifier = tiny_lm(SMALL).model, tiny_lm(SMALL, classes=3)
    assert classifier.head == ("score",)
    body = classifier.model.state_dict()
    assert body["score.weight"].shape == (3, 16)
    for name, value in language.state_dict().items():
        assert name == "lm_head.weight" or torch.equal(body[name], value)
    again = tiny_lm(SMALL, classes=3).model.state_dict()
    assert torch.equal(again["score.weight"], body["score.weight"])


def test_building_a_model_leaves_torchs_own_generator_alone(fresh_cache: Path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    tiny_lm(SMALL)
    tiny_lm(SMALL, classes=2)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_pre_training_teaches_what_comes_next(fresh_cache: Path):
    corpus: Corpus = pydoc_corpus()
    losses = []
    for steps in (1, 60):
        base = tiny_lm(SMALL.model_copy(update={"pretrain_steps": steps}))
        samples, _ = encode_samples(corpus.test[:100], base.tokenizer, 64)
        with torch.no_grad():
            logits = base.model(**samples.inputs).logits
        loss = sample_losses(logits, samples.labels).sum() / samples.predictions.sum()
        losses.append(loss.item())
    assert losses[0] > 5.0  # ln 300 = 5.7
    assert losses[1] < losses[0] - 1.0
    assert os.environ["WIRELESSFL_CACHE"] == str(fresh_cache)


def test_padding_changes_no_loss(fresh_cache: Path):
    base = tiny_lm(SMALL)
    assert base.tokenizer is not None
    texts = [Text("Return it."), Text("Return the number of items, or none if there are none.")]
    together, _ = encode_samples(texts, base.tokenizer, 64)
    for number, text in enumerate(texts):
        alone, _ = encode_samples([text], base.tokenizer, 64)
        with torch.no_grad():
            apart = sample_losses(base.model(**alone.inputs).logits, alone.labels)
            joint = sample_losses(base.model(**together.inputs).logits, together.labels)
        torch.testing.assert_close(apart[0], joint[number])


def test_heads_must_divide_the_width_into_even_parts():
    with pytest.raises(ValidationError, match="4 heads do not divide a width of 20"):
        TinyLm(hidden=20, heads=4)
