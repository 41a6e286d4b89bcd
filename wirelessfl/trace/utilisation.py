"""What is in the air over time: transfers under way, and bits per second in each cell.

A trace knows when a transfer began and ended and how many bits went through, not how its rate rose
and fell between; it counts here with its mean rate. So throughput is a step function whose integral
is exactly the bits transferred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MOST_STEPS = 1000  # of a counter; with more, it is the mean over as many equal times
MOST_CELLS = 16  # with a counter of their own, those with most bits; the others share one

Floats = NDArray[np.float64]

_DIRECTIONS = ("download", "upload")
_LINKS = {"download": "downlink_bits", "upload": "uplink_bits"}


@dataclass(frozen=True)
class Counter:
    """A step function of time; values hold until the next time. After the last it is zero.

    Attributes:
        name: What is counted.
        series: Names of what is counted together.
        times_s: Ascending. [steps]
        values: [steps, series]
    """

    name: str
    series: Sequence[str]
    times_s: Floats
    values: Floats


def counters(clients: pd.DataFrame) -> Iterator[Counter]:
    """The counters of a clients table: active transfers, and Mbit/s of each cell.

    Downlink bits are what clients received: of one multicast each of them counts.
    """
    transfers = _transfers(clients)
    if transfers.empty:
        return
    yield _counter("active transfers", transfers, np.ones(len(transfers)))
    rates_mbps = (transfers["bits"] / transfers["length_s"] / 1e6).to_numpy()
    groups = _cell_groups(transfers)
    for group in dict.fromkeys(groups.sort_values().tolist()):
        chosen = (groups == group).to_numpy()
        name = "other cells" if group == _OTHERS else f"cell {group}"
        yield _counter(f"{name} (Mbit/s)", transfers[chosen], rates_mbps[chosen])


_OTHERS = np.iinfo(np.int32).max


def _cell_groups(transfers: pd.DataFrame) -> pd.Series:
    """Each transfer's cell, or one number for all but those with most bits."""
    bits = transfers.groupby("cell")["bits"].sum().sort_values(ascending=False, kind="stable")
    return transfers["cell"].where(transfers["cell"].isin(bits.index[:MOST_CELLS]), _OTHERS)


def _transfers(clients: pd.DataFrame) -> pd.DataFrame:
    """One row a transfer that took time: direction (0 is down), cell, begin, length and bits."""
    parts = [
        pd.DataFrame(
            {
                "direction": number,
                "cell": clients["cell"],
                "start_s": clients[f"{name}_start_s"],
                "length_s": clients[f"{name}_s"],
                "bits": clients[_LINKS[name]],
            }
        )
        for number, name in enumerate(_DIRECTIONS)
    ]
    transfers = pd.concat(parts, ignore_index=True)
    return transfers[transfers["length_s"] > 0]


def _counter(name: str, transfers: pd.DataFrame, height: Floats) -> Counter:
    """Sum of the transfers, each as high as given for as long as it lasts."""
    start_s = transfers["start_s"].to_numpy()
    end_s = start_s + transfers["length_s"].to_numpy()
    times_s = np.unique(np.concatenate([start_s, end_s]))
    values = np.zeros((len(times_s), len(_DIRECTIONS)))
    series = transfers["direction"].to_numpy()
    np.add.at(values, (np.searchsorted(times_s, start_s), series), height)
    np.add.at(values, (np.searchsorted(times_s, end_s), series), -height)
    values = values.cumsum(axis=0).clip(min=0.0)
    values[-1] = 0.0  # all have ended; what is left is rounding
    if len(times_s) > MOST_STEPS:
        times_s, values = _means(times_s, values)
    return Counter(name, _DIRECTIONS, times_s, values)


def _means(times_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """A step function's means over MOST_STEPS equal times, and zero at the end."""
    area = np.zeros_like(values)
    area[1:] = (values[:-1] * np.diff(times_s)[:, None]).cumsum(axis=0)
    grid_s = np.linspace(times_s[0], times_s[-1], MOST_STEPS + 1)
    means = np.zeros((len(grid_s), values.shape[1]))
    for column, until in enumerate(area.T):
        means[:-1, column] = np.diff(np.interp(grid_s, times_s, until)) / np.diff(grid_s)
    return grid_s, means
