"""Text as a task has it, and as a model reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from wirelessfl.learning.task import IGNORED, Samples, Task


@dataclass(frozen=True)
class Text:
    """One sample of a text task.

    Attributes:
        text: The text, or the prompt if there is a completion.
        completion: What follows a prompt and alone is learnt; None if the text itself is.
        label: Its class, from 0; None in a language modelling task.
        owner: Who has it by nature (a package, an author), from 0; 0 if nobody is known.
    """

    text: str
    completion: str | None = None
    label: int | None = None
    owner: int = 0


@dataclass(frozen=True)
class Corpus:
    """The texts of a task.

    Attributes:
        train: What the clients hold together.
        test: What the server evaluates on.
        source: What central pre-training of a tiny model, and its tokenizer, may see; perhaps none.
        classes: Names of the classes; empty for language modelling.
        owners: Names of the owners; empty if no owners are known.
    """

    train: Sequence[Text]
    test: Sequence[Text]
    source: Sequence[Text] = ()
    classes: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all texts, with their owners and classes."""
        digest = hashlib.sha256()
        for part in (self.train, self.test, self.source):
            for text in part:
                digest.update(repr(text).encode())
            digest.update(b"\x00")
        return digest.hexdigest()


def encode(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Task:
    """The task for a model with this tokenizer; longer texts are cut after `max_tokens`."""
    owners = np.array([text.owner for text in corpus.train], np.int64)
    labels = [text.label for text in corpus.train]
    return Task(
        train=encode_samples(corpus.train, tokenizer, max_tokens),
        test=encode_samples(corpus.test, tokenizer, max_tokens),
        classes=np.array(labels, np.int64) if corpus.classes else owners,
        owners=owners if corpus.owners else None,
        metrics=("loss", "accuracy") if corpus.classes else ("loss", "perplexity"),
        source=(
            encode_samples(corpus.source, tokenizer, max_tokens) if len(corpus.source) else None
        ),
        fingerprint=corpus.fingerprint,
    )


def encode_samples(
    texts: Sequence[Text], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Samples:
    """Tokens of some texts, padded on the right to the longest.

    A text to be learnt, and a completion, end with the end-of-text token if the tokenizer has one.
    """
    rows, learnt = [], []
    for text in texts:
        tokens = list(tokenizer(text.text)["input_ids"])
        prompt = 0
        if text.completion is not None:
            prompt = len(tokens)
            tokens += tokenizer(text.completion, add_special_tokens=False)["input_ids"]
        if text.label is None and tokenizer.eos_token_id is not None:
            tokens.append(tokenizer.eos_token_id)
        rows.append(tokens[:max_tokens])
        learnt.append(prompt)
    longest = max(len(row) for row in rows)
    pad = tokenizer.pad_token_id
    ids = torch.full((len(rows), longest), 0 if pad is None else pad, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if texts[0].label is not None:
        return Samples(inputs, torch.tensor([text.label for text in texts]))
    predicted = (mask == 1) & (torch.arange(longest) >= torch.tensor(learnt)[:, None])
    return Samples(inputs, torch.where(predicted, ids, IGNORED))
