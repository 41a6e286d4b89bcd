"""The frozen model that fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[str, float], None]
"""Called with what is going on and the fraction of it that is done."""


@dataclass(frozen=True)
class Base:
    """A pre-trained model.

    Attributes:
        model: The model, with a fresh head for the task if the task needs one.
        head: Last names of the modules that are trained in full, such as `classifier`; empty for a
            language model.
        tokenizer: What turns text into its tokens; None for images.
    """

    model: PreTrainedModel
    head: tuple[str, ...]
    tokenizer: PreTrainedTokenizerBase | None = None
