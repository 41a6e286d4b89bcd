"""Charts of rounds: where their time goes, single ones in detail, and the plan against the fact."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from wirelessfl.study.report.figures import (
    PART_NAMES,
    Chart,
    Json,
    Scale,
    Selector,
    bars,
    colour,
    figure,
    numbers,
    spread_evenly,
    text,
)
from wirelessfl.study.report.subject import Subject
from wirelessfl.trace import Trace
from wirelessfl.trace.plots import PARTS, mean_seconds, time_unit
from wirelessfl.trace.words import duration

MOST_ROWS = 40  # clients of a Gantt chart
MOST_POINTS = 400  # rounds of a strategy in a scatter
CHOSEN = ("first", "median", "longest")
_STARTS = (
    ("download", "download_start_s", "download_s"),
    ("queue", "download_end_s", "queue_s"),
    ("compute", "compute_start_s", "compute_s"),
    ("upload", "upload_start_s", "upload_s"),
)


def breakdown(subject: Subject) -> Chart | None:
    """Mean seconds of each part of a round, by strategy and device; None if nobody delivered."""
    means = {
        (name, profile): row
        for name, runs in subject.traces.items()
        for profile, row in mean_seconds(pd.concat([t.clients for t in runs.values()])).iterrows()
    }
    if not means:
        return None
    seconds = np.array([row[list(PARTS)] for row in means.values()], dtype=np.float64)
    unit = Scale(*time_unit(float(seconds.sum(axis=1).max())))
    where = [text(f"{name} · {profile}") for name, profile in means]
    hover = f"%{{x:.3g}} {unit.unit}"
    data = [
        bars(part, numbers(column / unit.size), where, hovertemplate=hover)
        for part, column in zip(PART_NAMES, seconds.T, strict=True)
    ]
    found = figure(
        data,
        unit.label("mean time in a round"),
        "",
        barmode="stack",
        yaxis={"autorange": "reversed"},
        hovermode="y unified",
    )
    return Chart(
        "breakdown",
        "Mean of all rounds",
        "Participants whose update arrived, by class of device. Waiting: from a client's delivery "
        "to the last one of its round.",
        {"": found},
        height_px=130 + 26 * len(means),
    )


def gantt(subject: Subject) -> Chart | None:
    """The first, the median and the longest round of each strategy's first run."""
    figures: dict[str, Json] = {}
    names: list[str] = []
    for name, trace in subject.example.items():
        rounds = trace.rounds[trace.rounds["duration_s"] > 0]
        rounds = rounds[rounds["round"].isin(trace.clients["round"].unique())]
        if rounds.empty:
            continue
        for j, number in enumerate(_choose(rounds)):
            figures[f"{len(names)}-{j}"] = _one_round(trace, number)
        names.append(name)
    if not names:
        return None
    selectors = (Selector("strategy", tuple(names)), Selector("round", CHOSEN))
    seed = next(iter(next(iter(subject.traces.values()))))
    note = f"Seed {seed}; the dashed line is the end of the round."
    return Chart("gantt", "Inside a round", note, figures, selectors)


