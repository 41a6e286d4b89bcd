"""The clients' hardware: the `devices:` section of a scenario, and the catalogue it draws on.

Data only: `wirelessfl.device` turns it into compute times, queues and energies.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator
from ruamel.yaml import YAML

from wirelessfl.scenario.base import Config, MisfitError
from wirelessfl.scenario.units import Bytes, BytesPerSecond, Flops, Seconds, Watts

Fraction = Annotated[float, Field(gt=0, le=1)]


class DeviceProfile(Config):
    """One kind of device. Its training speed is either measured or a declared share of its peak."""

    effective_flops: Flops | None = Field(
        None, gt=0, description="FLOP/s that training sustains on the device, measured."
    )
    peak_flops: Flops | None = Field(
        None, gt=0, description="The vendor's peak FLOP/s, where training was not measured."
    )
    utilisation: Fraction | None = Field(
        None, description="Share of the peak that training is taken to sustain."
    )
    memory_bandwidth_bytes_per_s: BytesPerSecond = Field(
        gt=0, alias="memory_bandwidth", description="Memory bandwidth, the other roof."
    )
    memory_bytes: Bytes = Field(gt=0, alias="memory", description="Memory training can use.")
    start_overhead_s: Seconds = Field(
        0.0, ge=0, alias="start_overhead", description="Time a local round takes before its work."
    )
    compute_power_w: Watts | None = Field(
        None,
        gt=0,
        alias="compute_power",
        description="Power of the board while it trains; without it its energy is missing.",
    )
    source: str = Field("", description="Where the numbers come from.")

    @model_validator(mode="after")
    def _one_speed(self) -> DeviceProfile:
        derated = self.peak_flops is not None and self.utilisation is not None
        partly = (self.peak_flops is None) != (self.utilisation is None)
        if partly or (self.effective_flops is None) != derated:
            raise ValueError("give either effective_flops, or both peak_flops and utilisation")
        return self

    @property
    def training_flops(self) -> float:
        """FLOP/s that training sustains: as measured, or peak times utilisation."""
        if self.effective_flops is not None:
            return self.effective_flops
        assert self.peak_flops is not None and self.utilisation is not None
        return self.peak_flops * self.utilisation


@functools.cache
def catalogue() -> Mapping[str, DeviceProfile]:
    """The devices that come with the package, by name."""
    text = files("wirelessfl.scenario").joinpath("data/profiles.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, DeviceProfile]).validate_python(YAML(typ="safe").load(text))


class NoJitter(Config):
    """A computation always takes its nominal time."""

    kind: Literal["none"] = "none"


class LognormalJitter(Config):
    """Computing time = nominal time times a lognormal factor of mean one."""

    kind: Literal["lognormal"] = "lognormal"
    sigma: float = Field(0.2, gt=0, le=2, description="Standard deviation of the factor's log.")


class ShiftedExponentialJitter(Config):
    """Computing time = nominal time times (1 - spread + spread * Exp(1)), whose mean is one."""

    kind: Literal["shifted_exponential"] = "shifted_exponential"
    spread: Fraction = Field(0.2, description="Mean share of the time that is random.")


Jitter = Annotated[
    NoJitter | LognormalJitter | ShiftedExponentialJitter, Field(discriminator="kind")
]


class AlwaysAvailable(Config):
    """Every device can be called upon at any time."""

    kind: Literal["always"] = "always"


class Failures(Config):
    """Devices that leave in the middle of a round."""

    drop_probability: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Probability that a participant drops out while it trains, each round.",
    )


class RadioPower(Config):
    """What transmitting costs: radiated power / pa_efficiency + circuit_power.

    Defaults: Jensen et al., "LTE UE power consumption model", IEEE VTC Fall 2012, measured on a
    modem: 1.60 W of radio-frequency power at 23 dBm (0.2 W radiated), 0.55 W of transmit baseband.
    """

    pa_efficiency: Fraction = Field(
        0.125, description="Radiated power over the power the transmitter's amplifier chain draws."
    )
    circuit_power_w: Watts = Field(
        0.55, ge=0, alias="circuit_power", description="Power of the rest of the transmitter."
    )


class DevicesConfig(Config):
    """The `devices:` section."""

    count: int = Field(40, ge=1, description="Number of clients.")
    mix: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        {"jetson-nano": 0.3, "phone-sd778g": 0.4, "orin-nano": 0.3},
        description="Share of the clients that each kind of device has; the shares sum to one.",
    )
    profiles: dict[str, DeviceProfile] = Field(
        {}, description="Kinds of devices of your own, by name; they come before the catalogue's."
    )
    jitter: Jitter = Field(LognormalJitter(), description="Variation of the computing time.")
    availability: AlwaysAvailable = Field(AlwaysAvailable(), description="When devices are on.")
    failures: Failures = Field(Failures(), description="Drop-out in the middle of a round.")
    radio: RadioPower = Field(RadioPower(), description="Power of the transmitter.")

    @model_validator(mode="after")
    def _mix_is_a_distribution_over_known_devices(self) -> DevicesConfig:
        known = {**catalogue(), **self.profiles}
        for name in self.mix:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                raise MisfitError(("mix", name), f"is not a known device; {hint}")
        total = math.fsum(self.mix.values())
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise MisfitError(("mix",), f"has shares that sum to {total:g}; they must sum to 1")
        return self

    def profile(self, name: str) -> DeviceProfile:
        """The named device: the scenario's own, or the catalogue's."""
        return self.profiles[name] if name in self.profiles else catalogue()[name]
