"""Tune a strategy: the same budget of trials over step and participation, whoever it is.

A trial runs the strategy with some settings on a few tuning seeds and is scored by the mean
simulated time to the target. Trials are asked for in groups of `GROUP`, so the number of processes
cannot change what is tried.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, Target, dump, fingerprint, loads
from wirelessfl.simulation.world import check
from wirelessfl.study.executor import Member, OnEnd, OnProgress, Outcome
from wirelessfl.study.pool import run_members
from wirelessfl.study.search import (
    Range,
    Search,
    Trial,
    Value,
    default_ranges,
    number,
    ranked,
)
from wirelessfl.trace import Trace
from wirelessfl.trace.files import whole_file

GROUP = 4
# A run is cut where it has taken this many times as long as the best trial's mean so far.
PATIENCE = 3.0


@dataclass(frozen=True)
class Tuning:
    """The trials of one strategy.

    Attributes:
        strategy: Its name.
        trials: In the order they were asked for.
        scenario: The scenario with the strategy at its best settings.
    """

    strategy: str
    trials: tuple[Trial, ...]
    scenario: Scenario

    @property
    def best(self) -> Trial:
        """The trial that was fastest of those that reached the target most often."""
        return ranked(self.trials)[0]


def tune(
    scenario: Scenario,
    strategy: str,
    trials: int = 16,
    seeds: Sequence[int] = (100, 101),
    ranges: Sequence[Range] | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    on_progress: OnProgress | None = None,
    on_end: OnEnd | None = None,
    allow_custom: bool = False,
) -> Tuning:
    """Look for the settings with which a strategy reaches the scenario's target soonest.

    Args:
        scenario: What to tune on; it must have a `stop.target`.
        strategy: A preset, or a name under `strategies:` in the scenario.
        trials: How many settings to try, the scenario's own first.
        seeds: Tuning seeds; a fair comparison runs on others.
        ranges: What to vary; `default_ranges` if not given.
        out: Folder for `STRATEGY.csv` with the trials. Trials that it holds are not run again.
        jobs: Simulations at a time (default: one a core). It cannot change results.
        on_progress: Called with a member and its progress after each of its rounds.
        on_end: Called with a member and its trace, or what it failed with, as it ends.
        allow_custom: Whether the scenario may name code of the user's own, as for `load`.

    Raises:
        InputError: On an unknown strategy, no target, a value that the strategy refuses, or a
            scenario that cannot be run; nothing has run then.
    """
    base = scenario.with_strategy(strategy)
    target = base.stop.target
    if target is None:
        raise InputError("tuning needs stop.target, e.g. 'target: {metric: loss, below: 0.6}'")
    ranges = default_ranges(base) if ranges is None else list(ranges)
    for end in ("low", "high"):
        settings = {one.path: number(one, getattr(one, end)) for one in ranges}
        check(with_settings(base, settings, allow_custom))
    table = None if out is None else Path(out) / f"{strategy}.csv"
    what = fingerprint(base)[:16] + "".join(f"+{seed}" for seed in seeds)
    known = {} if table is None else _read(table, ranges, what)
    search = Search(base, ranges, trials)
    done: list[Trial] = []
    while len(done) < trials:
        asked = search.ask(min(GROUP, trials - len(done)))
        new = {i: asked[i] for i in asked if i not in known or known[i].settings != asked[i]}
        chosen = {i: _cut(with_settings(base, new[i], allow_custom), done) for i in new}
        members = {
            Member(f"{strategy} trial {i}", chosen[i].model_copy(update={"seed": seed}), None): i
            for i in new
            for seed in seeds
        }
        outcomes: dict[int, dict[int, Outcome]] = {i: {} for i in new}
        with closing(run_members(members, jobs, on_progress)) as ended:
            for member, outcome in ended:
                outcomes[members[member]][member.seed] = outcome
                if on_end is not None:
                    on_end(member, outcome)
        for i in asked:
            if i in new:
                runs = [outcomes[i][seed] for seed in seeds]
                done.append(_trial(i, new[i], runs, target))
            else:
                done.append(known[i])
            search.tell(done[-1])
        if table is not None:
            _write(table, ranges, what, done)
    best = with_settings(base, ranked(done)[0].settings, allow_custom)
    return Tuning(strategy, tuple(done), best)


def _trial(
    index: int, settings: Mapping[str, Value], runs: Sequence[Outcome], target: Target
) -> Trial:
    scores = [_score(outcome, target) for outcome in runs]
    mean_s = math.fsum(score for _, score in scores) / len(scores)
    return Trial(index, settings, sum(reached for reached, _ in scores), mean_s)


def with_settings(
    scenario: Scenario, settings: Mapping[str, Value], allow_custom: bool = False
) -> Scenario:
    """The scenario with some fields of its strategy set, checked like any other scenario."""
    overrides = {f"strategy.{path}": value for path, value in settings.items()}
    return loads(dump(scenario), overrides=overrides, allow_custom=allow_custom)


def _cut(scenario: Scenario, done: Sequence[Trial]) -> Scenario:
    """The scenario with an end to waiting, once it is known how fast one can be."""
    reached = [trial.score_s for trial in done if trial.reached]
    if not reached:
        return scenario
    limit_s = PATIENCE * min(reached)
    if scenario.stop.time_s is not None:
        limit_s = min(limit_s, scenario.stop.time_s)
    stop = scenario.stop.model_copy(update={"time_s": limit_s})
    return scenario.model_copy(update={"stop": stop})


def _score(outcome: Outcome, target: Target) -> tuple[bool, float]:
    """Whether a run reached the target, and its score in seconds (see `Trial`)."""
    if isinstance(outcome, InputError):
        raise outcome
    if isinstance(outcome, Exception) or outcome.summary["diverged"]:
        return False, math.inf
    time_s = outcome.time_to(target.metric, target.below, target.above, target.smooth)
    if time_s is not None:
        return True, time_s
    return False, 2.0 * float(outcome.rounds["end_s"].iloc[-1]) / _way(outcome, target)


def _way(trace: Trace, target: Target) -> float:
    """Share of the way to the target that a run has come, at least a twentieth."""
    values = [value for _, value in trace.curve(target.metric)]
    goal = target.below if target.below is not None else target.above
    assert goal is not None
    whole = goal - values[0]
    return max((values[-1] - values[0]) / whole if whole else 0.0, 0.05)


def _write(table: Path, ranges: Sequence[Range], what: str, trials: Sequence[Trial]) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["tuned", "trial", *(one.path for one in ranges), "reached", "score_s"])
        for trial in trials:
            values = [trial.settings[one.path] for one in ranges]
            rows.writerow([what, trial.number, *values, trial.reached, repr(trial.score_s)])


def _read(table: Path, ranges: Sequence[Range], what: str) -> dict[int, Trial]:
    """The trials of an earlier run, by number; none if there are none.

    Raises:
        InputError: If the file holds something else.
    """
    if not table.exists():
        return {}
    columns = {"tuned", "trial", *(one.path for one in ranges), "reached", "score_s"}
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if any(set(row) != columns or row["tuned"] != what for row in rows):
        raise InputError(
            f"{table} holds trials of another scenario, other seeds or other ranges; choose "
            "another --out, or delete it"
        )
    return {
        int(row["trial"]): Trial(
            number=int(row["trial"]),
            settings={one.path: number(one, float(row[one.path])) for one in ranges},
            reached=int(row["reached"]),
            score_s=float(row["score_s"]),
        )
        for row in rows
    }
