"""All clients' devices as arrays: a roofline for time, a power for energy, a draw for chance.

    t = jitter * ( max(FLOPs / effective_flops, bytes / memory_bandwidth) + start_overhead )

Everything random is a pure function of (seed, client, round), so every strategy of a comparison
meets the same slow devices, drop-outs, crashes and lost uploads in the same rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wirelessfl.randomness import exponential, normal, uniform
from wirelessfl.scenario.devices import (
    DeviceProfile,
    DevicesConfig,
    Failures,
    Jitter,
    LognormalJitter,
    RadioPower,
    ShiftedExponentialJitter,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fleet:
    """The devices of all clients; arrays are `[clients]`.

    Attributes:
        seed: The scenario's seed.
        profiles: Names of the kinds of device there are. [kinds]
        kind: Each client's kind.
        effective_flops: FLOP/s that training sustains.
        memory_bandwidth: Bytes/s.
        memory_bytes: Memory that training can use.
        workers: Jobs that run at a time.
        start_overhead_s: Time a local round takes before its work.
        compute_power_w: Power while training, NaN where it is not known, 0 where its energy
            follows from its operations.
        joules_per_flop: Energy of an operation, 0 where it follows from time.
        receive_power_w: Power while downloading, 0 where it is not counted.
        idle_power_w: Power while waiting, 0 where it is not counted.
        jitter: How computing times vary about their mean.
        failures: What goes wrong, and how often.
        radio: What transmitting costs.
    """

    seed: int
    profiles: tuple[str, ...]
    kind: Ints
    effective_flops: Floats
    memory_bandwidth: Floats
    memory_bytes: Floats
    workers: Ints
    start_overhead_s: Floats
    compute_power_w: Floats
    joules_per_flop: Floats
    receive_power_w: Floats
    idle_power_w: Floats
    jitter: Jitter
    failures: Failures
    radio: RadioPower

    @property
    def clients(self) -> int:
        """Number of clients."""
        return len(self.kind)

    @property
    def profile(self) -> NDArray[np.str_]:
        """Name of each client's kind of device. [clients]"""
        return np.array(self.profiles)[self.kind]

    def nominal_s(self, clients: Ints, flops: ArrayLike, memory_traffic: ArrayLike) -> Floats:
        """Mean computing time of given work (Williams et al., "Roofline", CACM 2009). [n]

        Args:
            clients: Who computes. [n]
            flops: Floating-point operations of the work. [n] or one for all.
            memory_traffic: Bytes it moves between memory and processor. [n] or one for all.
        """
        compute_s = np.asarray(flops) / self.effective_flops[clients]
        traffic_s = np.asarray(memory_traffic) / self.memory_bandwidth[clients]
        return np.maximum(compute_s, traffic_s) + self.start_overhead_s[clients]

    def duration_s(
        self, clients: Ints, round: int, flops: ArrayLike, memory_traffic: ArrayLike
    ) -> Floats:
        """Computing time of given work in one round, jittered; arguments as for `nominal_s`. [n]"""
        return self.nominal_s(clients, flops, memory_traffic) * self._jitter(clients, round)

    def _jitter(self, clients: Ints, round: int) -> Floats:
        """A factor of mean one for each client's computation in the round. [n]"""
        match self.jitter:
            case LognormalJitter(sigma=sigma):
                draw = normal(self.seed, "compute-jitter", clients, round)
                return np.asarray(np.exp(sigma * draw - 0.5 * sigma**2), dtype=np.float64)
            case ShiftedExponentialJitter(spread=spread):
                draw = exponential(self.seed, "compute-jitter", clients, round)
                return 1.0 - spread + spread * draw
            case _:
                return np.ones(len(clients))

    @property
    def jitter_spread(self) -> float:
        """Standard deviation of the jitter, whose mean is one."""
        match self.jitter:
            case LognormalJitter(sigma=sigma):
                return math.sqrt(math.expm1(sigma**2))
            case ShiftedExponentialJitter(spread=spread):
                return spread
            case _:
                return 0.0

    def drop_fraction(self, clients: Ints, round: int) -> Floats:
        """Share of its computation after which a client drops out of the round. [n]

        Uniform on (0, 1) for those that drop out, infinity for those that stay.
        """
        return self._failing(clients, round, "drop-out", self.failures.drop_probability)

    def crash_fraction(self, clients: Ints, round: int) -> Floats:
        """Share of its computation after which a client's device crashes; as `drop_fraction`."""
        return self._failing(clients, round, "crash", self.failures.crash_probability)

    def loses_upload(self, clients: Ints, round: int) -> NDArray[np.bool_]:
        """Whose upload will be corrupt, if there is one. [n]"""
        draw = uniform(self.seed, "upload-loss", clients, round)
        return np.asarray(draw < self.failures.upload_loss_probability)

    def _failing(self, clients: Ints, round: int, stream: str, probability: float) -> Floats:
        fails = uniform(self.seed, stream, clients, round) < probability
        fraction = uniform(self.seed, f"{stream}-moment", clients, round)
        return np.where(fails, fraction, np.inf)

    def compute_j(self, clients: Ints, duration_s: ArrayLike, flops: ArrayLike = 0.0) -> Floats:
        """Energy of training so long, in which so many operations are done. [n]

        Power times time, or kappa * cycles * frequency^2 where the profile gives a processor; NaN
        for devices of unknown power.
        """
        by_time = self.compute_power_w[clients] * np.asarray(duration_s, dtype=np.float64)
        return by_time + self.joules_per_flop[clients] * np.asarray(flops, dtype=np.float64)

    def transmit_w(self, power_dbm: float, occupancy: ArrayLike = 1.0) -> Floats:
        """Power drawn while transmitting: P_radiated / eta_PA + P_circuit. [n]

        Args:
            power_dbm: What the client radiates with the whole band in use.
            occupancy: Share of that it radiates. [n] or one for all.
        """
        radiated_w: float = 10.0 ** (power_dbm / 10.0 - 3.0)
        amplifier_w = radiated_w / self.radio.pa_efficiency
        return np.asarray(occupancy, dtype=np.float64) * amplifier_w + self.radio.circuit_power_w


