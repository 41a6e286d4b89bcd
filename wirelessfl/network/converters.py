"""From published trace formats to ours: each function makes one client's `RateTrace` of a file.

    write_traces(Path("rates.csv"), [g_nettrack_trace(path) for path in folder.glob("*.csv")])

What such a file holds is throughput, so it is what the link could carry only where the test kept
the link busy: choose tests that saturate the direction you care about.
"""

from __future__ import annotations

import csv
import math
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wirelessfl.errors import InputError
from wirelessfl.network.trace_replay import RateTrace

_PACKET_MBIT = 1500 * 8 / 1e6
_LONGEST_HOLE_S = 5.0  # without a sample, bridged by the rate before it
_MOST_KBPS = 1e12
_LEAST_STEP_S = 1e-3
_MOST_STEPS = 10_000_000  # four months of seconds


def g_nettrack_trace(path: Path, step_s: float = 1.0) -> RateTrace:
    """A test drive of the UCC 5G data set (D. Raca et al., ACM MMSys 2020), logged by G-NetTrack.

    `DL_bitrate` and `UL_bitrate` are in kbit/s, `Timestamp` is like 2019.12.16_13.40.04. The rate
    of a step is the mean of its samples; holes of up to 5 s keep the rate before them. Idle
    samples (`State` I) and missing ones (`-`) say nothing of the link and are left out. The tests
    are downloads: their uplink rate is that of acknowledgements.

    Raises:
        InputError: If the file is something else, or has longer holes; names the line. If the step
            is not 1 ms or more.
    """
    _check_step(step_s)
    times_s: list[float] = []
    rates: list[tuple[float, float]] = []
    start: datetime | None = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            missing = {"Timestamp", "DL_bitrate", "UL_bitrate"} - set(lines.fieldnames or ())
            if missing:
                raise InputError(f"{path}:1: has no column {', '.join(sorted(missing))}")
            for cells in lines:
                if cells.get("State") == "I" or "-" in (cells["DL_bitrate"], cells["UL_bitrate"]):
                    continue
                where = f"{path}:{lines.line_num}"
                stamp, kbps = _g_nettrack_sample(where, cells)
                start = start or stamp
                time_s = (stamp - start).total_seconds()
                waited_s = time_s - times_s[-1] if times_s else 0.0
                if not 0.0 <= waited_s <= _LONGEST_HOLE_S + step_s:
                    raise InputError(
                        f"{where}: {waited_s:g} s after the sample before it, must be 0 to "
                        f"{_LONGEST_HOLE_S + step_s:g} s; cut the file there"
                    )
                times_s.append(time_s)
                rates.append(kbps)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not times_s:
        raise InputError(f"{path}:1: has no samples")
    _check_steps(path, times_s[-1] / step_s)
    step = np.floor(np.array(times_s) / step_s).astype(np.int64)
    samples = np.bincount(step)
    held = np.maximum.accumulate(np.where(samples, np.arange(len(samples)), 0))
    down, up = (np.bincount(step, kbps)[held] / samples[held] / 1e3 for kbps in np.array(rates).T)
    return RateTrace(step_s, down, up)


def mahimahi_trace(downlink: Path, uplink: Path, step_s: float = 1.0) -> RateTrace:
    """A pair of Mahimahi packet-delivery schedules (R. Netravali et al., USENIX ATC 2015).

    Each line is a millisecond at which 1500 bytes can pass; a schedule starts again after its last
    line. The result covers the longer of the two; its last step goes on into the repetition.

    Raises:
        InputError: If a file is something else; names the line. If the step is not 1 ms or more.
    """
    _check_step(step_s)
    schedules = _mahimahi_stamps(downlink), _mahimahi_stamps(uplink)
    for path, stamps in zip((downlink, uplink), schedules, strict=True):
        _check_steps(path, stamps[-1] / (1e3 * step_s))
    steps = math.ceil(max(stamps[-1] for stamps in schedules) / (1e3 * step_s))
    edges_ms = np.arange(steps + 1) * (1e3 * step_s)
    down, up = (
        np.diff(_packets_until(stamps, edges_ms)) * (_PACKET_MBIT / step_s) for stamps in schedules
    )
    return RateTrace(step_s, down, up)


def _check_step(step_s: float) -> None:
    if not _LEAST_STEP_S <= step_s < math.inf:
        raise InputError(f"step_s is {step_s}, must be a time of at least {_LEAST_STEP_S:g} s")


def _check_steps(path: Path, steps: float) -> None:
    if steps > _MOST_STEPS:
        raise InputError(
            f"{path}: is {steps:.3g} steps long, at most {_MOST_STEPS:,} can be converted; cut it, "
            "or take a longer step_s"
        )


def _g_nettrack_sample(where: str, cells: dict[str, str]) -> tuple[datetime, tuple[float, float]]:
    try:
        stamp = datetime.strptime(cells["Timestamp"], "%Y.%m.%d_%H.%M.%S")
        down, up = float(cells["DL_bitrate"]), float(cells["UL_bitrate"])
    except TypeError:  # the cells that are missing are None
        raise InputError(f"{where}: not a G-NetTrack sample: the line ends too early") from None
    except ValueError as error:
        raise InputError(f"{where}: not a G-NetTrack sample: {error}") from None
    if not (0.0 <= down <= _MOST_KBPS and 0.0 <= up <= _MOST_KBPS):
        raise InputError(
            f"{where}: bit rates {down:g} and {up:g} must be numbers of at least 0, and at most "
            f"{_MOST_KBPS:g} kbit/s"
        )
    return stamp, (down, up)


def _mahimahi_stamps(path: Path) -> NDArray[np.int64]:
    """The schedule's milliseconds in order."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    stamps: list[int] = [0]
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if not line:
            continue
        if not (line.isascii() and line.isdecimal() and len(line) < 16):
            raise InputError(f"{path}:{number}: {line[:20]!r} is not a whole number of ms")
        if int(line) < stamps[-1]:
            raise InputError(f"{path}:{number}: {line} ms comes after {stamps[-1]} ms")
        stamps.append(int(line))
    if stamps[-1] == 0:
        raise InputError(f"{path}:1: has no time after 0 ms, at which a schedule could end")
    return np.array(stamps[1:])


def _packets_until(
    stamps_ms: NDArray[np.int64], until_ms: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Packets delivered up to each time by a schedule that repeats, counted from its start."""
    rounds, rest_ms = np.divmod(until_ms, stamps_ms[-1])
    within = np.searchsorted(stamps_ms, rest_ms, side="right")
    return rounds.astype(np.int64) * len(stamps_ms) + within
