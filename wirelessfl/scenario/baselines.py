"""The strategies that others are measured against, by whom they draw and what they wait for."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.participation import (
    ExpectedParticipation,
    FixedKParticipation,
    OortParticipation,
    OverSelection,
)
from wirelessfl.scenario.preset import Preset
from wirelessfl.scenario.server_step import FixedStep
from wirelessfl.scenario.sharing import EqualShare, SharingConfig, WorkConserving


class Full(Preset):
    """Every client takes part in every round."""

    kind: Literal["full"] = "full"
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Sampled(Preset):
    """Base of strategies that draw some of the clients, and decide nothing else in a run."""

    participation: ExpectedParticipation = Field(
        ExpectedParticipation(), description="How many clients take part."
    )
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Uniform(Sampled):
    """Every client takes part with the same probability."""

    kind: Literal["uniform"] = "uniform"


class DataProportional(Sampled):
    """Clients take part with probability proportional to their share of the data."""

    kind: Literal["data_proportional"] = "data_proportional"


class Statistical(Sampled):
    """Clients take part with probability proportional to share of the data times update norm."""

    learns_from: ClassVar[Literal["", "norms", "losses"]] = "norms"
    kind: Literal["statistical"] = "statistical"


class FixedK(Sampled):
    """K draws with replacement, by update norms and times (Luo et al., arXiv 2404.13804)."""

    learns_from: ClassVar[Literal["", "norms", "losses"]] = "norms"
    independent: ClassVar[bool] = False
    kind: Literal["fixed_k"] = "fixed_k"
    participation: FixedKParticipation = Field(
        FixedKParticipation(), description="How many draws, and how their odds are learnt."
    )


class Deadline(Sampled):
    """Too many clients are selected, and the first to arrive count; biased towards the fast."""

    independent: ClassVar[bool] = False
    kind: Literal["deadline"] = "deadline"
    participation: OverSelection = Field(
        OverSelection(), description="How many clients are selected, and how many count."
    )
    bandwidth: SharingConfig = Field(
        EqualShare(),
        description="Uplink sharing rule; work_conserving and equal_finish make all arrive "
        "together, and then there is nobody to drop.",
    )


class Oort(Sampled):
    """Clients with high loss and fast devices are preferred (OSDI 2021); biased towards them."""

    learns_from: ClassVar[Literal["", "norms", "losses"]] = "losses"
    independent: ClassVar[bool] = False
    kind: Literal["oort"] = "oort"
    participation: OortParticipation = Field(
        OortParticipation(), description="How many clients take part, and how they are found."
    )
