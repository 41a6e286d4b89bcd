"""The clients' hardware: the `devices:` section of a scenario, and the catalogue it draws on.

Data only: `wirelessfl.device` turns it into compute times, queues and energies.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from wirelessfl.scenario.availability import (
    AlwaysAvailable,
    AvailabilityConfig,
    BackgroundConfig,
    BatteryConfig,
)
from wirelessfl.scenario.base import Config, MisfitError
from wirelessfl.scenario.units import Bytes, BytesPerSecond, Flops, Hertz, Seconds, Watts
from wirelessfl.scenario.yaml_text import read_catalogue

Fraction = Annotated[float, Field(gt=0, le=1)]


MOST_LOAD = 0.9  # of a worker by background jobs; nearer to one, waiting times never settle


class Processor(Config):
    """A processor as papers model it: FLOP/s = frequency / cycles_per_flop, energy per cycle.

    E = kappa * cycles * frequency^2 (Yang et al., "Energy efficient federated learning over
    wireless communication networks", IEEE Trans. Wireless Commun. 20(3), 2021).
    """

    frequency_hz: Hertz = Field(gt=0, alias="frequency", description="Clock frequency.")
    cycles_per_flop: float = Field(
        1.0, gt=0, description="Cycles that an operation of training takes; 0.25 is four a cycle."
    )
    kappa: float = Field(
        1e-28, gt=0, description="Effective switched capacitance, J s^2 per cycle."
    )


class DeviceProfile(Config):
    """One kind of device. Its speed is measured, a declared share of its peak, or a processor's."""

    effective_flops: Flops | None = Field(
        None, gt=0, description="FLOP/s that training sustains on the device, measured."
    )
    peak_flops: Flops | None = Field(
        None, gt=0, description="The vendor's peak FLOP/s, where training was not measured."
    )
    utilisation: Fraction | None = Field(
        None, description="Share of the peak that training is taken to sustain."
    )
    cpu: Processor | None = Field(
        None, description="Clock and energy per cycle, in place of a speed and compute_power."
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Jobs the device runs at a time; each runs at the speed given.",
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
    receive_power_w: Watts | None = Field(
        None,
        ge=0,
        alias="receive_power",
        description="Power while it downloads; null: not counted.",
    )
    idle_power_w: Watts | None = Field(
        None,
        ge=0,
        alias="idle_power",
        description="Power while it waits, in a round, for its processor; null: not counted.",
    )
    source: str = Field("", description="Where the numbers come from.")

    @model_validator(mode="after")
    def _one_speed(self) -> DeviceProfile:
        derated = self.peak_flops is not None and self.utilisation is not None
        partly = (self.peak_flops is None) != (self.utilisation is None)
        if partly or (self.effective_flops is not None) + derated + (self.cpu is not None) != 1:
            raise ValueError(
                "give either effective_flops, or both peak_flops and utilisation, or cpu"
            )
        if self.cpu is not None and self.compute_power_w is not None:
            raise ValueError("give either compute_power or cpu, which says the energy itself")
        return self

    @property
    def training_flops(self) -> float:
        """FLOP/s that training sustains: as measured, peak times utilisation, or by the clock."""
        if self.effective_flops is not None:
            return self.effective_flops
        if self.cpu is not None:
            return self.cpu.frequency_hz / self.cpu.cycles_per_flop
        assert self.peak_flops is not None and self.utilisation is not None
        return self.peak_flops * self.utilisation

    @property
    def joules_per_flop(self) -> float:
        """Energy of an operation by the processor's law; 0 where time has a power instead."""
        if self.cpu is None:
            return 0.0
        return self.cpu.kappa * self.cpu.cycles_per_flop * self.cpu.frequency_hz**2


@functools.cache
def catalogue() -> Mapping[str, DeviceProfile]:
    """The devices that come with the package, by name."""
    return read_catalogue("profiles.yaml", DeviceProfile)


class NoJitter(Config):
    """A computation always takes its nominal time: the deterministic (fixed) model of papers."""

    kind: Literal["none"] = "none"


class LognormalJitter(Config):
    """Computing time = nominal time times a lognormal factor of mean one."""

    kind: Literal["lognormal"] = "lognormal"
    sigma: float = Field(0.2, gt=0, le=2, description="Standard deviation of the factor's log.")


class ShiftedExponentialJitter(Config):
    """Computing time = nominal time times (1 - spread + spread * Exp(1)), whose mean is one.

    The law P(T <= t) = 1 - exp(-(mu/D)(t - a D)) for work D of papers (Reisizadeh et al., "Coded
    computation over heterogeneous clusters", IEEE Trans. Inf. Theory 65(7), 2019), with
    a D = (1 - spread) * nominal and D / mu = spread * nominal.
    """

    kind: Literal["shifted_exponential"] = "shifted_exponential"
    spread: Fraction = Field(0.2, description="Mean share of the time that is random.")


Jitter = Annotated[
    NoJitter | LognormalJitter | ShiftedExponentialJitter, Field(discriminator="kind")
]


class Failures(Config):
    """What goes wrong in the middle of a round; the server learns of it when it happens.

    The draws are independent. Of a drop-out and a crash the one that comes first happens.
    """

    drop_probability: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Probability that a participant drops out while it trains, each round.",
    )
    crash_probability: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Probability that a participant crashes while it trains, each round.",
    )
    reboot_s: Seconds = Field(
        60.0, ge=0, alias="reboot", description="Time after a crash in which a device runs nothing."
    )
    upload_loss_probability: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Probability that an upload arrives corrupt, each round: its time, bits and "
        "energy are spent, and the server does not use it.",
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

    count: int = Field(40, ge=1, le=1_000_000, description="Number of clients.")
    mix: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        {"jetson-nano": 0.3, "phone-sd778g": 0.4, "orin-nano": 0.3},
        description="Share of the clients that each kind of device has; the shares sum to one.",
    )
    profiles: dict[str, DeviceProfile] = Field(
        {}, description="Kinds of devices of your own, by name; they come before the catalogue's."
    )
    jitter: Jitter = Field(LognormalJitter(), description="Variation of the computing time.")
    availability: AvailabilityConfig = Field(
        AlwaysAvailable(), description="When devices are on; others cannot take part."
    )
    failures: Failures = Field(Failures(), description="What goes wrong in a round.")
    background: BackgroundConfig | None = Field(
        None, description="Other work on the devices; null is none."
    )
    battery: BatteryConfig | None = Field(None, description="Batteries, all alike; null is mains.")
    radio: RadioPower = Field(RadioPower(), description="Power of the transmitter.")

    @field_validator("profiles")
    @classmethod
    def _names_can_be_printed(cls, value: dict[str, DeviceProfile]) -> dict[str, DeviceProfile]:
        for name in value:
            if not name.isprintable():
                raise ValueError(f"has the name {name!r}, which cannot be printed as it is")
        return value

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

    @model_validator(mode="after")
    def _devices_bear_what_is_asked(self) -> DevicesConfig:
        for name in (name for name, share in self.mix.items() if share > 0):
            profile = self.profile(name)
            if self.background is not None:
                load = self.background.load / profile.workers
                if load > MOST_LOAD:
                    raise MisfitError(
                        ("background", "jobs_per_hour"),
                        f"and duration keep each worker of {name!r} busy {load:.0%} of the time; "
                        f"at most {MOST_LOAD:.0%} can be simulated",
                    )
            if self.battery is not None and profile.compute_power_w is None and not profile.cpu:
                raise MisfitError(
                    ("battery",),
                    f"needs the power of every device, and {name!r} gives neither compute_power "
                    "nor cpu; give it one under devices.profiles, or leave it out of the mix",
                )
        return self

    def profile(self, name: str) -> DeviceProfile:
        """The named device: the scenario's own, or the catalogue's."""
        return self.profiles[name] if name in self.profiles else catalogue()[name]