def _choose(rounds: pd.DataFrame) -> list[int]:
    """Numbers of the first, the (lower) median and the longest round."""
    by_length = rounds.sort_values(["duration_s", "round"])["round"].tolist()
    return [int(rounds["round"].iloc[0]), by_length[(len(by_length) - 1) // 2], by_length[-1]]


def _one_round(trace: Trace, number: int) -> Json:
    one = trace.rounds[trace.rounds["round"] == number].iloc[0]
    clients = trace.clients[trace.clients["round"] == number]
    ends = clients[["upload_end_s", "compute_end_s", "download_end_s"]].max(axis=1)
    clients = clients.assign(last_s=ends).sort_values(["last_s", "client"], na_position="first")
    left_out = max(0, len(clients) - MOST_ROWS)
    clients = clients.iloc[left_out:]  # the last to end, which decide how long a round is
    unit = Scale(*time_unit(float(one["duration_s"])))
    where = [text(_who(row)) for _, row in clients.iterrows()]
    data = []
    for part, start, length in _STARTS:
        base = (clients[start] - one["start_s"]).to_numpy(np.float64) / unit.size
        width = clients[length].to_numpy(np.float64) / unit.size
        width[~(width > 0) | ~np.isfinite(base)] = math.nan
        hover = f"%{{customdata:.3g}} {unit.unit}"
        amounts = numbers(width)
        more = {"base": numbers(base), "customdata": amounts, "hovertemplate": hover}
        data.append(bars(part, amounts, where, **more))
    title = f"round {number}: {duration(float(one['duration_s']))}, {one['participants']} clients"
    if left_out:
        title += f" (the last {MOST_ROWS} to end are shown)"
    end = float(one["duration_s"]) / unit.size
    line = {"dash": "dash", "width": 1.5, "color": "#888888"}
    mark = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": end, "x1": end, "line": line}
    drawn = figure(
        data,
        unit.label("time since the round began"),
        "",
        barmode="overlay",
        shapes=[mark],
        hovermode="closest",
    )
    return drawn | {"caption": title[0].upper() + title[1:], "height": 120 + 22 * len(clients)}


def _who(row: pd.Series) -> str:
    outcome = "" if row["outcome"] == "completed" else f" ({row['outcome']})"
    return f"{row['client']} · {row['profile']}{outcome}"


def plan_and_fact(subject: Subject) -> Chart | None:
    """What plans predicted of a round against what came of it; None if nothing was predicted."""
    found = {
        "length of a round": _scatter(subject, "expected_round_s", "duration_s"),
        "participants": _scatter(subject, "expected_participants", "participants"),
        "noise to signal": _noise(subject),
    }
    shown = {name: drawn for name, drawn in found.items() if drawn is not None}
    if not shown:
        return None
    return Chart(
        "plan",
        "Plan and fact",
        "A point is a round; on the dotted line it went as predicted. A plan predicts the mean, so "
        "single rounds scatter about it.",
        {str(i): drawn for i, drawn in enumerate(shown.values())},
        (Selector("what", tuple(shown)),),
    )


def _scatter(subject: Subject, predicted: str, realised: str) -> Json | None:
    points = {}
    for name, runs in subject.traces.items():
        rounds = pd.concat([trace.rounds for trace in runs.values()])
        rounds = rounds[(rounds["round"] > 0) & rounds[predicted].notna()]
        if len(rounds):
            points[name] = rounds.iloc[spread_evenly(len(rounds), MOST_POINTS)]
    if not points:
        return None
    is_time = predicted == "expected_round_s"
    largest = max(
        float(p[[predicted, realised]].to_numpy(np.float64).max()) for p in points.values()
    )
    unit = Scale(*time_unit(largest)) if is_time else Scale(1.0, "clients")
    end = largest / unit.size
    diagonal: Json = {"type": "scatter", "mode": "lines", "x": [0, end], "y": [0, end]}
    diagonal |= {"hoverinfo": "skip", "showlegend": False}
    diagonal |= {"line": {"dash": "dot", "width": 1.5, "color": "#888888"}}
    order = list(subject.strategies)
    return figure(
        [
            diagonal,
            *(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": text(name),
                    "x": numbers(rounds[predicted] / unit.size),
                    "y": numbers(rounds[realised] / unit.size),
                    "marker": {"color": colour(order.index(name)), "size": 7, "opacity": 0.6},
                    "hovertemplate": "predicted %{x:.3g}, realised %{y:.3g}",
                }
                for name, rounds in points.items()
            ),
        ],
        unit.label("predicted"),
        unit.label("realised"),
        xaxis={"rangemode": "tozero"},
        yaxis={"rangemode": "tozero"},
        hovermode="closest",
    )


def _noise(subject: Subject) -> Json | None:
    """The plans' noise-to-signal ratio of the update, round by round, of the first runs."""
    data = []
    for index, (name, trace) in enumerate(subject.example.items()):
        rounds = trace.rounds[trace.rounds["noise_to_signal"].notna()]
        if len(rounds):
            rounds = rounds.iloc[spread_evenly(len(rounds), MOST_POINTS)]
            error = numbers(rounds["noise_to_signal_error"])
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": text(name),
                    "x": rounds["round"].tolist(),
                    "y": numbers(rounds["noise_to_signal"]),
                    "error_y": {"array": error, "thickness": 1, "width": 2, "color": colour(index)},
                    "line": {"color": colour(index), "width": 1.5},
                    "hovertemplate": "%{y:.3g}",
                }
            )
    if not data:
        return None
    return figure(data, "round", "predicted noise-to-signal ratio", yaxis={"rangemode": "tozero"})
