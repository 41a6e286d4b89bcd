"""Three ways to judge a strategy, after EdgeFlowerTune (arXiv 2605.08636).

Quality under a budget: what a model is worth once so much has been spent. Cost to target: what had
been spent when it was good enough. Robustness: how much that depends on the luck of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from wirelessfl.study.report.subject import Subject, resource
from wirelessfl.study.report.tables import SHOW, Cell, Table, estimate, percent
from wirelessfl.study.statistics import mean_interval
from wirelessfl.trace import Trace
from wirelessfl.trace.words import duration

SPENT = {"time_s": "time", "rounds": "rounds", "bits": "traffic", "energy_j": "energy"}
SHARES = (0.25, 0.5, 1.0)
LOST = ("dropped", "crashed", "offline", "lost", "cancelled")


def quality_under_budget(subject: Subject) -> list[Table]:
    """The first metric at three budgets of time, traffic and energy each."""
    if not subject.metrics:
        return []
    metric = subject.metrics[0]
    tables = []
    for spent in ("time_s", "bits", "energy_j"):
        costs = [subject.cost(name, spent).mean for name in subject.strategies]
        if not all(math.isfinite(cost) and cost > 0 for cost in costs):
            continue
        budgets = [_round(share * min(costs)) for share in SHARES]
        rows = []
        for name, runs in subject.traces.items():
            cells = [Cell(name)]
            for budget in budgets:
                values = [_quality(trace, metric, spent, budget) for trace in runs.values()]
                cells.append(estimate(mean_interval(values), SHOW[metric]))
            rows.append(tuple(cells))
        columns = ("strategy", *(SHOW[spent](budget) for budget in budgets))
        title = f"{metric[0].upper()}{metric[1:]} under a budget of {SPENT[spent]}"
        tables.append(Table(title, "", columns, tuple(rows), wide=False))
    return tables


def _round(amount: float) -> float:
    """To two digits, as a person would set a budget."""
    return float(f"{amount:.2g}")


def _quality(trace: Trace, metric: str, spent: str, budget: float) -> float:
    """The last evaluation that the budget paid for."""
    rounds = trace.rounds
    paid = rounds[metric].notna() & (resource(rounds, spent).fillna(0.0) <= budget)
    return float(rounds[metric][paid].iloc[-1]) if paid.any() else math.nan


def cost_to_target(subject: Subject) -> Table:
    """Time, rounds, traffic and energy on arrival."""
    costs = {spent: [subject.cost(name, spent) for name in subject.strategies] for spent in SPENT}
    known = [s for s in SPENT if any(math.isfinite(cost.mean) for cost in costs[s])]
    rows = []
    for index, name in enumerate(subject.strategies):
        bound = not all(came.reached for came in subject.arrivals(name).values())
        cells = [estimate(costs[spent][index], SHOW[spent], bound) for spent in known]
        rows.append((Cell(name), *cells))
    title = "Cost to target" if subject.target is not None else "Cost of the whole run"
    note = "Of all devices together."
    if "energy_j" not in known:
        note += " Energy is not known, as the profile of a device does not count it."
    return Table(title, note, ("strategy", *(SPENT[s] for s in known)), tuple(rows))


def robustness(subject: Subject) -> Table:
    """The spread over seeds, the best and the worst of them, and the work that came to nothing."""
    rows = []
    for name, runs in subject.traces.items():
        arrivals = subject.arrivals(name)
        times = {seed: came.time_s for seed, came in arrivals.items()}
        bound = {seed: "" if came.reached else "> " for seed, came in arrivals.items()}
        best, worst = min(times, key=lambda s: times[s]), max(times, key=lambda s: times[s])
        values = np.array(list(times.values()))
        spread = values.std(ddof=1) / values.mean() if len(values) > 1 else math.nan
        reached = sum(came.reached for came in arrivals.values())
        counts = _outcomes(runs)
        total = sum(counts.values())
        seeds = (
            Cell(f"{reached}/{len(arrivals)}"),
            Cell(bound[best] + duration(times[best]), f"seed {best}"),
            Cell(bound[worst] + duration(times[worst]), f"seed {worst}"),
            Cell(percent(float(spread))),
        )
        rows.append(
            (
                Cell(name),
                *(seeds if subject.seeds > 1 else ()),
                Cell(percent(counts.get("completed", 0) / total if total else math.nan)),
                Cell(_lost(counts)),
            )
        )
    delivered = "Delivered: share of the updates asked for that arrived."
    if subject.seeds == 1:
        titles = ("strategy", "delivered", "lost")
        return Table("What became of the work", delivered, titles, tuple(rows))
    what = "time to target" if subject.target is not None else "simulated time"
    note = f"Best and worst seed by {what}; spread: standard deviation over mean. {delivered}"
    columns = ("strategy", "reached", "best", "worst", "spread", "delivered", "lost")
    return Table("Robustness", note, columns, tuple(rows))


def _outcomes(runs: Mapping[int, Trace]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for trace in runs.values():
        for outcome, count in trace.clients["outcome"].value_counts().items():
            counts[str(outcome)] = counts.get(str(outcome), 0) + int(count)
    return counts


def _lost(counts: Mapping[str, int]) -> str:
    found = [f"{counts[outcome]:,} {outcome}" for outcome in LOST if counts.get(outcome)]
    return ", ".join(found) or "none"


def predictions(subject: Subject) -> Table | None:
    """Mean length and participants of rounds, as planned and as they came; None without plans."""
    rows = []
    for name, runs in subject.traces.items():
        rounds = [
            t.rounds[t.rounds["expected_round_s"].notna() & (t.rounds["round"] > 0)]
            for t in runs.values()
        ]
        planned = [r for r in rounds if len(r)]
        if not planned:
            continue
        expected = sum(float(r["expected_round_s"].sum()) for r in planned)
        realised = sum(float(r["duration_s"].sum()) for r in planned)
        count = sum(len(r) for r in planned)
        clients = [
            sum(float(r[of].sum()) for r in planned) / count
            for of in ("expected_participants", "participants")
        ]
        rows.append(
            (
                Cell(name),
                Cell(duration(expected / count)),
                Cell(duration(realised / count)),
                Cell(f"{realised / expected - 1:+.1%}" if expected > 0 else "–"),
                Cell(f"{clients[0]:.1f}"),
                Cell(f"{clients[1]:.1f}"),
            )
        )
    if not rows:
        return None
    columns = ("strategy", "round, planned", "realised", "off by", "clients, planned", "realised")
    return Table("", "Means over all rounds that a plan predicted.", columns, tuple(rows))
