"""How a link's bandwidth is divided among those who use it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.units import Seconds


class EqualShare(Config):
    """Every active transfer gets the same bandwidth, re-shared when one joins or leaves."""

    kind: Literal["equal_share"] = "equal_share"


class WorkConserving(Config):
    """Whoever is ready shares all the bandwidth, split so that predicted finish times agree."""

    kind: Literal["work_conserving"] = "work_conserving"


class EqualFinish(Config):
    """Every participant gets a share for the whole round, such that all finish together."""

    kind: Literal["equal_finish"] = "equal_finish"
    resolve: Literal["never", "on_event", "every_slot"] = Field(
        "never",
        description="never: shares are held until the round ends; on_event: they are solved "
        "again whenever a transfer becomes ready or ends; every_slot: in every coherence slot as "
        "well, with the rates reported by then.",
    )


class MaxMin(Config):
    """Every active transfer gets the same reported rate, so weak clients get more bandwidth."""

    kind: Literal["max_min"] = "max_min"


class TdmaFifo(Config):
    """All bandwidth to one transfer at a time, in order of readiness (ties: by client number)."""

    kind: Literal["tdma_fifo"] = "tdma_fifo"


class ProportionalFair(Config):
    """Each coherence slot goes to whoever has it good compared with what they usually get."""

    kind: Literal["proportional_fair"] = "proportional_fair"
    window_s: Seconds = Field(
        1.0,
        gt=0,
        alias="window",
        description="Time constant of each client's average of the rate it was served at.",
    )


SharingConfig = Annotated[
    EqualShare | WorkConserving | EqualFinish | MaxMin | TdmaFifo | ProportionalFair,
    Field(discriminator="kind"),
]


def lives_from_slots(config: SharingConfig) -> bool:
    """Whether a rule divides every coherence slot anew."""
    by_slot = isinstance(config, EqualFinish) and config.resolve == "every_slot"
    return by_slot or isinstance(config, ProportionalFair)
