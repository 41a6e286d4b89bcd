"""Where clients are put, and how large a cell is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.units import Metres


class UniformPlacement(Config):
    """Uniform over the area of a uniformly chosen cell, outside its minimum distance."""

    kind: Literal["uniform"] = "uniform"


class FixedPlacement(Config):
    """At given distances from the base station, in uniformly random directions.

    Of several cells, client n belongs to number n mod cells.
    """

    kind: Literal["fixed"] = "fixed"
    distances_m: tuple[Annotated[Metres, Field(gt=0)], ...] = Field(
        alias="distances",
        min_length=1,
        description="Ground distance of each client, or a single one for all clients.",
    )


Placement = Annotated[UniformPlacement | FixedPlacement, Field(discriminator="kind")]


class Cells(Config):
    """A cell's extent, for placing clients and for the models of path loss."""

    radius_m: Metres = Field(500.0, gt=0, alias="radius", description="Radius of the cell.")
    min_distance_m: Metres = Field(
        35.0,
        gt=0,
        alias="min_distance",
        description="No client is put nearer to its base station (TR 38.901 Table 7.2-1: 35 m); "
        "one that comes nearer to any is as loud as at this distance.",
    )

    @model_validator(mode="after")
    def _ring_is_not_empty(self) -> Cells:
        if self.min_distance_m >= self.radius_m:
            raise ValueError("min_distance must be smaller than radius")
        return self
