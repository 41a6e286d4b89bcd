"""What became of the clients that were put to work: the rows that a run writes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl.simulation.energy import Energy

OUTCOMES = ("completed", "lost", "dropped", "crashed", "offline", "cancelled")
"""Uploaded; uploaded, but corrupt; left by itself in three ways; cut by the server."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Record:
    """Clients whose work counts for one round, `[n]`; a client may have worked more than once.

    Attributes:
        clients: Who they are.
        ranks: How many ranks each was to train.
        outcome: What became of each, as an index into `OUTCOMES`.
        cell: The cell that served each.
        staleness: How many versions of the global model were made while each was at work.
        download_start_s, download_end_s, compute_start_s, compute_end_s, upload_end_s: Simulated
            times; NaN for what never happened.
        leave_s: When it left, or would have.
        computing_s, uploading_s: How long it computed and uploaded, finished or not.
        downloaded_bits, uploaded_bits: Bits of each, unfinished transfers included.
        air_bits: Bits of its download on the air; a stream that many hear counts once.
        energy: Joules.
    """

    clients: Ints
    ranks: Ints
    outcome: Ints
    cell: NDArray[np.integer]
    staleness: Ints
    download_start_s: Floats
    download_end_s: Floats
    compute_start_s: Floats
    compute_end_s: Floats
    upload_end_s: Floats
    leave_s: Floats
    computing_s: Floats
    uploading_s: Floats
    downloaded_bits: Floats
    uploaded_bits: Floats
    air_bits: float
    energy: Energy

    def became(self, outcome: str) -> NDArray[np.bool_]:
        """Whose outcome it was. [n]"""
        return np.asarray(self.outcome == OUTCOMES.index(outcome))


def joined(records: Sequence[Record]) -> Record:
    """Several records, at least one, as one."""
    columns: dict[str, Any] = {}
    for field in fields(Record):
        parts = [getattr(record, field.name) for record in records]
        if field.name == "air_bits":
            columns[field.name] = float(sum(parts))
        elif field.name == "energy":
            names = [part.name for part in fields(Energy)]
            columns[field.name] = Energy(
                *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
            )
        else:
            columns[field.name] = np.concatenate(parts)
    return Record(**columns)
