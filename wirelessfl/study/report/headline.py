"""The first thing on the page: the question, the answer in a sentence, and the table behind it."""

from __future__ import annotations

import math

import pandas as pd

from wirelessfl.study.report.subject import Subject, goal_of
from wirelessfl.study.report.tables import Cell, Table, estimate, ratio
from wirelessfl.study.statistics import Interval, mean_interval
from wirelessfl.trace.words import duration


def question(subject: Subject) -> str:
    """What the runs were made to find out."""
    target = subject.target
    if target is None:
        return "How long do the rounds take?"
    sign = "≤" if target.below is not None else "≥"
    goal = f"{target.metric} {sign} {goal_of(target):g}"
    if len(subject.strategies) > 1:
        return f"Which strategy gets to {goal} first?"
    return f"How long does it take to get to {goal}?"


def answer(subject: Subject) -> str:
    """One sentence, or two."""
    target = subject.target
    if target is None:
        return _without_target(subject)
    goal = f"{target.metric} {goal_of(target):g}"
    table = headline_frame(subject)
    arrived = table[(table["reached"] == table["runs"]) & table["time_s"].notna()]
    if arrived.empty:
        return _nobody(subject, table, goal)
    first = arrived.sort_values("time_s", kind="stable").iloc[0]
    mean = " on average" if first["runs"] > 1 else ""
    said = f"{first['strategy']} reaches {goal} in {duration(first['time_s'])}{mean}"
    if len(table) == 1:
        return f"{said}, in {first['rounds']:.0f} rounds."
    return f"{said}{_others(table, first)}"


def _without_target(subject: Subject) -> str:
    parts = []
    for name in subject.strategies:
        rounds = pd.concat([t.rounds for t in subject.traces[name].values()])
        rounds = rounds[rounds["round"] > 0]
        parts.append(f"{name}: {duration(float(rounds['duration_s'].mean()))} a round")
    return f"{'; '.join(parts)}. The scenario sets no target."


def _nobody(subject: Subject, table: pd.DataFrame, goal: str) -> str:
    if len(table) == 1 and table["runs"].iloc[0] == 1:
        row = table.iloc[0]
        after = f"{duration(row['time_s'])} and {row['rounds']:.0f} rounds"
        return f"{row['strategy']} did not reach {goal} in {after}."
    counts = ", ".join(
        f"{r['strategy']} {r['reached']} of {r['runs']}" for _, r in table.iterrows()
    )
    return f"No strategy reached {goal} with every seed ({counts})."


def _others(table: pd.DataFrame, first: pd.Series) -> str:
    """', 2.4x sooner than uniform, ...'; said only of what was measured, pair by pair."""
    reference = table.iloc[0]["strategy"]
    if math.isnan(float(table["speedup"].iloc[0])):
        return f"; {reference}, which others are measured against, did not always arrive."
    if first["strategy"] != reference:
        return (
            f"; {reference}, which others are measured against, takes "
            f"{1 / first['speedup']:.2g}x as long{_doubt(first)}."
        )
    rest = table[(table["strategy"] != reference) & table["speedup"].notna()]
    rest = rest.sort_values("speedup", kind="stable")
    if rest.empty:
        return "."
    said = [
        f"{'more than ' if row['reached'] < row['runs'] else ''}{row['speedup']:.2g}x sooner than "
        f"{row['strategy']}{_doubt(row)}"
        for _, row in rest.iterrows()
    ]
    shown = said if len(said) <= 4 else [said[0], said[1], f"… {said[-1]}"]
    return f", {', '.join(shown)}."


def _doubt(row: pd.Series) -> str:
    """What a careful reader must add to a ratio."""
    if row["runs"] == 1:
        return " (one seed)"
    if row["speedup_low"] <= 1 <= row["speedup_high"]:
        return " (not told apart with these seeds)"
    return ""


def headline_frame(subject: Subject) -> pd.DataFrame:
    """`Study.table`, or the same of one run."""
    if subject.table is not None:
        return subject.table
    rows = []
    for name, runs in subject.traces.items():
        arrivals = subject.arrivals(name)
        rounds = pd.concat([trace.rounds for trace in runs.values()])
        rounds = rounds[rounds["round"] > 0]
        rows.append(
            {
                "strategy": name,
                "runs": len(runs),
                "reached": sum(came.reached for came in arrivals.values()),
                "time_s": mean_interval([came.time_s for came in arrivals.values()]).mean,
                "time_low_s": math.nan,
                "time_high_s": math.nan,
                "rounds": mean_interval([came.rounds for came in arrivals.values()]).mean,
                "round_s": float(rounds["duration_s"].mean()),
                "participants": float(rounds["participants"].mean()),
                "mean_rank": float(rounds["mean_rank"].mean()),
                "speedup": math.nan,
            }
        )
    return pd.DataFrame(rows)


def headline(subject: Subject) -> Table:
    """The table of the terminal, with the same numbers."""
    frame = headline_frame(subject)
    several = len(frame) > 1
    rows = []
    for _, row in frame.iterrows():
        bound = bool(row["reached"] < row["runs"])
        time_s = Interval(row["time_s"], row["time_low_s"], row["time_high_s"], row["runs"])
        cells = [Cell(str(row["strategy"])), estimate(time_s, duration, bound)]
        if several:
            cells.append(_slower(row, bound))
        if subject.target is not None:
            cells.append(Cell(f"{row['reached']}/{row['runs']}"))
        cells += [
            Cell(f"{'> ' if bound else ''}{row['rounds']:.0f}"),
            Cell(duration(row["round_s"])),
            Cell(_number(row["participants"])),
            Cell(_number(row["mean_rank"])),
        ]
        rows.append(tuple(cells))
    columns = ["strategy", "time to target" if subject.target is not None else "simulated time"]
    columns += ["slower by"] if several else []
    columns += ["reached"] if subject.target is not None else []
    columns += ["rounds", "round", "clients", "rank"]
    notes = []
    if subject.seeds > 1:
        notes.append("Means over seeds, 95% confidence interval beneath.")
    if (frame["reached"] < frame["runs"]).any():
        notes.append("> marks a lower bound, as not every run arrived.")
    if several:
        first = frame["strategy"].iloc[0]
        notes.append(f"Slower by: time over that of {first}, paired by seed.")
    return Table("", " ".join(notes), tuple(columns), tuple(rows))


def _slower(row: pd.Series, bound: bool) -> Cell:
    found = Interval(row["speedup"], row["speedup_low"], row["speedup_high"], row["runs"])
    return estimate(found, ratio, bound)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