def largest_remainder(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total`, each within one of its share (Hamilton's method).

    Equal remainders go to the name that comes first in `shares`.
    """
    # A quota that is whole but for rounding (0.3 * 10 = 2.9999...) must not lose its unit.
    quotas = {name: round(share * total, 9) for name, share in shares.items()}
    counts = {name: math.floor(quota) for name, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda name: counts[name] - quotas[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _compute_power_w(device: DeviceProfile) -> float:
    if device.cpu is not None:
        return 0.0
    return np.nan if device.compute_power_w is None else device.compute_power_w


def build_fleet(config: DevicesConfig, seed: int) -> Fleet:
    """The fleet a scenario describes: exact counts of each device, dealt out at random."""
    counts = largest_remainder(config.mix, config.count)
    deck = np.repeat(np.arange(len(counts)), list(counts.values()))
    kind = deck[np.argsort(uniform(seed, "device-of-client", np.arange(config.count)))]
    devices = [config.profile(name) for name in counts]

    def column(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)[kind]

    return Fleet(
        seed=seed,
        profiles=tuple(counts),
        kind=kind,
        effective_flops=column([device.training_flops for device in devices]),
        memory_bandwidth=column([device.memory_bandwidth_bytes_per_s for device in devices]),
        memory_bytes=column([device.memory_bytes for device in devices]),
        workers=np.array([device.workers for device in devices])[kind],
        start_overhead_s=column([device.start_overhead_s for device in devices]),
        compute_power_w=column([_compute_power_w(device) for device in devices]),
        joules_per_flop=column([device.joules_per_flop for device in devices]),
        receive_power_w=column([device.receive_power_w or 0.0 for device in devices]),
        idle_power_w=column([device.idle_power_w or 0.0 for device in devices]),
        jitter=config.jitter,
        failures=config.failures,
        radio=config.radio,
    )
