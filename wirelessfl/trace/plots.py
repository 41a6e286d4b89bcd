"""Pictures of traces: quality against simulated time, and where a round's time goes.

Drawn with Matplotlib's objects, never its global state, so that any thread or process may draw;
equal data give equal files.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wirelessfl.trace.files import whole_file

Floats = NDArray[np.float64]
Curve = Sequence[tuple[float, float]]

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
GRID_POINTS = 1000

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "wirelessfl",
}

PARTS = ("download_s", "queue_s", "compute_s", "upload_s", "waiting_s")
PART_COLOURS = ("#56B4E9", "#CC79A7", "#E69F00", "#0072B2", "#DDDDDD")


def plot_convergence(
    curves: Mapping[str, Sequence[Curve]], metric: str, target: float | None, path: Path
) -> None:
    """Draw a metric against simulated time, a line for each strategy, as PNG with SVG beside it.

    A run's curve is a step function: a value holds until the next evaluation, and the last value
    until the last of the strategy's runs ends. Lines are means over seeds, bands their range.

    Args:
        curves: For each strategy, for each seed, (simulated second, value) in order of time.
        metric: Name of the value.
        target: Level to mark, if any.
        path: Where to write; the suffix is replaced by .png and .svg.

    Raises:
        ValueError: If there is no curve, or one without points.
    """
    if not curves or any(not runs or not all(runs) for runs in curves.values()):
        raise ValueError("plot_convergence needs at least one curve, each with at least one point")
    longest_s = max(curve[-1][0] for runs in curves.values() for curve in runs)
    unit_s, unit = time_unit(longest_s)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        styles = itertools.product(DASHES, COLOURS)
        for (name, runs), (dash, colour) in zip(curves.items(), styles, strict=False):
            times_s, values = _on_common_grid(runs)
            axis, mean = times_s / unit_s, values.mean(axis=0)
            axes.plot(axis, mean, dash, drawstyle="steps-post", color=colour, label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(axis, low, high, step="post", color=colour, alpha=0.18, linewidth=0)
        if target is not None:
            _mark_target(axes, target)
        axes.set_title(_spread_note(curves), loc="left", fontsize=9, color="#555555")
        axes.set_xlabel(f"simulated time ({unit})")
        axes.set_ylabel(metric)
        axes.set_xlim(left=0.0)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
        _legend_below(figure, axes)
        save_figure(figure, path)


def plot_round_breakdown(clients: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Draw where the time of participants who delivered goes, a bar for each strategy and device.

    Waiting is the time from a client's delivery until the last client of its round delivered.

    Args:
        clients: Clients table of a trace for each strategy (or several, concatenated).
        path: Where to write; the suffix is replaced by .png and .svg.

    Raises:
        ValueError: If no client of any strategy delivered.
    """
    means = {
        (name, profile): row
        for name, frame in clients.items()
        for profile, row in mean_seconds(frame).iterrows()
    }
    if not means:
        raise ValueError("plot_round_breakdown: no client delivered an update")
    seconds = np.array([row[list(PARTS)] for row in means.values()], dtype=np.float64)
    unit_s, unit = time_unit(float(seconds.sum(axis=1).max()))
    gaps = np.cumsum([0.6 if first else 0.0 for first in _starts([name for name, _ in means])])
    heights = np.arange(len(means)) + gaps
    with mpl.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure = Figure(figsize=(7.2, 1.4 + 0.28 * (heights[-1] + 1)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(means))
        for part, colour, widths in zip(PARTS, PART_COLOURS, seconds.T / unit_s, strict=True):
            label = part.removesuffix("_s")
            axes.barh(heights, widths, 0.8, left, color=colour, edgecolor="white", label=label)
            left += widths
        axes.set_yticks(heights, [f"{name} · {profile}" for name, profile in means])
        axes.set_ylim(heights[-1] + 0.7, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"mean simulated time per round ({unit})")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
        _legend_below(figure, axes)
        save_figure(figure, path)


def time_unit(longest_s: float) -> tuple[float, str]:
    """The unit (its seconds, its name) in which an axis that long reads well."""
    for unit_s, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if longest_s >= 2 * unit_s:
            return unit_s, unit
    return 1e-3, "ms"


def _on_common_grid(runs: Sequence[Curve]) -> tuple[Floats, Floats]:
    """Step functions at common times; a grid and the values there. [points], [runs, points]

    The grid has every time at which a run changes, or GRID_POINTS times if those are fewer. It
    begins when the last run has a value and ends with the last run.
    """
    points = [np.asarray(run, dtype=np.float64) for run in runs]
    first_s = max(p[0, 0] for p in points)
    grid_s = np.unique(np.concatenate([p[:, 0] for p in points]))
    grid_s = grid_s[grid_s >= first_s]
    if len(grid_s) > GRID_POINTS:
        grid_s = np.linspace(grid_s[0], grid_s[-1], GRID_POINTS)
    values = [p[np.searchsorted(p[:, 0], grid_s, side="right") - 1, 1] for p in points]
    return grid_s, np.array(values)


def _mark_target(axes: Axes, target: float) -> None:
    axes.axhline(target, color="#555555", linewidth=1.0, linestyle=(0, (1, 2)))
    axes.annotate(
        f"target {target:g}",
        (1.0, target),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
        color="#555555",
    )


def _spread_note(curves: Mapping[str, Sequence[Curve]]) -> str:
    """What lines and bands are, said in the picture itself."""
    counts = sorted({len(runs) for runs in curves.values()})
    if counts == [1]:
        return ""
    seeds = " to ".join(str(count) for count in {counts[0]: 0, counts[-1]: 0})
    return f"line: mean over {seeds} seeds; band: smallest to largest"


def mean_seconds(clients: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds of each part of a round, by device, of the clients that delivered."""
    # Tables of several runs may be concatenated: a new run begins where rows stop ascending.
    back = clients["round"].diff().lt(0)
    back |= clients["round"].diff().eq(0) & clients["client"].diff().le(0)
    clients = clients.assign(run=back.cumsum())
    done = clients[clients["outcome"] == "completed"]
    last_s = done.groupby(["run", "round"])["upload_end_s"].transform("max")
    done = done.assign(waiting_s=last_s - done["upload_end_s"])
    return done.groupby("profile")[list(PARTS)].mean()


def _starts(names: Sequence[str]) -> list[bool]:
    """Whether each name differs from the one before it; false for the first."""
    return [False, *(a != b for a, b in itertools.pairwise(names))]


def _legend_below(figure: Figure, axes: Axes) -> None:
    """A legend under the axes, as wide as it needs, that covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(len(labels), int(95 / (max(map(len, labels)) + 6))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def save_figure(figure: Figure, path: Path) -> None:
    """PNG and SVG, without the date and version that would make equal pictures differ."""
    with whole_file(path.with_suffix(".png")) as part:
        figure.savefig(part, format="png", dpi=150, metadata={"Software": None})
    with whole_file(path.with_suffix(".svg")) as part:
        figure.savefig(part, format="svg", metadata={"Date": None, "Creator": None})
