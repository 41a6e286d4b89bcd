"""The main chart: how good the model is, against whatever it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wirelessfl.study.report.figures import (
    Chart,
    Json,
    Scale,
    Selector,
    colour,
    dash,
    figure,
    numbers,
    scale,
    text,
    translucent,
)
from wirelessfl.study.report.subject import Subject, goal_of, resource
from wirelessfl.trace.plots import time_unit

Floats = NDArray[np.float64]
POINTS = 300
AGAINST = {
    "time_s": ("time", "simulated time"),
    "rounds": ("rounds", "round"),
    "bits": ("traffic", "down- and uploaded"),
    "energy_j": ("energy", "energy of all devices"),
}


def convergence(subject: Subject) -> Chart | None:
    """Every metric against time, rounds, bits and energy; None if nothing was evaluated."""
    if not subject.metrics:
        return None
    against = [name for name in AGAINST if _known(subject, name)]
    qualities = [(metric, 1) for metric in subject.metrics]
    target = subject.target
    if target is not None and target.smooth > 1 and target.metric in subject.metrics:
        qualities.insert(0, (target.metric, target.smooth))  # what the target judges
    figures = {
        f"{i}-{j}": _figure(subject, metric, smooth, spent)
        for i, (metric, smooth) in enumerate(qualities)
        for j, spent in enumerate(against)
    }
    selectors = (
        Selector("quality", tuple(_name(*quality) for quality in qualities)),
        Selector("against", tuple(AGAINST[name][0] for name in against)),
    )
    note = "A value holds until the next evaluation. Drag to zoom, double-click to see all again."
    if subject.seeds > 1:
        note = f"Line: mean over seeds; band: smallest to largest. {note}"
    return Chart("convergence", "Convergence", note, figures, selectors, 420)


def _known(subject: Subject, spent: str) -> bool:
    """Whether every run says what it had spent (energy is unknown if a device's is)."""
    last = [
        float(resource(trace.rounds, spent).iloc[-1])
        for runs in subject.traces.values()
        for trace in runs.values()
    ]
    return all(math.isfinite(value) for value in last) and max(last) > 0


def _name(metric: str, smooth: int) -> str:
    return metric if smooth == 1 else f"{metric}, mean of {smooth}"


def _figure(subject: Subject, metric: str, smooth: int, spent: str) -> Json:
    curves = {
        name: [_curve(trace.rounds, metric, smooth, spent) for trace in runs.values()]
        for name, runs in subject.traces.items()
    }
    largest = max(float(x[-1]) for runs in curves.values() for x, _ in runs)
    unit = unit_of(spent, largest)
    data: list[Json] = []
    for index, (name, runs) in enumerate(curves.items()):
        data += _lines(name, index, *_on_grid(runs), unit, len(runs) > 1)
    title = AGAINST[spent][1]
    layout: Json = {}
    target = subject.target
    if target is not None and (target.metric, target.smooth) == (metric, smooth):
        level = goal_of(target)
        layout["shapes"] = [_level(level)]
        layout["annotations"] = [_level_name(level)]
    return figure(
        data,
        unit.label(title) if unit.unit else title,
        _name(metric, smooth),
        xaxis={"rangemode": "tozero"},
        hovermode="x unified",
        **layout,
    )


def unit_of(spent: str, largest: float) -> Scale:
    """The unit in which amounts of a resource read well."""
    if spent == "time_s":
        return Scale(*time_unit(largest))
    if spent == "rounds":
        return Scale(1.0, "")
    return scale(largest, "bit" if spent == "bits" else "J")


def _curve(rounds: pd.DataFrame, metric: str, smooth: int, spent: str) -> tuple[Floats, Floats]:
    """What had been spent at each evaluation, and the mean of the last so many values."""
    known = rounds[metric].notna()
    x = resource(rounds, spent)[known]
    y = rounds[metric][known].rolling(smooth, min_periods=1).mean()
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _on_grid(runs: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Step functions at common places; [points], [runs, points].

    From where the last run has its first value to where the last run ends; a run that has ended
    keeps its last value, as in `trace.plots`.
    """
    first = max(x[0] for x, _ in runs)
    grid = np.unique(np.concatenate([x for x, _ in runs]))
    grid = grid[grid >= first]
    if len(grid) > POINTS:
        grid = np.linspace(grid[0], grid[-1], POINTS)
    return grid, np.array([y[np.searchsorted(x, grid, side="right") - 1] for x, y in runs])


def _lines(name: str, index: int, x: Floats, values: Floats, unit: Scale, band: bool) -> list[Json]:
    along, group = numbers(x / unit.size), f"s{index}"
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": text(name),
        "legendgroup": group,
        "x": along,
        "y": numbers(values.mean(axis=0)),
        "line": {"color": colour(index), "dash": dash(index), "width": 2, "shape": "hv"},
        "hovertemplate": "%{y:.4g}",
    }
    if not band:
        return [line]
    low, high = numbers(values.min(axis=0)), numbers(values.max(axis=0))
    edge = {"width": 0, "shape": "hv"}
    hidden = {"type": "scatter", "mode": "lines", "legendgroup": group, "showlegend": False}
    hidden |= {"x": along, "line": edge, "hoverinfo": "skip"}
    fill = {"fill": "tonexty", "fillcolor": translucent(colour(index), 0.15)}
    return [hidden | {"y": low}, hidden | {"y": high} | fill, line]


def _level(level: float) -> Json:
    line = {"dash": "dot", "width": 1.5, "color": "#888888"}
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": level,
        "y1": level,
        "line": line,
    }


def _level_name(level: float) -> Json:
    place = {"xref": "paper", "x": 1, "xanchor": "right", "y": level, "yanchor": "bottom"}
    return place | {"text": f"target {level:g}", "showarrow": False}
