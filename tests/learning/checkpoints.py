"""Checkpoints on disk as a user has them: model and tokenizer written by save_pretrained."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.learning.architectures import MAKERS, VOCABULARY

TEXT = """good great fine nice happy bad poor sad awful dull it is was a the not very film day meal
and service room view"""
WORDS = TEXT.split()


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, and nothing else."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[EOS]": 2}
    vocabulary |= {word: 3 + number for number, word in enumerate(WORDS)}
    assert len(vocabulary) <= VOCABULARY
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]"
    )


def save_checkpoint(name: str, folder: Path) -> Path:
    """One of `MAKERS`, with a tokenizer unless it reads images."""
    make, _ = MAKERS[name]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        make().save_pretrained(folder)
    if name != "vit":
        tokenizer().save_pretrained(folder)
    return folder
