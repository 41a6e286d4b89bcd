"""A client's round of training: its optimiser, steps and batches."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config


class LocalConfig(Config):
    """What one client does in one round: a few optimiser steps on batches of its own data."""

    steps: int = Field(5, ge=1, description="Optimiser steps per round")
    batch: int = Field(16, ge=1, description="Samples per step; a smaller client uses all it has")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Samples in one pass; gradients of the passes of a step are added up, which "
        "takes less memory for the same result. null is the whole batch",
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="Local optimiser, fresh every round"
    )
    lr: float = Field(0.3, gt=0, description="Learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="SGD momentum within the round")
    weight_decay: float = Field(
        0.0, ge=0, description="Share of lr by which AdamW shrinks what it trains, each step"
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="Largest norm of a client's gradient; null does not clip"
    )
    on_nonfinite: Literal["stop", "drop"] = Field(
        "stop",
        description="When a client's loss or update is not finite: stop the run, or drop the "
        "update as if it had been lost on the way",
    )

    @model_validator(mode="after")
    def _options_go_with_their_optimizer(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError("momentum goes with optimizer: sgd")
        if self.weight_decay and self.optimizer != "adamw":
            raise ValueError("weight_decay goes with optimizer: adamw")
        return self
