"""Compare strategies on one scenario: the same world for all, judged by the simulated clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, Target
from wirelessfl.study.executor import Member, OnEnd, OnProgress
from wirelessfl.study.gather import gather
from wirelessfl.study.measures import Arrival, arrival, slower
from wirelessfl.study.pool import Executor
from wirelessfl.study.record import Record
from wirelessfl.study.statistics import mean_interval
from wirelessfl.study.tables import write_tables
from wirelessfl.trace import Trace, plot_convergence, plot_round_breakdown

COLUMNS = {
    "strategy": ("", "Name of the strategy."),
    "runs": ("", "Runs of it, failed ones included."),
    "reached": ("", "Runs that reached the target."),
    "time_s": ("s", "Simulated time to the target, mean over seeds."),
    "time_low_s": ("s", "Low end of its 95% confidence interval."),
    "time_high_s": ("s", "High end of it."),
    "rounds": ("", "Rounds until then, mean over seeds."),
    "round_s": ("s", "Mean length of a round."),
    "participants": ("", "Mean number of clients of a round."),
    "mean_rank": ("", "Mean rank that they trained."),
    "speedup": ("", "Time over that of the first strategy, geometric mean paired by seed."),
    "speedup_low": ("", "Low end of its 95% confidence interval."),
    "speedup_high": ("", "High end of it."),
}


@dataclass(frozen=True)
class Study:
    """The traces of a comparison, by strategy and seed, and what went wrong.

    Attributes:
        scenario: The scenario compared on (its own strategy and seed replaced by each member's).
        strategies: Names in the order asked for; the first is the one others are measured against.
        traces: Trace of every finished member, by strategy and seed.
        failures: Error of every member that failed.
        command: The command line that ran it, if one did.
    """

    scenario: Scenario
    strategies: tuple[str, ...]
    traces: Mapping[str, Mapping[int, Trace]]
    failures: Mapping[Member, Exception] = field(default_factory=dict)
    command: str | None = None

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
        return {seed: arrival(trace, self.target) for seed, trace in self.traces[strategy].items()}

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
        failed = sum(member.strategy == strategy for member in self.failures)
        time_s, speedup = slower(arrivals, reference, failed)
        if strategy == self.strategies[0]:
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

    def report(self, path: str | Path) -> None:
        """Write the comparison as one HTML file: see `wirelessfl.report`."""
        from wirelessfl.study.report import report  # it reports on studies, so it imports this

        report(self, path)

    def write(self, folder: Path) -> None:
        """Write tables, `convergence.png`, `round_breakdown.png`, `report.html` to the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_tables(self.table(), folder / "table", COLUMNS)
        self.plot(folder / "convergence.png")
        clients = {
            name: pd.concat([trace.clients for trace in self.traces[name].values()])
            for name in self.strategies
            if self.traces[name]
        }
        if any((frame["outcome"] == "completed").any() for frame in clients.values()):
            plot_round_breakdown(clients, folder / "round_breakdown.png")
        self.report(folder / "report.html")


def compare(
    scenario: Scenario,
    strategies: Sequence[str],
    seeds: Iterable[int] = (0,),
    out: str | Path | None = None,
    jobs: int | None = None,
    on_progress: OnProgress | None = None,
    on_end: OnEnd | None = None,
    overwrite: bool = False,
    memo: str | Path | None = None,
    executor: Executor = "local",
    command: str | None = None,
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
        executor: Where simulations run: 'local' processes, or 'ray'. It cannot change results.
        command: The command line to note in `study.json`.

    Raises:
        InputError: On an unknown strategy, no target, an `out` that holds other results or cannot
            be written, or a scenario that cannot be run (`wirelessfl.simulation.world.check`);
            nothing has run then.
        OSError: If the disk is full; what has finished is kept.
    """
    strategies, seeds = tuple(dict.fromkeys(strategies)), tuple(dict.fromkeys(seeds))
    if not strategies or not seeds:
        raise InputError("a comparison needs at least one strategy and one seed")
    folder = None if out is None else Path(out)
    members = tuple(
        Member(
            name,
            scenario.with_strategy(name).model_copy(update={"seed": seed}),
            None if folder is None else folder / name / f"seed-{seed}",
            memo=None if memo is None else Path(memo),
        )
        for seed in seeds
        for name in strategies
    )
    Study(scenario, strategies, {}).target  # noqa: B018 - fails early if there is none
    record = Record("comparison", scenario, strategies, seeds, (), members, command)
    traces: dict[str, dict[int, Trace]] = {name: {} for name in strategies}

    def take(member: Member, trace: Trace) -> None:
        traces[member.strategy][member.seed] = trace

    failures = gather(record, folder, take, jobs, on_progress, on_end, overwrite, executor)
    study = comparison(record, traces, failures)
    if folder is not None and not study.table().empty:
        study.write(folder)
    return study


def comparison(
    record: Record,
    traces: Mapping[str, Mapping[int, Trace]],
    failures: Mapping[Member, Exception],
) -> Study:
    """The study of a record; all in the order asked for, not the order of ending."""
    in_order = {
        name: {seed: traces[name][seed] for seed in record.seeds if seed in traces[name]}
        for name in record.strategies
    }
    failed = {member: failures[member] for member in record.members if member in failures}
    return Study(record.scenario, record.strategies, in_order, failed, record.command)
