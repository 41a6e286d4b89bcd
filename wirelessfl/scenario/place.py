"""Where the cell and its clients are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.units import Metres


class UniformPlacement(Config):
    """Clients are spread uniformly over the cell's area, outside its minimum distance."""

    kind: Literal["uniform"] = "uniform"


class FixedPlacement(Config):
    """Clients stand at given distances from the base station, in uniformly random directions."""

    kind: Literal["fixed"] = "fixed"
    distances_m: tuple[Annotated[Metres, Field(gt=0)], ...] = Field(
        alias="distances",
        min_length=1,
        description="Ground distance of each client, or a single one for all clients.",
    )


Placement = Annotated[UniformPlacement | FixedPlacement, Field(discriminator="kind")]


class Cells(Config):
    """The one cell that serves all clients."""

    radius_m: Metres = Field(500.0, gt=0, alias="radius", description="Radius of the cell.")
    min_distance_m: Metres = Field(
        35.0,
        gt=0,
        alias="min_distance",
        description="No client is nearer to the base station (TR 38.901 Table 7.2-1: 35 m).",
    )

    @model_validator(mode="after")
    def _ring_is_not_empty(self) -> Cells:
        if self.min_distance_m >= self.radius_m:
            raise ValueError("min_distance must be smaller than radius")
        return self
