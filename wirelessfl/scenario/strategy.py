"""What the user may say about the server's decisions: who trains, how much, and with which step.

A strategy is four independent choices (participation, adapter, bandwidth, server step). Each preset
(`kind`) fills all four and lists only the options that mean something for it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.adapter import FixedAdapter, PlannedAdapter
from wirelessfl.scenario.asynchronous import AdaptiveAsync, FedAsync, FedBuff
from wirelessfl.scenario.baselines import (
    DataProportional,
    Deadline,
    FixedK,
    Full,
    Oort,
    Statistical,
    Uniform,
)
from wirelessfl.scenario.custom import Custom
from wirelessfl.scenario.lora_presets import LoraPreset
from wirelessfl.scenario.participation import PaperParticipation, PlannedParticipation
from wirelessfl.scenario.preset import Preset
from wirelessfl.scenario.server_step import FixedStep, PlannedStep
from wirelessfl.scenario.sharing import EqualFinish, SharingConfig, WorkConserving


class Planned(Preset):
    """Base of strategies that plan participation and ranks by what updates and rounds show."""

    learns_from: ClassVar[Literal["", "norms", "losses"]] = "norms"
    participation: PlannedParticipation = Field(
        PlannedParticipation(), description="How participation is planned."
    )
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(), description="Server step.")

    @model_validator(mode="after")
    def _oracle_sees_updates(self) -> Self:
        if self.participation.oracle and self.server.variance_reduction != "none":
            raise ValueError(
                "participation.oracle shows the norms of updates, not of what is left of them "
                "after server.variance_reduction; choose one of the two"
            )
        return self


class Adaptive(Planned):
    """Participation, ranks and step planned together from what the server measures."""

    kind: Literal["adaptive"] = "adaptive"
    server: PlannedStep = Field(
        PlannedStep(variance_reduction="fitted"), description="Server step, and its memories."
    )


class AdaptivePaper(Planned):
    """As arXiv 2505.23555, reconstructed: mean-field planner, equal finish, plain estimates."""

    kind: Literal["adaptive-paper"] = "adaptive-paper"
    participation: PaperParticipation = Field(
        PaperParticipation(), description="How participation is planned."
    )
    bandwidth: SharingConfig = Field(EqualFinish(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(smoothness="given"), description="Server step.")


class CustomStrategy(Custom, Preset):
    """Your own decisions, a `Strategy`; run only with --allow-custom."""

    independent: ClassVar[bool] = False
    kind: Literal["custom"] = "custom"
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


StrategyConfig = Annotated[
    Full
    | Uniform
    | DataProportional
    | Statistical
    | FixedK
    | Deadline
    | Oort
    | LoraPreset
    | Adaptive
    | AdaptivePaper
    | AdaptiveAsync
    | FedAsync
    | FedBuff
    | CustomStrategy,
    Field(discriminator="kind"),
]
