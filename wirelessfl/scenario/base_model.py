"""The frozen model that fine-tuning starts from, or only its size."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config, FolderName, MisfitError
from wirelessfl.scenario.located import suggestion
from wirelessfl.scenario.models import ModelSize, model_sizes


class TinyVit(Config):
    """A small Vision Transformer, pre-trained once on digits 0 to 4, then kept in a cache."""

    kind: Literal["tiny-vit"] = "tiny-vit"
    hidden: int = Field(48, ge=8, description="Width of the residual stream")
    layers: int = Field(2, ge=1, description="Transformer layers")
    heads: int = Field(4, ge=1, description="Attention heads; divides the width")
    pretrain_steps: int = Field(300, ge=1, description="Central pre-training steps of 64 images")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.hidden}")
        return self


class TinyLm(Config):
    """A small Llama with a tokenizer, pre-trained once on packages that pydoc leaves for it."""

    kind: Literal["tiny-lm"] = "tiny-lm"
    hidden: int = Field(64, ge=8, description="Width of the residual stream")
    layers: int = Field(2, ge=1, description="Transformer layers")
    heads: int = Field(4, ge=1, description="Attention heads; the width of one is even")
    vocabulary: int = Field(
        1000, ge=300, le=65536, description="Tokens: the 256 bytes, two marks, and frequent pieces"
    )
    pretrain_steps: int = Field(600, ge=1, description="Central pre-training steps of 32 samples")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"{self.heads} heads do not divide a width of {self.hidden} into even parts"
            )
        return self


class HuggingFace(Config):
    """A checkpoint in Hugging Face's format: safetensors, and code of transformers itself.

    The task decides its head: classes of text (BERT, RoBERTa, DistilBERT, and decoders), the next
    token (Llama, Qwen, GPT-2 and others), or classes of images (ViT).
    """

    kind: Literal["huggingface"] = "huggingface"
    path: FolderName | None = Field(
        None, min_length=1, description="Folder of the checkpoint, relative to this file"
    )
    hub: str | None = Field(
        None, min_length=1, description="Or its name on the hub, such as owner/model"
    )
    revision: str | None = Field(None, description="Branch, tag or commit on the hub")
    allow_download: bool = Field(
        False, description="Whether what is not in the local cache may be fetched from the hub"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Numbers of the frozen weights; the adapter is float32"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of path and hub")
        if self.path is not None and (self.revision is not None or self.allow_download):
            raise ValueError("revision and allow_download go with hub")
        return self


class SizedModel(Config):
    """A model of which only the size matters, for `task: {kind: none}`."""

    kind: Literal["sized"] = "sized"
    name: str | None = Field(
        None, description="A size that comes with the package (`wirelessfl list models`)"
    )
    size: ModelSize | None = Field(None, description="Or the shapes of a model of your own")
    weight_bits: Literal[4, 8, 16, 32] = Field(
        16, description="Bits of a frozen weight on the device"
    )

    @model_validator(mode="after")
    def _one_known_size(self) -> Self:
        if (self.name is None) == (self.size is None):
            raise ValueError("give either name or size")
        if self.name is not None and self.name not in model_sizes():
            hint = suggestion(self.name, list(model_sizes()))
            raise MisfitError(("name",), f"{self.name!r} is not a known model; {hint}")
        return self

    @property
    def shapes(self) -> ModelSize:
        """The shapes named or given."""
        if self.size is not None:
            return self.size
        assert self.name is not None
        return model_sizes()[self.name]


Model = Annotated[TinyVit | TinyLm | HuggingFace | SizedModel, Field(discriminator="kind")]
