"""The trainable adapter: LoRA, and what is trained in full beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wirelessfl.scenario.base import Config


class SketchConfig(Config):
    """Which of a module's rank-one components a client trains in a round."""

    per_module: bool = Field(
        False, description="Draw a set for each module instead of one that all modules share"
    )


class LoraConfig(Config):
    """The low-rank adapter, made by PEFT."""

    rank: int = Field(16, ge=1, le=65_536, description="Rank gamma of the global adapter")
    alpha: int = Field(32, ge=1, description="Updates are scaled by alpha / rank")
    rslora: bool = Field(
        False, description="Scale by alpha / sqrt(rank) instead (rank-stabilised LoRA)"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Probability that a number entering A is dropped in training"
    )
    targets: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "auto", description="Linear layers to adapt by name; auto is all attention and MLP layers"
    )
    trained: Literal["auto"] | tuple[str, ...] = Field(
        "auto",
        description="Modules trained in full beside the adapter, by name; auto is the "
        "classification head, and nothing of a language model",
    )
    sketch: SketchConfig = Field(
        default_factory=SketchConfig, description="How a client's share of the rank is drawn"
    )
