"""How clients move while the simulation runs, and what several base stations are to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config, FileHash, FileName
from wirelessfl.scenario.units import MetresPerSecond, Seconds

_FASTEST_MPS = 1e4  # nothing on the ground or above it is faster


class StaticMobility(Config):
    """Clients stay where `placement` puts them."""

    kind: Literal["static"] = "static"


class MovingConfig(Config):
    """What all movements have."""

    kind: str
    update_s: Seconds = Field(
        1.0,
        ge=1e-3,
        alias="update",
        description="Path loss, shadowing and serving station are those of the place at the last "
        "whole multiple of this time, at least 1 ms.",
    )


class RandomWaypointMobility(MovingConfig):
    """Straight to a uniformly random place at a uniformly random speed, a pause, to the next.

    Places are in the disc around all cells. Movement is in its stationary state from the start, so
    `placement` says nothing and must be uniform.
    """

    kind: Literal["random_waypoint"] = "random_waypoint"
    min_speed_mps: MetresPerSecond = Field(
        0.5,
        ge=1e-3,
        alias="min_speed",
        description="Lowest speed of a leg, at least 1 mm/s: near 0 clients freeze in the long "
        "run.",
    )
    max_speed_mps: MetresPerSecond = Field(
        1.5,
        gt=0,
        le=_FASTEST_MPS,
        alias="max_speed",
        description="Highest speed of a leg, at most 10,000 m/s.",
    )
    pause_s: Seconds = Field(0.0, ge=0, alias="pause", description="Rest after each leg.")

    @model_validator(mode="after")
    def _speeds_are_in_order(self) -> RandomWaypointMobility:
        if self.min_speed_mps > self.max_speed_mps:
            raise ValueError("min_speed must not be greater than max_speed")
        return self


class GaussMarkovMobility(MovingConfig):
    """Speed and heading drift around means, with a memory; borders are mirrors.

    Clients start where `placement` puts them and stay in the disc around all cells.
    """

    kind: Literal["gauss_markov"] = "gauss_markov"
    mean_speed_mps: MetresPerSecond = Field(
        10.0,
        gt=0,
        le=_FASTEST_MPS,
        alias="mean_speed",
        description="Mean speed, at most 10,000 m/s.",
    )
    speed_sigma_mps: MetresPerSecond = Field(
        2.0,
        ge=0,
        le=_FASTEST_MPS,
        alias="speed_sigma",
        description="Standard deviation of speed; where speed is negative a client backs up.",
    )
    direction_sigma_rad: float = Field(
        0.5,
        ge=0,
        alias="direction_sigma",
        description="Standard deviation, in radians, of the heading around the client's mean "
        "heading, which is uniformly random.",
    )
    memory: float = Field(
        0.85,
        ge=0,
        le=1,
        description="Correlation of speed, and of heading, from one second to the next.",
    )


class TraceMobility(MovingConfig):
    """Places from a file with the columns time_s,client,x_m,y_m, the origin as in the topology.

    Between two rows a client moves in a straight line; before its first and after its last row it
    stands. `placement` says nothing and must be uniform.
    """

    kind: Literal["trace"] = "trace"
    file: FileName = Field(min_length=1, description="CSV file, relative to this one.")
    sha256: FileHash = None
    max_gap_s: Seconds = Field(
        60.0,
        gt=0,
        alias="max_gap",
        description="Rows of a client farther apart are an error: nobody knows where it went.",
    )


Mobility = Annotated[
    StaticMobility | RandomWaypointMobility | GaussMarkovMobility | TraceMobility,
    Field(discriminator="kind"),
]


class NoInterference(Config):
    """Other cells are silent, or on other frequencies."""

    kind: Literal["none"] = "none"


class LoadInterference(Config):
    """Every other cell sends on the same frequencies a fraction of the time.

    Their mean power adds to the noise. With a single cell it changes nothing.
    """

    kind: Literal["load"] = "load"
    load: float = Field(
        0.5, ge=0, le=1, description="Fraction of time and bandwidth that other cells use."
    )


Interference = Annotated[NoInterference | LoadInterference, Field(discriminator="kind")]
