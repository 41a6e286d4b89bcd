"""What the user may say about the server's decisions: who trains, how much, and with which step.

A strategy is four independent choices (participation, adapter, bandwidth, server step). Each preset
(`kind`) fills all four and lists only the options that mean something for it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.adapter import FixedAdapter, PlannedAdapter
from wirelessfl.scenario.base import Config
from wirelessfl.scenario.participation import (
    ExpectedParticipation,
    PaperParticipation,
    PlannedParticipation,
)
from wirelessfl.scenario.server_step import FixedStep, PlannedStep
from wirelessfl.scenario.sharing import EqualFinish, SharingConfig, WorkConserving


class Full(Config):
    """Every client takes part in every round."""

    kind: Literal["full"] = "full"
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Uniform(Config):
    """Every client takes part with the same probability."""

    kind: Literal["uniform"] = "uniform"
    participation: ExpectedParticipation = Field(
        ExpectedParticipation(), description="How many clients take part."
    )
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class DataProportional(Config):
    """Clients take part with probability proportional to their share of the data."""

    kind: Literal["data_proportional"] = "data_proportional"
    participation: ExpectedParticipation = Field(
        ExpectedParticipation(), description="How many clients take part."
    )
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Adaptive(Config):
    """Participation, ranks and step planned together from what the server measures."""

    kind: Literal["adaptive"] = "adaptive"
    participation: PlannedParticipation = Field(
        PlannedParticipation(), description="How participation is planned."
    )
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(), description="Server step.")

    @model_validator(mode="after")
    def _oracle_sees_updates(self) -> Adaptive:
        if self.participation.oracle and self.server.variance_reduction != "none":
            raise ValueError(
                "participation.oracle shows the norms of updates, not of what is left of them "
                "after server.variance_reduction; choose one of the two"
            )
        return self


class AdaptivePaper(Config):
    """As arXiv 2505.23555, reconstructed: mean-field planner and equal-finish bandwidth."""

    kind: Literal["adaptive-paper"] = "adaptive-paper"
    participation: PaperParticipation = Field(
        PaperParticipation(), description="How participation is planned."
    )
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(EqualFinish(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(), description="Server step.")


StrategyConfig = Annotated[
    Full | Uniform | DataProportional | Adaptive | AdaptivePaper, Field(discriminator="kind")
]
