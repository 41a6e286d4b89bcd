"""From place and time to a signal and its rate: path loss, shadowing, fading and rate models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.custom import Custom
from wirelessfl.scenario.units import Db, Metres, MetresPerSecond, Seconds

FASTEST_MPS = 1e5  # satellites have a tenth of it
SHORTEST_SLOT_S = 1e-6  # an OFDM symbol is tens of microseconds; and a second is a million slots

# --- large-scale propagation ---------------------------------------------------------------------


class Tr38901PathLoss(Config):
    """3GPP TR 38.901 path loss, with or without line of sight."""

    kind: Literal["tr38901"] = "tr38901"
    environment: Literal["uma", "umi", "rma", "inh-open", "inh-mixed"] = Field(
        "uma",
        description="Urban macro, urban micro (street canyon), rural macro, indoor office (open "
        "or mixed). It also sets the antenna heights.",
    )
    los: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Line of sight: drawn with the environment's probability, or forced.",
    )


class LogDistancePathLoss(Config):
    """Loss in dB grows by `slope` per decade of distance, at any carrier frequency.

    The default, 128.1 + 37.6 lg(d/km), is TR 36.814's 2 GHz macro cell, common in papers.
    """

    kind: Literal["log_distance"] = "log_distance"
    loss_at_1km_db: Db = Field(128.1, alias="loss_at_1km", description="Loss at one kilometre.")
    slope_db: Db = Field(37.6, gt=0, alias="slope", description="Loss added per decade.")


class FreeSpacePathLoss(Config):
    """Friis: 20 lg(4 pi d f / c)."""

    kind: Literal["free_space"] = "free_space"


class FixedPathLoss(Config):
    """The same loss for every client."""

    kind: Literal["fixed"] = "fixed"
    loss_db: Db = Field(110.0, alias="loss", description="Loss between the antennas.")


class CustomPathLoss(Custom):
    """Your own path loss, a `PathLossModel`; run only with --allow-custom."""


PathLoss = Annotated[
    Tr38901PathLoss | LogDistancePathLoss | FreeSpacePathLoss | FixedPathLoss | CustomPathLoss,
    Field(discriminator="kind"),
]


class NoShadowing(Config):
    """Loss depends on distance (and line of sight) only."""

    kind: Literal["none"] = "none"


class Tr38901Shadowing(Config):
    """Deviation and decorrelation distance of the TR 38.901 environment and LOS state."""

    kind: Literal["tr38901"] = "tr38901"


class LognormalShadowing(Config):
    """Correlated log-normal shadowing with given deviation."""

    kind: Literal["lognormal"] = "lognormal"
    sigma_db: Db = Field(8.0, ge=0, alias="sigma", description="Standard deviation.")
    decorrelation_m: Metres = Field(
        50.0, gt=0, alias="decorrelation", description="Distance at which correlation is 1/e."
    )


Shadowing = Annotated[
    NoShadowing | Tr38901Shadowing | LognormalShadowing, Field(discriminator="kind")
]


# --- small-scale fading --------------------------------------------------------------------------


class NoFading(Config):
    """The gain never changes."""

    kind: Literal["none"] = "none"


class PacedFading(Config):
    """Fading whose pace is given by a speed or by a coherence time.

    If by neither, the speed is the mean speed of the clients' `mobility`, 1 m/s where they stand
    (something always moves around them).
    """

    kind: str
    speed_mps: MetresPerSecond | None = Field(
        None,
        gt=0,
        le=FASTEST_MPS,
        alias="speed",
        description="Speed of the client or its surroundings; Doppler frequency = speed / "
        "wavelength, coherence time = 0.423 / Doppler frequency. null is the speed of "
        "network.mobility, or 1 m/s.",
    )
    coherence_time_s: Seconds | None = Field(
        None,
        ge=SHORTEST_SLOT_S,
        alias="coherence_time",
        description="Coherence time, instead of a speed.",
    )

    @model_validator(mode="after")
    def _one_pace(self) -> PacedFading:
        if self.speed_mps is not None and self.coherence_time_s is not None:
            raise ValueError("give either speed or coherence_time, not both")
        return self


class RayleighBlock(PacedFading):
    """Rayleigh fading, independent from one coherence time to the next."""

    kind: Literal["rayleigh_block"] = "rayleigh_block"


class Rician(PacedFading):
    """Rician fading, independent from one coherence time to the next."""

    kind: Literal["rician"] = "rician"
    k_factor_db: Db | Literal["auto"] = Field(
        "auto",
        alias="k_factor",
        description="Power of the direct path over the scattered power; auto draws it per client "
        "from TR 38.901 Table 7.5-6 (Rayleigh without line of sight).",
    )


class Nakagami(PacedFading):
    """Nakagami fading (Gamma power), independent from one coherence time to the next."""

    kind: Literal["nakagami"] = "nakagami"
    m: float = Field(2.0, ge=0.5, description="Shape; 1 is Rayleigh, larger fades less.")


class Jakes(PacedFading):
    """Rayleigh fading with the Clarke-Jakes autocorrelation J0(2 pi f_D tau)."""

    kind: Literal["jakes"] = "jakes"
    slot_s: Seconds | None = Field(
        None,
        ge=SHORTEST_SLOT_S,
        alias="slot",
        description="The gain is sampled in the middle of slots this long and held; default "
        "0.1 / Doppler frequency.",
    )


class GilbertElliott(Config):
    """Outages: each client's gain alternates between 1 (good) and `bad_gain`."""

    kind: Literal["gilbert_elliott"] = "gilbert_elliott"
    mean_good_s: Seconds = Field(
        10.0, gt=0, alias="mean_good", description="Mean duration of a good period."
    )
    mean_bad_s: Seconds = Field(
        1.0, gt=0, alias="mean_bad", description="Mean duration of an outage."
    )
    bad_gain_db: Db = Field(-20.0, le=0, alias="bad_gain", description="Gain in an outage.")


class CustomFading(Custom):
    """Your own fading, a `FadingModel`; run only with --allow-custom."""


Fading = Annotated[
    NoFading | RayleighBlock | Rician | Nakagami | Jakes | GilbertElliott | CustomFading,
    Field(discriminator="kind"),
]


# --- from SNR to bit/s ---------------------------------------------------------------------------


class Harq(Config):
    """Retransmission of lost blocks, each try lost independently."""

    bler: float = Field(0.1, ge=0, lt=1, description="Probability that a block is lost.")


class RateConfig(Config):
    """What every rate model may have."""

    kind: str
    harq: Harq | None = Field(None, description="Divide rates by the expected transmissions.")


class ShannonRate(RateConfig):
    """Capacity of the Gaussian channel, log2(1 + SNR)."""

    kind: Literal["shannon"] = "shannon"


class GapRate(RateConfig):
    """min(5.5547, log2(1 + SNR / gap)), the upper end of the 64-QAM CQI table."""

    kind: Literal["gap"] = "gap"
    gap_db: Db = Field(
        1.5,
        ge=0,
        le=100,
        alias="gap",
        description="SNR lost to practical coding (NR at 10% BLER: 1.5 dB).",
    )


class CqiRate(RateConfig):
    """Efficiency of the best CQI whose SNR threshold is met (TS 38.214 Table 5.2.2.1-2).

    At its threshold a CQI loses a tenth of its blocks, so a tenth is sent again by default.
    """

    kind: Literal["cqi"] = "cqi"
    harq: Harq | None = Field(
        Harq(),
        description="Divide rates by the expected transmissions; null counts lost blocks as sent.",
    )


Rate = Annotated[ShannonRate | GapRate | CqiRate, Field(discriminator="kind")]
