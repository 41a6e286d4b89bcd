"""Pictures of a sweep: lines along a varied field, or a map over two of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from wirelessfl.scenario import Target
from wirelessfl.study.axes import Axis, spans_decades
from wirelessfl.trace.plots import COLOURS, DASHES, STYLE, save_figure, time_unit

NAMED_TICKS = 8  # so many values of an axis are named as they were written
LONG = 24  # letters of a value that are shown


def plot_sweep(
    table: pd.DataFrame,
    axes: Sequence[Axis],
    strategies: Sequence[str],
    target: Target | None,
    path: Path,
) -> None:
    """Draw the mean time to the target, or without one of a round, as PNG with SVG beside it.

    Two varied fields make a map for each strategy. Otherwise there is a line along the first field
    for each strategy and combination of the other fields, with 95% intervals; a hollow mark is a
    lower bound, as not every run arrived.

    Args:
        table: As `Sweep.table` makes it, not empty.
        axes: The varied fields.
        strategies: Their names, in the order of the legend.
        target: What runs have to reach, if anything.
        path: Where to write; the suffix is replaced by .png and .svg.
    """
    name, what = ("time_s", f"time to {target}") if target else ("round_s", "time of a round")
    table = table[table[name].notna()]
    unit_s, unit = time_unit(float(table[name].max()) if len(table) else 1.0)
    scaled = table.assign(
        y=table[name] / unit_s,
        low=table[name.replace("_s", "_low_s")] / unit_s,
        high=table[name.replace("_s", "_high_s")] / unit_s,
        bound=(table["reached"] < table["runs"]) if target else False,
    )
    with mpl.rc_context(STYLE):
        draw = _maps if len(axes) == 2 else _lines
        save_figure(draw(scaled, axes, strategies, f"mean {what} ({unit})"), path)


def _lines(
    table: pd.DataFrame, axes: Sequence[Axis], strategies: Sequence[str], label: str
) -> Figure:
    first, *others = axes
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    picture = figure.subplots()
    combinations = list(itertools.product(*(axis.values for axis in others)))
    for (name, colour), (i, values) in itertools.product(
        zip(strategies, itertools.cycle(COLOURS), strict=False), enumerate(combinations)
    ):
        rows = table[table["strategy"] == name]
        for axis, value in zip(others, values, strict=True):
            rows = rows[rows[axis.path] == value]
        if rows.empty:
            continue
        if first.numeric:
            rows = rows.sort_values(first.path)
        x = rows[first.path] if first.numeric else rows[first.path].map(first.texts.index)
        which = ", ".join(map(str, (name, *values)))
        dash = DASHES[i % len(DASHES)]
        picture.plot(x, rows["y"], dash, color=colour, label=which)
        for bound, face in ((False, colour), (True, "white")):
            some = rows["bound"] == bound
            picture.plot(x[some], rows["y"][some], "o", color=colour, markerfacecolor=face)
        known = rows["low"].notna()
        ends = rows[known][["low", "high"]].clip(lower=0.0).to_numpy().T
        picture.vlines(x[known], *ends, color=colour, linewidth=1.2)
    _scale(picture, first, table)
    picture.set_ylabel(label)
    note = "mean over seeds; bars: 95% confidence"
    if table["bound"].any():
        note += "; hollow: lower bound, as not all arrived"
    picture.set_title(note, loc="left", fontsize=9, color="#555555")
    handles, names = picture.get_legend_handles_labels()
    columns = max(1, min(len(names), int(95 / (max(map(len, names), default=1) + 6))))
    figure.legend(handles, names, loc="outside lower center", ncols=columns)
    return figure


def _scale(picture: Axes, axis: Axis, table: pd.DataFrame) -> None:
    """Scales of a picture of lines: logarithmic where values span decades."""
    if spans_decades(table["y"].tolist()):
        picture.set_yscale("log")
    else:
        picture.set_ylim(bottom=0.0)
    if axis.log:
        picture.set_xscale("log")
    picture.set_xlabel(axis.label)
    if not axis.numeric or len(axis.values) <= NAMED_TICKS:
        places = axis.values if axis.numeric else range(len(axis.values))
        picture.set_xticks(list(places), [_short(text) for text in axis.texts])
        picture.set_xticks([], minor=True)
        picture.set_xlabel(axis.path)
        if max(map(len, axis.texts)) * len(axis.texts) > 60:
            picture.tick_params(axis="x", labelrotation=30)


def _maps(
    table: pd.DataFrame, axes: Sequence[Axis], strategies: Sequence[str], label: str
) -> Figure:
    down, across = axes
    shown = [name for name in strategies if (table["strategy"] == name).any()]
    size = (1.6 + max(2.4, 0.75 * len(across.values)) * len(shown), 1.6 + 0.5 * len(down.values))
    figure = Figure(figsize=size, layout="constrained")
    pictures = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    decades = spans_decades(table["y"].tolist())
    norm = (LogNorm if decades else Normalize)(table["y"].min(), table["y"].max())
    for picture, name in zip(pictures, shown, strict=True):
        rows = table[table["strategy"] == name]
        grid = np.full((len(down.values), len(across.values)), math.nan)
        for _, row in rows.iterrows():
            i, j = down.values.index(row[down.path]), across.values.index(row[across.path])
            grid[i, j] = row["y"]
            dark = norm(row["y"]) < 0.6
            sign = ">" if row["bound"] else ""
            picture.text(
                *(j, i, f"{sign}{row['y']:.3g}"),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
        image = picture.imshow(grid, norm=norm, cmap="viridis", aspect="auto")
        picture.grid(False)
        picture.set_title(name, fontsize=10)
        picture.set_xticks(range(len(across.texts)), [_short(t) for t in across.texts])
        picture.set_yticks(range(len(down.texts)), [_short(t) for t in down.texts])
        if max(map(len, across.texts)) * len(across.texts) > 8 * size[0]:
            picture.tick_params(axis="x", labelrotation=30)
    pictures[0].set_ylabel(down.path)
    figure.supxlabel(across.path, fontsize=10)
    figure.colorbar(image, ax=list(pictures), label=label)
    return figure


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"
