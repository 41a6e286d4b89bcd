"""Sizes of models: everything about a transformer that a clock must know, and no weights.

Data only: `wirelessfl.learning.model_size` turns it into payloads, FLOPs and memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.yaml_text import read_catalogue

Shape = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class ModelSize(Config):
    """The shapes of one transformer: identical blocks of linear layers around attention."""

    layers: int = Field(ge=1, description="Number of blocks.")
    hidden: int = Field(ge=1, description="Width of the residual stream.")
    heads: int = Field(ge=1, description="Attention heads.")
    head_dim: int | None = Field(None, ge=1, description="Width of a head, if not hidden / heads.")
    linear: dict[str, tuple[Shape, ...]] = Field(
        min_length=1, description="Linear layers of a block by name: [in, out] of each."
    )
    block_input: tuple[str, ...] = Field(
        description="Those of them that read the block's input: in the first block nothing below "
        "them is trained, so no gradient passes through them."
    )
    vocabulary: int = Field(0, ge=0, description="Tokens that have an embedding.")
    positions: int = Field(0, ge=0, description="Learned position embeddings.")
    patch: int = Field(0, ge=0, description="Numbers in an image patch (vision models).")
    causal: bool = Field(
        False, description="Predicts every next token over the vocabulary, with a frozen head."
    )
    untied: bool = Field(False, description="The language model head is not the embedding.")
    parameters: int | None = Field(None, gt=0, description="Published number of parameters.")
    source: str = Field("", description="Where the shapes come from.")


@functools.cache
def model_sizes() -> Mapping[str, ModelSize]:
    """The sizes that come with the package, by name."""
    return read_catalogue("models.yaml", ModelSize)
