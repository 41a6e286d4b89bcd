"""What is measured of one run, and of the runs of a strategy together.

A run that never reaches the target counts with its whole length, which is a lower bound: then the
mean is one too, and there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from wirelessfl.scenario import Target
from wirelessfl.study.statistics import Interval, mean_interval, ratio_interval
from wirelessfl.trace import Trace

Row = dict[str, object]


@dataclass(frozen=True)
class Measure:
    """A number of a run: its name, SI unit and meaning."""

    name: str
    unit: str
    description: str

    def bound(self, which: str) -> str:
        """The column of its 'low' or 'high' confidence bound: 'time_low_s' of 'time_s'."""
        for suffix in ("_s", "_j", "_bits"):
            if self.name.endswith(suffix):
                return f"{self.name.removesuffix(suffix)}_{which}{suffix}"
        return f"{self.name}_{which}"


TIME = Measure("time_s", "s", "Simulated time to the target; if not reached, to the run's end.")
MEASURES = (
    TIME,
    Measure("rounds", "", "Rounds until then; without a target, of the whole run."),
    Measure("round_s", "s", "Mean length of a round."),
    Measure("end_s", "s", "Simulated time of the whole run."),
    Measure("participants", "", "Mean number of clients of a round."),
    Measure("mean_rank", "", "Mean rank that they trained."),
    Measure("downlink_bits", "bit", "Bits downloaded in the whole run."),
    Measure("uplink_bits", "bit", "Bits uploaded in the whole run."),
    Measure("energy_j", "J", "Energy of all devices in the whole run; missing if any's is."),
    Measure("loss", "", "Last loss on the held-out data."),
    Measure("accuracy", "", "Last accuracy on the held-out data."),
    Measure("perplexity", "", "Last perplexity on the held-out data."),
)


@dataclass(frozen=True)
class Arrival:
    """When one run reached the target, or that it did not.

    Attributes:
        time_s: Simulated seconds to the target; if not `reached`, to the end of the run, which is
            then a lower bound.
    """

    reached: bool
    time_s: float
    rounds: int


def arrival(trace: Trace, target: Target) -> Arrival:
    """When a run reached a target, if it did."""
    ends = trace.rounds["end_s"]
    time_s = trace.time_to(target.metric, target.below, target.above, target.smooth)
    if time_s is None:
        return Arrival(False, float(ends.iloc[-1]), int(trace.rounds["round"].max()))
    return Arrival(True, time_s, int(trace.rounds["round"][ends <= time_s].max()))


def measure(trace: Trace, target: Target | None) -> Row:
    """`reached` and every measure of a run, NaN where there is none; without a target, no time."""
    if target is None:
        came = Arrival(False, math.nan, int(trace.rounds["round"].max()))
    else:
        came = arrival(trace, target)
    rounds = trace.rounds[trace.rounds["round"] > 0]
    sums = {name: float(rounds[name].sum(skipna=False)) for name in _SUMS}
    means = {name: float(rounds[name].mean()) for name in ("participants", "mean_rank")}
    last = {name: _last(trace, name) for name in ("loss", "accuracy", "perplexity")}
    return {
        "reached": came.reached,
        "time_s": came.time_s,
        "rounds": float(came.rounds),
        "round_s": float(rounds["duration_s"].mean()),
        "end_s": float(trace.rounds["end_s"].iloc[-1]),
        **means,
        **sums,
        **last,
    }


_SUMS = ("downlink_bits", "uplink_bits", "energy_j")


def _last(trace: Trace, name: str) -> float:
    values = trace.rounds[name].dropna()
    return math.nan if values.empty else float(values.iloc[-1])


def slower(
    arrivals: Mapping[int, Arrival], reference: Mapping[int, Arrival], failed: int
) -> tuple[Interval, Interval]:
    """Time to the target of a strategy, and how many times that of the reference it is.

    Args:
        arrivals: Of the strategy, by seed.
        reference: Of the strategy that it is measured against, by seed.
        failed: Runs of the strategy that failed.

    Returns:
        The mean over seeds, and the geometric mean of the ratios paired by seed; without bounds
        unless every run arrived. There are no ratios (NaN) if a run of the reference does not
        arrive, or needs no round to.
    """
    pairs = sorted(arrivals.keys() & reference.keys())
    if not all(came.reached and came.time_s > 0 for came in reference.values()):
        pairs = []
    time_s = mean_interval([came.time_s for came in arrivals.values()])
    ratio = ratio_interval(
        [arrivals[seed].time_s for seed in pairs], [reference[seed].time_s for seed in pairs]
    )
    if failed or not all(came.reached for came in arrivals.values()):
        return time_s.without_bounds(), ratio.without_bounds()
    return time_s, ratio


def over_seeds(runs: pd.DataFrame, failed: int) -> Row:
    """Means of every measure over the runs of one strategy, with 95% Student-t bounds.

    Args:
        runs: The finished ones, a row each.
        failed: How many others failed; then, or if not all arrived, the time has no bounds.
    """
    row: Row = {}
    for one in MEASURES:
        found = mean_interval(runs[one.name].dropna().tolist())
        if one is TIME and (failed or not runs["reached"].all()):
            found = found.without_bounds()
        row |= {one.name: found.mean, one.bound("low"): found.low, one.bound("high"): found.high}
    return row
