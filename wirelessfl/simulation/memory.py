"""The memory gate: which ranks each client can hold, and who cannot take part at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.device.fleet import Fleet
from wirelessfl.errors import InputError
from wirelessfl.learning.workload import Workload


@dataclass(frozen=True)
class MemoryGate:
    """Who can train what.

    Attributes:
        rank: Rank of the full adapter.
        max_rank: Largest rank that fits each client, 0 for those that are excluded. [clients]
        needed_bytes: Memory that rank one takes.
    """

    rank: int
    max_rank: NDArray[np.int64]
    needed_bytes: float

    @property
    def included(self) -> NDArray[np.bool_]:
        """Who can take part. [clients]"""
        return self.max_rank > 0

    def summary(self) -> dict[str, Any]:
        """Counts for the trace's summary, with the reason if somebody is excluded."""
        excluded = np.flatnonzero(~self.included)
        counts: dict[str, Any] = {
            "capped": int((self.included & (self.max_rank < self.rank)).sum()),
            "excluded": len(excluded),
        }
        if len(excluded):
            counts["excluded_clients"] = excluded.tolist()
            counts["reason"] = (
                f"training one rank takes {_binary(self.needed_bytes)}, more than these "
                "clients' memory (devices.profiles.*.memory)"
            )
        return counts


def memory_gate(fleet: Fleet, workload: Workload) -> MemoryGate:
    """Compare the memory of training with the memory of the devices.

    Raises:
        InputError: No client can hold even one rank.
    """
    needed_bytes = workload.memory_bytes(np.arange(1, workload.rank + 1))
    max_rank = np.searchsorted(needed_bytes, fleet.memory_bytes, side="right")
    gate = MemoryGate(workload.rank, max_rank.astype(np.int64), float(needed_bytes[0]))
    if not gate.included.any():
        raise InputError(
            f"no device can hold the model: training one rank takes {_binary(needed_bytes[0])}, "
            f"and the largest device has {_binary(fleet.memory_bytes.max())} "
            "(devices.profiles.*.memory); use a smaller model or batch, or larger devices"
        )
    return gate


def _binary(size: float) -> str:
    power, unit = (20, "MiB") if size < 2**30 else (30, "GiB")
    return f"{size / 2**power:.3g} {unit}"
