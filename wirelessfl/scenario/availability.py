"""When devices can be called upon: hours, files, batteries, and other work in their way.

Data only: `wirelessfl.device` turns it into times.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config, FileHash, FileName
from wirelessfl.scenario.custom import Custom
from wirelessfl.scenario.units import Joules, Seconds, Watts

LONGEST_S = 1e10  # 317 years, and sums of thousands still have exact milliseconds

Probability = Annotated[float, Field(ge=0, le=1)]


class AlwaysAvailable(Config):
    """Every device can be called upon at any time."""

    kind: Literal["always"] = "always"


class OnOff(Config):
    """Each device is on and off in turn, for exponential times, without regard to the hour."""

    kind: Literal["on_off"] = "on_off"
    mean_on_s: Seconds = Field(
        3600.0, ge=1e-3, le=LONGEST_S, alias="mean_on", description="Mean time it is on."
    )
    mean_off_s: Seconds = Field(
        1800.0, ge=1e-3, le=LONGEST_S, alias="mean_off", description="Mean time it is off."
    )


class Diurnal(Config):
    """Devices are on with a probability that follows a cosine over the day."""

    kind: Literal["diurnal"] = "diurnal"
    peak_hour: float = Field(
        2.0, ge=0, lt=24, description="Hour of the day at which most devices are on."
    )
    max_probability: Probability = Field(
        0.8, ge=0.01, description="Share of the devices that are on at the peak."
    )
    min_probability: Probability = Field(
        0.1, le=0.99, description="Share of the devices that are on half a day from the peak."
    )
    start_hour: float = Field(
        0.0, ge=0, lt=24, description="Hour of the day at which the simulation starts."
    )
    phase_spread_s: Seconds = Field(
        0.0,
        ge=0,
        le=43_200,
        alias="phase_spread",
        description="Each device's peak is up to so much earlier or later, uniformly.",
    )
    redraw_every_s: Seconds = Field(
        7200.0,
        ge=1e-3,
        le=LONGEST_S,
        alias="redraw_every",
        description="Mean time after which a device decides anew whether to be on.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Diurnal:
        if self.min_probability > self.max_probability:
            raise ValueError(
                f"min_probability {self.min_probability:g} is more than "
                f"max_probability {self.max_probability:g}"
            )
        return self


class ReplayedAvailability(Config):
    """Times from a file with the columns client,on_s,off_s; at all other times devices are off."""

    kind: Literal["trace"] = "trace"
    file: FileName = Field(
        min_length=1,
        description="CSV file, relative to this one: one row for each time that a client is on.",
    )
    sha256: FileHash = None


class CustomAvailability(Custom):
    """Your own hours, an `Availability`; run only with --allow-custom."""


AvailabilityConfig = Annotated[
    AlwaysAvailable | OnOff | Diurnal | ReplayedAvailability | CustomAvailability,
    Field(discriminator="kind"),
]


class BatteryConfig(Config):
    """A battery that training, sending and receiving drain; one that is empty keeps a device off.

    What a device does for its owner is not counted, so `capacity` is the part left to training.
    """

    capacity_j: Joules = Field(
        gt=0, alias="capacity", description="Energy that training may take from a full battery."
    )
    initial: Probability = Field(1.0, description="Share of the capacity there at the start.")
    recharge_w: Watts = Field(
        0.0, ge=0, alias="recharge", description="Power with which the battery is charged."
    )
    recharge_while: Literal["always", "on"] = Field(
        "always",
        description="Charging goes on at all times (a solar cell), or while the device is on by "
        "its availability (a phone that is on while it is plugged in).",
    )
    resume: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="Share of the capacity at which a device that ran empty comes back."
    )


class BackgroundConfig(Config):
    """Other work on the devices: jobs that arrive at random and are served in order of arrival."""

    jobs_per_hour: float = Field(
        gt=0, le=3.6e6, description="Mean number of jobs that arrive at a device in an hour."
    )
    duration_s: Seconds = Field(
        gt=0, le=LONGEST_S, alias="duration", description="Mean time a job takes."
    )
    distribution: Literal["exponential", "fixed"] = Field(
        "exponential", description="Whether the times are exponential or all the same."
    )

    @property
    def load(self) -> float:
        """Workers that the jobs keep busy on average."""
        return self.jobs_per_hour * self.duration_s / 3600.0
