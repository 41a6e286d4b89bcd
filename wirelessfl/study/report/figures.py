"""What a chart of the report is: Plotly figures as plain JSON values, and what they share.

The page's script adds what depends on the reader's screen (colours of text and grid, margins), so
a figure holds only data and what its axes mean. All texts are ours or escaped here, since Plotly
reads a little HTML in them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wirelessfl.trace.plots import COLOURS, PART_COLOURS, PARTS

Json = dict[str, Any]
DASHES = ("solid", "dash", "dashdot", "dot")  # those of trace/plots.py, by Plotly's names
PART_NAMES = tuple(part.removesuffix("_s") for part in PARTS)
_PART_COLOUR = dict(zip(PART_NAMES, PART_COLOURS, strict=True))
LONGEST_LABEL = 40


@dataclass(frozen=True)
class Selector:
    """A row of buttons that choose among the figures of a chart."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """One chart of the page.

    Attributes:
        id: Its place in the page.
        title: What it shows.
        note: How to read it.
        figures: A Plotly figure for every choice; the key is the options' numbers, '0-2'.
        selectors: What there is to choose; none if there is one figure, with the key ''.
        height_px: Of the drawing.
    """

    id: str
    title: str
    note: str
    figures: Mapping[str, Json]
    selectors: tuple[Selector, ...] = field(default=())
    height_px: int = 380

    def document(self) -> Json:
        """What the page's script reads."""
        return {"id": self.id, "figures": dict(self.figures), "height": self.height_px}


@dataclass(frozen=True)
class Scale:
    """A unit in which numbers of a size read well."""

    size: float
    unit: str

    def label(self, name: str) -> str:
        """'simulated time (s)'."""
        return f"{name} ({self.unit})"


def scale(largest: float, unit: str) -> Scale:
    """Bits, joules and the like with the prefix in which the largest number reads well."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= size:
            return Scale(size, prefix + unit)
    return Scale(1.0, unit)


def numbers(values: Iterable[float], digits: int = 5) -> list[float | None]:
    """Numbers as JSON has them, to so many significant digits; None is missing."""
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in map(float, values)]


def text(words: object) -> str:
    """Words that Plotly shows as they are; very long ones are cut."""
    shown = str(words)
    if len(shown) > LONGEST_LABEL:
        shown = f"{shown[: LONGEST_LABEL - 1]}…"
    return html.escape(shown, quote=False)


def colour(index: int) -> str:
    """The colour of a strategy, the same in every picture."""
    return COLOURS[index % len(COLOURS)]


def dash(index: int) -> str:
    """Its dash, where there are more strategies than colours."""
    return DASHES[index // len(COLOURS) % len(DASHES)]


def translucent(hex_colour: str, opacity: float) -> str:
    """'#0072B2' as 'rgba(0,114,178,0.18)'."""
    parts = [str(int(hex_colour[i : i + 2], 16)) for i in (1, 3, 5)]
    return f"rgba({','.join(parts)},{opacity:g})"


def spread_evenly(count: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most so many of the indices 0..count-1, evenly, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def figure(data: Sequence[Json], x: str, y: str, **layout: Any) -> Json:
    """A Plotly figure with titled axes; further layout as Plotly names it."""
    axes = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    for axis in axes:
        axes[axis] |= layout.pop(axis, {})
    return {"data": list(data), "layout": axes | layout}


def bars(name: str, width: Sequence[float | None], where: Sequence[str], **more: Any) -> Json:
    """Horizontal bars, one of a stack of parts."""
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "x": list(width),
        "y": list(where),
        "marker": {"color": _PART_COLOUR[name]},
    } | more
