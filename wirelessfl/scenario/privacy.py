"""Differential privacy of the clients: how much noise, or how much may be lost."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config


class PrivacyConfig(Config):
    """Differential privacy of each client towards those who see the global models.

    Updates are clipped, and Gaussian noise is added to their weighted sum by a server that is
    trusted. Whether a client took part at all is what epsilon and delta are about.
    """

    clip_norm: float = Field(
        1.0, gt=0, description="Largest norm C of a client's update; longer ones are scaled down"
    )
    noise_multiplier: float | None = Field(
        None,
        ge=0,
        description="Standard deviation of the noise over the most that one client can change the "
        "sum, C max a_n/q_n; 0 only clips",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description="Or the epsilon that all rounds together (stop.rounds) may cost; the noise "
        "follows from it",
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="Delta that epsilon goes with")
    accountant: Literal["rdp", "prv"] = Field(
        "rdp",
        description="How rounds add up: Renyi divergences, or privacy loss variables (tighter, "
        "slower); both Opacus's, for Poisson sampling",
    )

    @model_validator(mode="after")
    def _one_amount_of_noise(self) -> Self:
        if (self.noise_multiplier is None) == (self.epsilon is None):
            raise ValueError("give either noise_multiplier or epsilon")
        return self
