"""Compare strategies on one scenario: the same world for all, judged by the simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pandas as pd

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, Target
from wirelessfl.simulation import Progress
from wirelessfl.simulation.world import check
from wirelessfl.study.executor import (
    Member,
    Outcome,
    begin_again,
    finished_trace,
    run_members,
    unfinished_after,
)
from wirelessfl.study.statistics import mean_interval, ratio_interval
from wirelessfl.trace import Trace, plot_convergence, plot_round_breakdown


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


@dataclass(frozen=True)
class Study:
    """The traces of a comparison, by strategy and seed, and what went wrong.

    Attributes:
        scenario: The scenario compared on (its own strategy and seed replaced by each member's).
        strategies: Names in the order asked for; the first is the one others are measured against.
        traces: Trace of every finished member, by strategy and seed.
        failures: Error of every member that failed.
    """

    scenario: Scenario
    strategies: tuple[str, ...]
    traces: Mapping[str, Mapping[int, Trace]]
    failures: Mapping[Member, Exception] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        """What a run has to reach.

        Raises:
            InputError: If the scenario has no `stop.target`.
        """
        if self.scenario.stop.target is None:
            raise InputError(
                "a comparison needs stop.target, e.g. 'target: {metric: loss, below: 0.6}'"
            )
        return self.scenario.stop.target

    def arrivals(self, strategy: str) -> dict[int, Arrival]:
        """When each seed's run of a strategy reached the target."""
        return {seed: self._arrival(trace) for seed, trace in self.traces[strategy].items()}

    def _arrival(self, trace: Trace) -> Arrival:
        target = self.target
        time_s = trace.time_to(target.metric, target.below, target.above, target.smooth)
        ends = trace.rounds["end_s"]
        if time_s is None:
            return Arrival(False, float(ends.iloc[-1]), int(trace.rounds["round"].max()))
        return Arrival(True, time_s, int(trace.rounds["round"][ends <= time_s].max()))

    def table(self) -> pd.DataFrame:
        """One row a strategy, SI units; intervals are 95% over seeds.

        `speedup` is how many times longer the strategy takes to the target than the first one:
        the geometric mean over seeds of the ratio of times, with a paired log-t interval. A run
        that never reaches the target counts with its whole length, so with `reached < runs` the
        strategy's times and speed-up are lower bounds and have no interval; a run that failed is
        counted in `runs` and has no time. Speed-ups are NaN if a run of the first
        strategy does not arrive, or needs no round to.
        """
        return pd.DataFrame([self._row(name) for name in self.strategies if self.traces[name]])

    def _row(self, strategy: str) -> dict[str, object]:
        arrivals, reference = self.arrivals(strategy), self.arrivals(self.strategies[0])
        pairs = sorted(arrivals.keys() & reference.keys())
        if not all(arrival.reached and arrival.time_s > 0 for arrival in reference.values()):
            pairs = []
        time_s = mean_interval([arrival.time_s for arrival in arrivals.values()])
        speedup = ratio_interval(
            [arrivals[seed].time_s for seed in pairs], [reference[seed].time_s for seed in pairs]
        )
        failed = sum(member.strategy == strategy for member in self.failures)
        if failed or not all(arrival.reached for arrival in arrivals.values()):
            time_s, speedup = time_s.without_bounds(), speedup.without_bounds()
        elif strategy == self.strategies[0]:
            speedup = speedup.without_bounds()
        rounds = pd.concat([trace.rounds for trace in self.traces[strategy].values()])
        rounds = rounds[rounds["round"] > 0]
        return {
            "strategy": strategy,
            "runs": len(arrivals) + failed,
            "reached": sum(arrival.reached for arrival in arrivals.values()),
            "time_s": time_s.mean,
            "time_low_s": time_s.low,
            "time_high_s": time_s.high,
            "rounds": mean_interval([arrival.rounds for arrival in arrivals.values()]).mean,
            "round_s": float(rounds["duration_s"].mean()),
            "participants": float(rounds["participants"].mean()),
            "mean_rank": float(rounds["mean_rank"].mean()),
            "speedup": speedup.mean,
            "speedup_low": speedup.low,
            "speedup_high": speedup.high,
        }

    def plot(self, path: str | Path) -> None:
        """Draw the target's metric against simulated time (PNG, with the SVG beside it)."""
        target = self.target
        plot_convergence(
            {
                name: [trace.curve(target.metric) for trace in self.traces[name].values()]
                for name in self.strategies
                if self.traces[name]
            },
            target.metric,
            target.below if target.below is not None else target.above,
            Path(path),
        )

    def write(self, folder: Path) -> None:
        """Write `table.csv`, `convergence.png` and `round_breakdown.png` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.table().to_csv(folder / "table.csv", index=False)
        self.plot(folder / "convergence.png")
        clients = {
            name: pd.concat([trace.clients for trace in self.traces[name].values()])
            for name in self.strategies
            if self.traces[name]
        }
        if any((frame["outcome"] == "completed").any() for frame in clients.values()):
            plot_round_breakdown(clients, folder / "round_breakdown.png")


def compare(
    scenario: Scenario,
    strategies: Sequence[str],
    seeds: Iterable[int] = (0,),
    out: str | Path | None = None,
    jobs: int | None = None,
    on_progress: Callable[[Member, Progress], None] | None = None,
    on_end: Callable[[Member, Outcome], None] | None = None,
    overwrite: bool = False,
    memo: str | Path | None = None,
) -> Study:
    """Run every strategy with every seed on the same world and gather the traces.

    Args:
        scenario: What to compare on; it must have a `stop.target`.
        strategies: Preset names, or names under `strategies:` in the scenario.
        seeds: Seeds of the world (channel, partition, participation); each meets all strategies.
        out: Folder for `STRATEGY/seed-N/` traces, the table and the pictures; None keeps all in
            memory. Members already finished there are read, not run again; those that were stopped
            go on.
        jobs: Simulations at a time (default: one a core). It cannot change results.
        on_progress: Called with a member and its progress after each of its rounds.
        on_end: Called with a member and its trace, or what it failed with, as it ends.
        overwrite: Run finished members again and replace them.
        memo: Folder where results of training are kept, as for `simulate`.

    Raises:
        InputError: On an unknown strategy, no target, an `out` that holds other results, or a
            scenario that cannot be run (`wirelessfl.simulation.world.check`); nothing has run then.
    """
    strategies, seeds = tuple(dict.fromkeys(strategies)), tuple(dict.fromkeys(seeds))
    if not strategies or not seeds:
        raise InputError("a comparison needs at least one strategy and one seed")
    folder = None if out is None else Path(out)
    members = [
        Member(
            name,
            scenario.with_strategy(name).model_copy(update={"seed": seed}),
            None if folder is None else folder / name / f"seed-{seed}",
            None if memo is None else Path(memo),
        )
        for seed in seeds
        for name in strategies
    ]
    Study(scenario, strategies, {}).target  # noqa: B018 - fails early if there is none
    found = {m: None if overwrite else finished_trace(m) for m in members}
    outcomes: dict[Member, Outcome] = {m: t for m, t in found.items() if t is not None}
    waiting = [member for member in members if member not in outcomes]
    for member in waiting:
        if overwrite:
            begin_again(member)
        unfinished_after(member)  # fails early if it is of another run
    for seed in seeds:
        runs = [(m.strategy, m.scenario.strategy) for m in waiting if m.seed == seed]
        if runs:
            check(scenario.model_copy(update={"seed": seed}), runs)
    for member, outcome in chain(list(outcomes.items()), run_members(waiting, jobs, on_progress)):
        if isinstance(outcome, Trace) and outcome.summary["diverged"]:
            outcome = ArithmeticError(outcome.summary["diverged"])  # it never arrives; no bound
        outcomes[member] = outcome
        if on_end is not None:
            on_end(member, outcome)
    traces: dict[str, dict[int, Trace]] = {name: {} for name in strategies}
    for member in members:  # in the order asked for, not the order of ending
        outcome = outcomes[member]
        if isinstance(outcome, Trace):
            traces[member.strategy][member.seed] = outcome
    failures = {m: outcome for m, outcome in outcomes.items() if isinstance(outcome, Exception)}
    study = Study(scenario, strategies, traces, failures)
    if folder is not None and not study.table().empty:
        study.write(folder)
    return study
