"""The tables of the page: a name a column, and cells with their interval below."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wirelessfl.study.report.figures import scale
from wirelessfl.study.statistics import Interval
from wirelessfl.trace.words import duration

Show = Callable[[float], str]


@dataclass(frozen=True)
class Cell:
    """What is said, and smaller beneath it how sure it is."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of a row names a strategy, whose colour goes with it."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    wide: bool = True


def estimate(found: Interval, show: Show, bound: bool = False, least: float = 0.0) -> Cell:
    """A mean with its 95% interval; `bound` marks it as a lower bound of the truth.

    Args:
        found: What to show.
        show: How to write one number.
        bound: Whether the truth is at least the mean.
        least: What the quantity cannot be below, whatever Student's distribution says.
    """
    if math.isnan(found.mean):
        return Cell("–")
    said = ("> " if bound else "") + show(found.mean)
    if math.isnan(found.low):
        return Cell(said)
    return Cell(said, f"{show(max(found.low, least))} – {show(found.high)}")


def amount(unit: str) -> Show:
    """Numbers of bits or joules with a fitting prefix: '59.5 Mbit'."""

    def show(value: float) -> str:
        if math.isnan(value):
            return "–"
        found = scale(value, unit)
        return f"{value / found.size:.3g} {found.unit}"

    return show


SHOW: dict[str, Show] = {
    "time_s": duration,
    "rounds": lambda value: f"{value:.0f}",
    "bits": amount("bit"),
    "energy_j": amount("J"),
    "loss": lambda value: f"{value:.3f}",
    "accuracy": lambda value: f"{value:.3f}",
    "perplexity": lambda value: f"{value:.3g}",
}


def percent(share: float) -> str:
    """'3.2%'; '–' if it is not known."""
    return "–" if math.isnan(share) else f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def ratio(value: float) -> str:
    """'2.43x'."""
    return "–" if math.isnan(value) else f"{value:.2f}x"
