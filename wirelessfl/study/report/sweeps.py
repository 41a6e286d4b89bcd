"""The page of a sweep: what the varied fields do to each strategy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from wirelessfl.errors import InputError
from wirelessfl.scenario import dump, fingerprint
from wirelessfl.study.axes import Axis
from wirelessfl.study.measures import MEASURES, TIME, Measure
from wirelessfl.study.report.convergence import unit_of
from wirelessfl.study.report.figures import (
    Chart,
    Json,
    Scale,
    Selector,
    colour,
    dash,
    figure,
    numbers,
    text,
)
from wirelessfl.study.report.page import Page, Section
from wirelessfl.study.report.subject import versions
from wirelessfl.study.report.tables import SHOW, Cell, Show, Table, amount, estimate, ratio
from wirelessfl.study.statistics import Interval
from wirelessfl.study.sweeping import Sweep
from wirelessfl.trace.words import duration

MOST_LINES = 40
MOST_ROWS = 400
WARNED = 8


def sweep_page(sweep: Sweep) -> Page:
    """What to show of a sweep.

    Raises:
        InputError: If none of its runs has finished.
    """
    table = sweep.table()
    if table.empty:
        raise InputError("nothing to report on: no run has finished")
    fields = " and ".join(axis.path for axis in sweep.axes)
    done = sweep.members[int((sweep.runs["status"] == "finished").argmax())]
    target = sweep.scenario.stop.target
    what = f"the time to {target}" if target is not None else "the time of a round"
    return Page(
        name=sweep.scenario.name,
        kind="sweep",
        facts=", ".join(_facts(sweep)),
        question=f"How does {what} change with {fields}?",
        answer=" ".join(_answer(sweep, table)),
        headline=_table(sweep, table),
        warnings=list(_warnings(sweep, table)),
        sections=[Section("measures", "Along the sweep", charts=(_chart(sweep, table),))],
        commands=[("As it was made:", sweep.command)] if sweep.command else [],
        versions=versions(sweep.trace(done)),
        fingerprints={"scenario": fingerprint(sweep.scenario)},
        scenario_yaml=dump(sweep.scenario),
        colours={name: colour(i) for i, name in enumerate(sweep.strategies)},
    )


def _facts(sweep: Sweep) -> Iterator[str]:
    points = math.prod(len(axis.values) for axis in sweep.axes)
    counts = ((points, "point"), (len(sweep.strategies), "strategy"), (len(sweep.seeds), "seed"))
    for count, noun in counts:
        plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
        yield f"{count} {noun if count == 1 else plural}"


def _main(sweep: Sweep) -> str:
    return "time_s" if sweep.scenario.stop.target is not None else "round_s"


def _answer(sweep: Sweep, table: pd.DataFrame) -> Iterator[str]:
    """For each strategy the best and the worst point, of those at which every run arrived."""
    name = _main(sweep)
    for strategy in sweep.strategies:
        rows = table[(table["strategy"] == strategy) & table[name].notna()]
        if name == "time_s":
            rows = rows[rows["reached"] == rows["runs"]]
        if rows.empty:
            yield f"{strategy} did not arrive with every seed at any point."
            continue
        by_value = rows.sort_values(name, kind="stable")
        best, worst = by_value.iloc[0], by_value.iloc[-1]
        if len(rows) == 1:
            yield f"{strategy}: {duration(best[name])} with {_place(sweep, best)}."
        else:
            yield (
                f"{strategy}: from {duration(best[name])} with {_place(sweep, best)} to "
                f"{duration(worst[name])} with {_place(sweep, worst)}."
            )


def _place(sweep: Sweep, row: pd.Series) -> str:
    return ", ".join(f"{_short(axis)} {_text(axis, row[axis.path])}" for axis in sweep.axes)


def _short(axis: Axis) -> str:
    return axis.path.rpartition(".")[2]


def _text(axis: Axis, value: object) -> str:
    """A value as it was written."""
    for known, written in zip(axis.values, axis.texts, strict=True):
        if known == value:
            return written
    return str(value)


def _warnings(sweep: Sweep, table: pd.DataFrame) -> Iterator[str]:
    said = [f"{member.label} failed: {error}" for member, error in sweep.failures.items()]
    yield from said[:WARNED]
    if len(said) > WARNED:
        yield f"{len(said) - WARNED} more runs failed; members.csv has their errors"
    waiting = int((sweep.runs["status"] == "waiting").sum())
    if waiting:
        yield f"{waiting} of {len(sweep.runs)} runs have not run yet"
    if len(table) > MOST_ROWS:
        yield f"the table shows {MOST_ROWS} of {len(table)} rows; table.csv has all"


def _table(sweep: Sweep, table: pd.DataFrame) -> Table:
    target = sweep.scenario.stop.target is not None
    several = len(sweep.strategies) > 1
    rows = []
    for _, row in table.head(MOST_ROWS).iterrows():
        bound = target and bool(row["reached"] < row["runs"])
        cells = [Cell(str(row["strategy"]))]
        cells += [Cell(_text(axis, row[axis.path])) for axis in sweep.axes]
        if target:
            cells += [estimate(_interval(row, TIME), duration, bound)]
        if target and several:
            speedup = Interval(row["speedup"], row["speedup_low"], row["speedup_high"], row["runs"])
            cells += [estimate(speedup, ratio, bound)]
        if target:
            cells += [Cell(f"{row['reached']}/{row['runs']}")]
        for one in MEASURES:
            if one.name in ("rounds", "round_s", "participants", "mean_rank"):
                bare = _interval(row, one)
                sure = bare if one.name == "round_s" else bare.without_bounds()
                cells.append(estimate(sure, _show(one)))
        rows.append(tuple(cells))
    columns = ["strategy", *(_short(axis) for axis in sweep.axes)]
    columns += ["time to target"] if target else []
    columns += ["slower by"] if target and several else []
    columns += ["reached"] if target else []
    columns += ["rounds", "round", "clients", "rank"]
    note = "Means over seeds, 95% confidence interval beneath."
    if target:
        note += " > marks a lower bound, as not every run arrived."
    if target and several:
        note += f" Slower by: time over that of {sweep.strategies[0]} at the same point."
    return Table("", note, tuple(columns), tuple(rows))


def _interval(row: pd.Series, one: Measure) -> Interval:
    return Interval(row[one.name], row[one.bound("low")], row[one.bound("high")], row["runs"])


def _show(one: Measure) -> Show:
    if one.unit == "s":
        return duration
    if one.unit in ("bit", "J"):
        return amount(one.unit)
    if one.name in SHOW:
        return SHOW[one.name]
    return lambda value: "–" if math.isnan(value) else f"{value:.1f}"


def _chart(sweep: Sweep, table: pd.DataFrame) -> Chart:
    """Every measure that is known along the first field, a line a strategy and other point."""
    first = _main(sweep)
    known = [m for m in MEASURES if m.name in table and table[m.name].notna().any()]
    known.sort(key=lambda m: m.name != first)
    figures = {str(i): _figure(sweep, table, one) for i, one in enumerate(known)}
    words = {"time_s": "time to target", "round_s": "length of a round", "end_s": "length of a run"}
    names = tuple(
        words.get(
            one.name,
            one.name.rsplit("_", 1)[0].replace("_", " ")
            if one.unit
            else one.name.replace("_", " "),
        )
        for one in known
    )
    note = (
        "Means over seeds with 95% confidence intervals; a hollow mark is a lower bound, as not "
        "every run arrived."
    )
    lines = len(table.groupby([*(a.path for a in sweep.axes[1:]), "strategy"], dropna=False))
    if lines > MOST_LINES:
        note += f" The first {MOST_LINES} of {lines} lines are shown."
    return Chart("measures", "Along the sweep", note, figures, (Selector("show", names),), 440)


def _figure(sweep: Sweep, table: pd.DataFrame, one: Measure) -> Json:
    axis, others = sweep.axes[0], sweep.axes[1:]
    largest = float(table[one.name].max())
    unit = Scale(1.0, "")
    if one.unit:
        spent = {"s": "time_s", "bit": "bits", "J": "energy_j"}[one.unit]
        unit = unit_of(spent, largest)
    keys = ["strategy", *(other.path for other in others)]
    data: list[Json] = []
    places: dict[str, int] = {}
    for key, rows in table.groupby(keys, sort=False, dropna=False):
        if len(data) == MOST_LINES:
            break
        strategy = str(key[0])
        place = ", ".join(
            f"{_short(other)} {_text(other, value)}"
            for other, value in zip(others, key[1:], strict=True)
        )
        rank = places.setdefault(place, len(places))
        index = sweep.strategies.index(strategy)
        hollow = rows["reached"] < rows["runs"] if one is TIME else [False] * len(rows)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(f"{strategy} · {place}" if place else strategy),
                "x": rows[axis.path].tolist(),
                "y": numbers(rows[one.name] / unit.size),
                "error_y": {
                    "symmetric": False,
                    "array": numbers((rows[one.bound("high")] - rows[one.name]) / unit.size),
                    "arrayminus": numbers(
                        (rows[one.name] - rows[one.bound("low")].clip(lower=0.0)) / unit.size
                    ),
                    "thickness": 1.2,
                    "width": 4,
                },
                "line": {"color": colour(index), "dash": dash(7 * rank), "width": 2},
                "marker": {
                    "color": colour(index),
                    "size": 8,
                    "symbol": ["circle-open" if open_ else "circle" for open_ in hollow],
                },
                "hovertemplate": f"%{{y:.4g}} {unit.unit}",
            }
        )
    along: Json = {"type": "log"} if axis.numeric and axis.log else {}
    if not axis.numeric:
        along = {"type": "category"}
    elif len(axis.values) <= 8:
        along |= {"tickvals": list(axis.values), "ticktext": [text(t) for t in axis.texts]}
    name = one.name.removesuffix("_s").removesuffix("_j").removesuffix("_bits").replace("_", " ")
    label = {"time_s": "time to target", "round_s": "mean length of a round"}.get(one.name, name)
    return figure(
        data,
        text(axis.path),
        unit.label(label) if unit.unit else label,
        xaxis=along,
        yaxis={"rangemode": "tozero"},
        hovermode="x unified",
    )
