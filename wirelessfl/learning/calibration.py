"""Measure this machine as a device: what it sustains in training, so that it can join a scenario.

Training speed: wall-clock time of one LoRA step of a small Vision Transformer through PEFT, all
cores, over the operations that the simulator counts for that very step; the profile's FLOP/s and a
scenario's FLOPs are thus in the same currency. Memory bandwidth: the triad a = b + s c of STREAM
(McCalpin, IEEE TCCA Newsletter, 1995), which moves three arrays far larger than any cache. Medians
of repeated measurements, the first of which is thrown away.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from wirelessfl.errors import InputError
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import build_learner
from wirelessfl.learning.threads import torch_threads
from wirelessfl.scenario.base_model import TinyVit
from wirelessfl.scenario.devices import DeviceProfile
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.local import LocalConfig
from wirelessfl.scenario.lora import LoraConfig
from wirelessfl.scenario.partition import IidPartition
from wirelessfl.scenario.yaml_text import yaml_text

MODEL = TinyVit(hidden=192, layers=4, heads=4, pretrain_steps=1)
TRIAD_BYTES = 3 * 2**27  # of the three arrays together
_RANK, _BATCH = 8, 32


@dataclass(frozen=True)
class Measurement:
    """Repeated measurements of one quantity, in its SI unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median."""
        return (max(self.values) - min(self.values)) / self.median


@dataclass(frozen=True)
class Calibration:
    """What was measured, and on what.

    Attributes:
        flops: FLOP/s of training steps.
        memory_bandwidth: Bytes/s of the triad.
        memory_bytes: Physical memory of the machine.
        what: What was run, in words.
    """

    flops: Measurement
    memory_bandwidth: Measurement
    memory_bytes: int
    what: str

    @property
    def profile(self) -> DeviceProfile:
        """The machine as a device; numbers to three digits, more would not repeat."""
        return DeviceProfile(
            effective_flops=_three_digits(self.flops.median),
            memory_bandwidth_bytes_per_s=_three_digits(self.memory_bandwidth.median),
            memory_bytes=_three_digits(self.memory_bytes),
            source=f"wirelessfl calibrate: {self.what}",
        )

    def to_yaml(self, name: str) -> str:
        """The profile as it stands under `devices.profiles`."""
        return yaml_text({name: self.profile.model_dump(mode="json", exclude_defaults=True)})


def calibrate(
    repeats: int = 5, model: TinyVit = MODEL, triad_bytes: int = TRIAD_BYTES
) -> Calibration:
    """Measure this machine.

    Args:
        repeats: Measurements of each quantity.
        model: What the training step trains.
        triad_bytes: Size of the triad's three arrays together.

    Raises:
        InputError: The operating system does not tell the size of the memory.
    """
    threads = _cores()
    memory_bytes = physical_memory_bytes()
    return Calibration(
        flops=_training_flops(repeats, model, threads),
        memory_bandwidth=_triad_bandwidth(repeats, triad_bytes, threads),
        memory_bytes=memory_bytes,
        what=(
            f"median of {repeats} LoRA steps (rank {_RANK}, batch {_BATCH}) of a ViT of width "
            f"{model.hidden} and {model.layers} layers, and of {repeats} triads over "
            f"{triad_bytes / 2**20:.0f} MiB, in float32 on {threads} threads of a "
            f"{platform.machine()}; all physical memory; torch {torch.__version__}"
        ),
    )


def physical_memory_bytes() -> int:
    """Physical memory of this machine, as POSIX tells it.

    Raises:
        InputError: It does not.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        raise InputError(
            "this system does not tell how much memory it has; write the profile by hand"
        ) from None


def _training_flops(repeats: int, model: TinyVit, threads: int) -> Measurement:
    config = LearningConfig(
        partition=IidPartition(sizes="balanced"),
        model=model,
        lora=LoraConfig(rank=_RANK),
        local=LocalConfig(steps=1, batch=_BATCH),
        engine="reference",
        threads=threads,
    )
    learner = build_learner(config, clients=1, seed=0)
    work = float(learner.workload.local_flops(np.array([0]), np.array([_RANK]))[0])

    def step(round: int) -> None:
        job = GradientJob(version=0, client=0, round=round, rank=_RANK)
        learner.train([job], {0: learner.initial}, learner.method())

    return Measurement(tuple(work / time_s for time_s in _times_s(step, repeats)))


def _triad_bandwidth(repeats: int, triad_bytes: int, threads: int) -> Measurement:
    a, b, c = torch.ones(3, triad_bytes // 12)

    def triad(_: int) -> None:
        torch.add(b, c, alpha=3.0, out=a)

    with torch_threads(threads):
        return Measurement(tuple(triad_bytes / time_s for time_s in _times_s(triad, repeats)))


def _times_s(work: Callable[[int], None], repeats: int) -> list[float]:
    """Wall-clock seconds of each repetition after the first, which warms up."""
    times_s = []
    for repetition in range(repeats + 1):
        started = time.perf_counter()
        work(repetition)
        times_s.append(time.perf_counter() - started)
    return times_s[1:]


def _cores() -> int:
    """Cores this process may use, where the system tells; else all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
