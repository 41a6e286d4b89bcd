"""What a report is about: the runs of one scenario, by strategy and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
from pydantic import ValidationError

from wirelessfl.errors import InputError, reason
from wirelessfl.scenario import Scenario, Target, dump
from wirelessfl.scenario.located import read_yaml
from wirelessfl.study.comparison import Study
from wirelessfl.study.measures import Arrival, arrival
from wirelessfl.study.statistics import Interval, mean_interval
from wirelessfl.trace import Trace

METRICS = ("loss", "accuracy", "perplexity")


@dataclass(frozen=True, eq=False)
class Subject:
    """Runs to report on.

    Attributes:
        name: The scenario's name.
        scenario: The scenario, unless it cannot be read.
        problem: Why it cannot.
        yaml: The scenario as text, with every default.
        traces: By strategy and seed; each strategy has one at least.
        table: `Study.table` of a comparison with a target.
    """

    name: str
    scenario: Scenario | None
    problem: str
    yaml: str
    traces: Mapping[str, Mapping[int, Trace]]
    table: pd.DataFrame | None = field(default=None)

    @property
    def target(self) -> Target | None:
        """What the runs had to reach, if anything."""
        return None if self.scenario is None else self.scenario.stop.target

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of those that ran, the first one is what others are measured against."""
        return tuple(self.traces)

    @property
    def seeds(self) -> int:
        """Runs of the strategy that has most."""
        return max(len(runs) for runs in self.traces.values())

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """What was evaluated in every run, the target's metric first."""
        found = [name for name in METRICS if self._has(name)]
        if self.target is not None:
            found.sort(key=lambda name: self.target is None or name != self.target.metric)
        return tuple(found)

    def _has(self, metric: str) -> bool:
        return all(
            t.rounds[metric].notna().any() for runs in self.traces.values() for t in runs.values()
        )

    @cached_property
    def example(self) -> dict[str, Trace]:
        """For each strategy its run of the first seed."""
        return {name: next(iter(runs.values())) for name, runs in self.traces.items()}

    def arrivals(self, strategy: str) -> dict[int, Arrival]:
        """When each run reached the target; without one, when it ended, as if it had."""
        if self.target is not None:
            target = self.target
            return {seed: arrival(t, target) for seed, t in self.traces[strategy].items()}
        return {
            seed: Arrival(True, float(t.rounds["end_s"].iloc[-1]), int(t.rounds["round"].max()))
            for seed, t in self.traces[strategy].items()
        }

    def cost(self, strategy: str, spent: str) -> Interval:
        """Mean over seeds of what a resource had cost on arrival; bounds only if all arrived."""
        arrivals = self.arrivals(strategy)
        values = []
        for seed, came in arrivals.items():
            rounds = self.traces[strategy][seed].rounds
            until = resource(rounds, spent)[rounds["end_s"] <= came.time_s]
            values.append(float(until.iloc[-1]) if len(until) else math.nan)
        found = mean_interval(values)
        return found if all(a.reached for a in arrivals.values()) else found.without_bounds()


def resource(rounds: pd.DataFrame, name: str) -> pd.Series[float]:
    """What had been spent by the end of each round: 'time_s', 'rounds', 'bits' or 'energy_j'."""
    if name == "time_s":
        return rounds["end_s"]
    if name == "rounds":
        return rounds["round"].astype("float64")
    if name == "bits":
        return (rounds["downlink_bits"] + rounds["uplink_bits"]).cumsum()
    # A device that does not count its energy makes all that follows unknown.
    return rounds["energy_j"].where(rounds["round"] > 0, 0.0).cumsum(skipna=False)


def of_trace(trace: Trace) -> Subject:
    """One run."""
    scenario, problem = _scenario(trace.scenario_yaml)
    strategy, seed = str(trace.summary.get("strategy", "run")), int(trace.summary.get("seed", 0))
    name = str(trace.summary.get("name", strategy))
    return Subject(name, scenario, problem, trace.scenario_yaml, {strategy: {seed: trace}})


def of_study(study: Study) -> Subject:
    """A comparison.

    Raises:
        InputError: If none of its runs has finished.
    """
    traces = {name: study.traces[name] for name in study.strategies if study.traces[name]}
    if not traces:
        raise InputError("nothing to report on: no run has finished")
    scenario = study.scenario
    return Subject(scenario.name, scenario, "", dump(scenario), traces, study.table())


def _scenario(yaml: str) -> tuple[Scenario | None, str]:
    """The scenario of a trace; files that it names are not looked for, they may be elsewhere."""
    try:
        plain = read_yaml(yaml, "scenario.yaml").plain()
        return Scenario.model_validate_json(json.dumps(plain), strict=True), ""
    except ValidationError as error:
        return None, f"its scenario is of another version of wirelessfl: {reason(error)}"
    except InputError as error:
        return None, str(error)


def goal_of(target: Target) -> float:
    """The level to reach, from whichever side."""
    level = target.below if target.below is not None else target.above
    assert level is not None  # the scenario is checked for one
    return level


def versions(trace: Trace) -> dict[str, str]:
    """Of the packages, and of Python, that a run was made with."""
    python = trace.summary.get("host", {}).get("python")
    found = trace.summary.get("versions", {}) | ({"python": python} if python else {})
    return {str(name): str(version) for name, version in found.items()}
