"""Who takes part, and with which rank: a bar for each client, by class of device."""

from __future__ import annotations

import numpy as np
import pandas as pd

from wirelessfl.study.report.figures import (
    Chart,
    Json,
    Selector,
    colour,
    figure,
    numbers,
    spread_evenly,
    text,
)
from wirelessfl.study.report.subject import Subject
from wirelessfl.trace import Trace

MOST_CLIENTS = 300
WHAT = {"took part": "share of rounds", "probability": "mean probability q", "rank": "mean rank k"}


def participation(subject: Subject) -> Chart | None:
    """How often each client took part, and its mean rank, in each strategy's first run."""
    example = {name: t for name, t in subject.example.items() if not t.clients.empty}
    if not example:
        return None
    profiles = sorted({p for trace in example.values() for p in trace.clients["profile"].unique()})
    figures = {}
    most = 0
    for i, trace in enumerate(example.values()):
        means = _means(trace)
        most = max(most, len(means))
        for j, what in enumerate(WHAT):
            figures[f"{i}-{j}"] = _figure(means, what, profiles)
    seed = next(iter(next(iter(subject.traces.values()))))
    note = f"Seed {seed}; clients that took part at least once, by class of device."
    if most > MOST_CLIENTS:
        note += f" Of {most:,} clients {MOST_CLIENTS} are shown, evenly chosen."
    selectors = (Selector("strategy", tuple(example)), Selector("show", tuple(WHAT)))
    return Chart("clients", "Who takes part, and how much it trains", note, figures, selectors, 340)


def _means(trace: Trace) -> pd.DataFrame:
    """One row a client: its class and the mean of everything shown."""
    rounds = int((trace.rounds["round"] > 0).sum())
    by_client = trace.clients.groupby("client")
    return pd.DataFrame(
        {
            "profile": by_client["profile"].first(),
            "took part": by_client["round"].nunique() / max(rounds, 1),
            "probability": by_client["probability"].mean(),
            "rank": by_client["rank"].mean(),
        }
    ).sort_values(["profile"], kind="stable")


def _figure(means: pd.DataFrame, what: str, profiles: list[str]) -> Json:
    shown = means.iloc[spread_evenly(len(means), MOST_CLIENTS)].assign()
    shown["place"] = np.arange(len(shown))
    ticks = shown["place"].iloc[spread_evenly(len(shown), 9)]
    data = []
    for profile, rows in shown.groupby("profile", sort=True):
        data.append(
            {
                "type": "bar",
                "name": text(profile),
                "x": rows["place"].tolist(),
                "y": numbers(rows[what], 4),
                "customdata": rows.index.tolist(),
                "marker": {"color": colour(profiles.index(str(profile)))},
                "hovertemplate": "client %{customdata}: %{y:.3g}",
            }
        )
    return figure(
        data,
        "client",
        WHAT[what],
        xaxis={"tickvals": ticks.tolist(), "ticktext": [str(shown.index[t]) for t in ticks]},
        yaxis={"rangemode": "tozero"},
        hovermode="closest",
        bargap=0.15,
    )
