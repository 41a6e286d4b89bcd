"""Text as a task has it, and as a model reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from wirelessfl.errors import InputError
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
    """The task for a model with this tokenizer.

    A text whose class is learnt, or a prompt with its completion, is cut after `max_tokens`; a text
    that is learnt itself becomes as many samples of at most `max_tokens` as it takes.
    """
    train, row = encode_samples(corpus.train, tokenizer, max_tokens)
    owners = np.array([text.owner for text in corpus.train], np.int64)[row]
    labels = [text.label for text in corpus.train]
    source = encode_samples(corpus.source, tokenizer, max_tokens)[0] if corpus.source else None
    return Task(
        train=train,
        test=encode_samples(corpus.test, tokenizer, max_tokens)[0],
        classes=np.array(labels, np.int64)[row] if corpus.classes else owners,
        owners=owners if corpus.owners else None,
        metrics=("loss", "accuracy") if corpus.classes else ("loss", "perplexity"),
        source=source,
        fingerprint=corpus.fingerprint,
        class_names=corpus.classes or corpus.owners,
    )


def encode_samples(
    texts: Sequence[Text], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> tuple[Samples, NDArray[np.int64]]:
    """Tokens of some texts, padded on the right to the longest, and the text each sample is of.

    What is learnt ends with the end-of-text token if the tokenizer has one. A block of a text that
    is too short to predict anything is left out.

    Raises:
        InputError: If the tokenizer makes nothing of a text that has a class, a prompt leaves no
            room for its completion, or no text is long enough to predict anything.
    """
    pieces: list[list[int]] = []
    learnt, row = [], []
    for number, (text, (tokens, prompt)) in enumerate(
        zip(texts, _tokens(texts, tokenizer, max_tokens), strict=True)
    ):
        blocks = [tokens[:max_tokens]]
        if text.label is None and text.completion is None:
            starts = range(0, len(tokens), max_tokens)
            blocks = [tokens[start : start + max_tokens] for start in starts]
            blocks = [block for block in blocks if len(block) > 1]
        pieces += blocks
        learnt += [prompt] * len(blocks)
        row += [number] * len(blocks)
    if not pieces:
        raise InputError("learning.task: no text is two tokens long, so nothing can be predicted")
    _check(texts, pieces, learnt, max_tokens)
    longest = max(len(piece) for piece in pieces)
    pad = tokenizer.pad_token_id
    ids = torch.full((len(pieces), longest), 0 if pad is None else int(pad), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for number, piece in enumerate(pieces):
        ids[number, : len(piece)] = torch.tensor(piece)
        mask[number, : len(piece)] = 1
    inputs, of = {"input_ids": ids, "attention_mask": mask}, np.array(row, np.int64)
    if texts[0].label is not None:
        return Samples(inputs, torch.tensor([text.label for text in texts])), of
    predicted = (mask == 1) & (torch.arange(longest) >= torch.tensor(learnt)[:, None])
    return Samples(inputs, torch.where(predicted, ids, IGNORED)), of


def _tokens(
    texts: Sequence[Text], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Iterator[tuple[list[int], int]]:
    """Every text's tokens, and how many of them belong to a prompt."""
    # Only here, since BERT's like a text that is cut to end as others do.
    cut = {"truncation": True, "max_length": max_tokens} if texts[0].label is not None else {}
    first = tokenizer([text.text for text in texts], verbose=False, **cut)["input_ids"]
    completions = [text.completion or "" for text in texts]
    then = tokenizer(completions, add_special_tokens=False, verbose=False)["input_ids"]
    for text, tokens, more in zip(texts, first, then, strict=True):
        end = [] if text.label is not None else [tokenizer.eos_token_id]
        prompt = 0 if text.completion is None else len(tokens)
        yield [*tokens, *more, *(int(token) for token in end if token is not None)], prompt


def _check(
    texts: Sequence[Text], pieces: Sequence[list[int]], prompts: Sequence[int], max_tokens: int
) -> None:
    """Refuses texts that the model would be given nothing of, or nothing to learn of."""
    if texts[0].completion is not None:
        long = [size for size in prompts if size >= max_tokens]
        if long:
            raise InputError(
                f"learning.task.max_tokens: {max_tokens} leaves no room for the completions of "
                f"{len(long)} prompts, which are up to {max(long)} tokens long"
            )
    elif texts[0].label is not None and [] in pieces:
        text = texts[pieces.index([])].text
        raise InputError(f"learning.task: the model's tokenizer finds no token in {text[:40]!r}")
