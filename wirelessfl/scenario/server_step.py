"""What the server makes of the updates it receives, and how large a step it takes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config


class _Aggregation(Config):
    """What the server makes of the updates: new model = model + step * f(U)."""

    optimizer: Literal["plain", "momentum", "adam"] = Field(
        "plain",
        description="f: U itself, a sum with momentum, or Adam on -U as the gradient (FedOpt); "
        "Adam moves every parameter by about step, so it needs a small one, such as 0.01.",
    )
    momentum: float = Field(
        0.9, gt=0, lt=1, description="Share of the last move that momentum keeps."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Memory of Adam's mean update.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Memory of Adam's mean squared update.")
    eps: float = Field(
        1e-3, gt=0, description="What Adam adds to the root of the mean squared update."
    )
    variance_reduction: Literal["none", "fedvarp", "fitted"] = Field(
        "none",
        description="fedvarp: the server remembers every client's last update, and the updates "
        "that arrive correct what it expects from all; fitted: memories count by as much as would "
        "have left least noise in the rounds so far, so that stale ones do no harm. Both are "
        "unbiased and take the memory of one adapter per client.",
    )

    @model_validator(mode="after")
    def _options_go_with_their_optimizer(self) -> Self:
        given = self.model_dump(exclude_defaults=True)
        for name in ("momentum", "beta1", "beta2", "eps"):
            owner = "momentum" if name == "momentum" else "adam"
            if name in given and self.optimizer != owner:
                raise ValueError(f"server.{name} goes with server.optimizer: {owner}")
        if self.optimizer == "adam" and not self.model_fields_set & {"step", "step_max"}:
            raise ValueError(
                "server.optimizer: adam needs a step of its own, of the size of a parameter's "
                "change in a round, e.g. server.step: 0.01 (or step_max if it is coupled)"
            )
        return self


class FixedStep(_Aggregation):
    """Server step: new model = model + step * f(sum of a_n/q_n * delta_n)."""

    step: float = Field(1.0, gt=0, description="Multiplier of the aggregated update.")


class PlannedStep(_Aggregation):
    """Server step, fixed or tied to the noise of the planned participation."""

    step: float | Literal["coupled"] = Field(
        "coupled",
        description="A number, or coupled: step_max / (1 + noise-to-signal ratio of the plan).",
    )
    step_max: float = Field(
        1.0,
        gt=0,
        description="The coupled step that full participation would get if smoothness is given; "
        "half of it if it is measured.",
    )
    smoothness: Literal["measured", "given"] = Field(
        "measured",
        description="measured: how updates turn from round to round shows what the objective "
        "allows, and the coupled step stays within it, and within half of it where there is little "
        "noise; given: step_max alone limits it.",
    )

    @property
    def measures_smoothness(self) -> bool:
        """Whether the largest step is measured: a move must be a multiple of the update for it."""
        return self.smoothness == "measured" and self.optimizer == "plain"

    @model_validator(mode="after")
    def _number_or_coupled(self) -> PlannedStep:
        if self.step != "coupled" and self.step <= 0:
            raise ValueError("server.step is positive, or the word coupled")
        if self.step != "coupled" and self.step_max != 1.0:
            raise ValueError("server.step_max is used only when server.step is coupled")
        return self


ServerStep = FixedStep | PlannedStep
