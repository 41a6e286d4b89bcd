"""How a link's bandwidth is divided among those who use it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from wirelessfl.scenario.base import Config


class EqualShare(Config):
    """Every active transfer gets the same bandwidth, re-shared when one joins or leaves."""

    kind: Literal["equal_share"] = "equal_share"


class WorkConserving(Config):
    """Whoever is ready shares all the bandwidth, split so that predicted finish times agree."""

    kind: Literal["work_conserving"] = "work_conserving"


class EqualFinish(Config):
    """Every participant gets a share for the whole round, such that all finish together."""

    kind: Literal["equal_finish"] = "equal_finish"
    resolve: Literal["never", "on_event"] = Field(
        "never",
        description="never: shares are held until the round ends; on_event: they are solved "
        "again whenever a transfer becomes ready or ends.",
    )


SharingConfig = Annotated[EqualShare | WorkConserving | EqualFinish, Field(discriminator="kind")]
