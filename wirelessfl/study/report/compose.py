"""Puts the page together: which sections there are, and in which order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from wirelessfl.errors import InputError, reason
from wirelessfl.study.comparison import Study
from wirelessfl.study.reading import read_study
from wirelessfl.study.record import FILE
from wirelessfl.study.report.clients import participation
from wirelessfl.study.report.convergence import convergence
from wirelessfl.study.report.figures import Chart, colour
from wirelessfl.study.report.headline import answer, headline, question
from wirelessfl.study.report.page import Page, Section, write
from wirelessfl.study.report.pictures import pictures
from wirelessfl.study.report.protocols import (
    cost_to_target,
    predictions,
    quality_under_budget,
    robustness,
)
from wirelessfl.study.report.rounds import breakdown, gantt, plan_and_fact
from wirelessfl.study.report.subject import Subject, of_study, of_trace, versions
from wirelessfl.study.report.sweeps import sweep_page
from wirelessfl.study.sweeping import Sweep
from wirelessfl.trace import Trace
from wirelessfl.trace.warnings import warnings_of

_PROTOCOLS = (
    "The three protocols of EdgeFlowerTune (arXiv 2605.08636). Means over seeds, 95% confidence "
    "interval beneath. A run that had ended before a budget was spent keeps its last value."
)


def report_folder(folder: str | Path, path: str | Path | None = None) -> Path:
    """Report on the run, comparison or sweep that a folder holds.

    Args:
        folder: What `run`, `compare` or `sweep` wrote.
        path: File to write.  [default: report.html in the folder]

    Returns:
        The file.

    Raises:
        InputError: If the folder holds none of these, or what it holds is damaged or unfinished, or
            the file cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    path = folder / "report.html" if path is None else Path(path)
    report(read_results(folder), path)
    return path


def read_results(folder: Path) -> Trace | Study | Sweep:
    """What a folder holds.

    Raises:
        InputError: If that is nothing that can be reported on.
    """
    try:
        if (folder / FILE).exists():
            return read_study(folder)
        if (folder / "summary.json").exists():
            return Trace.read(folder)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:  # Arrow's errors are ValueErrors
        raise InputError(f"{folder} is damaged: {reason(error)}") from None
    raise InputError(
        f"{folder} holds no finished run (no summary.json) and no comparison or sweep (no {FILE})"
    )


def report(results: Trace | Study | Sweep, path: str | Path) -> None:
    """Write one HTML file that tells what came of a run, a comparison or a sweep.

    It holds everything it needs and fetches nothing; the same results give the same bytes.

    Args:
        results: What to report on.
        path: File to write; one that is already there is replaced.

    Raises:
        InputError: If nothing has finished, or the file cannot be written.
    """
    if isinstance(results, Sweep):
        write(sweep_page(results), Path(path))
    elif isinstance(results, Study):
        subject = of_study(results)
        failed = [f"{m.label} failed: {error}" for m, error in results.failures.items()]
        write(_page(subject, "comparison", results.command, failed), Path(path))
    else:
        write(_page(of_trace(results), "run", None, []), Path(path))


def _page(subject: Subject, kind: str, command: str | None, failed: Sequence[str]) -> Page:
    drawn, left_out = pictures(subject)
    runs = [trace for by_seed in subject.traces.values() for trace in by_seed.values()]
    planned = predictions(subject)
    sections = [
        Section("convergence", "Convergence", charts=_some(convergence(subject))),
        Section("time", "Where the time goes", charts=_some(breakdown(subject), gantt(subject))),
        Section("clients", "Who takes part", charts=_some(participation(subject))),
        Section(
            "plan",
            "Plan and fact",
            charts=_some(plan_and_fact(subject)),
            tables=() if planned is None else (planned,),
        ),
        Section(
            "protocols",
            "Budgets, costs, robustness",
            _PROTOCOLS if subject.seeds > 1 else "",
            tables=(*quality_under_budget(subject), cost_to_target(subject), robustness(subject)),
        ),
        Section("world", "Network and data", pictures=tuple(drawn)),
    ]
    first = runs[0]
    return Page(
        name=subject.name,
        kind=kind,
        facts=", ".join(_facts(subject)),
        question=question(subject),
        answer=answer(subject),
        headline=headline(subject),
        warnings=[*failed, *warnings_of([trace.summary for trace in runs]), *left_out],
        sections=sections,
        commands=list(_commands(subject, kind, command)),
        versions=versions(first),
        fingerprints=dict(_fingerprints(subject)),
        scenario_yaml=subject.yaml,
        colours={name: colour(i) for i, name in enumerate(subject.strategies)},
    )


def _some(*charts: Chart | None) -> tuple[Chart, ...]:
    return tuple(chart for chart in charts if chart is not None)


def _facts(subject: Subject) -> Iterator[str]:
    runs = sum(len(by_seed) for by_seed in subject.traces.values())
    if len(subject.strategies) > 1:
        yield f"{len(subject.strategies)} strategies"
    seeds = sorted({seed for by_seed in subject.traces.values() for seed in by_seed})
    yield f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    if runs > 1:
        yield f"{runs} runs"
    if subject.scenario is not None:
        yield f"{subject.scenario.devices.count:,} clients"


def _commands(subject: Subject, kind: str, command: str | None) -> Iterator[tuple[str, str]]:
    """The command that was typed, and one that needs only the scenario below."""
    if command is not None:
        yield "As it was made:", command
    again = ["wirelessfl", "run", "scenario.yaml"]
    if kind == "comparison":
        seeds = sorted({seed for by_seed in subject.traces.values() for seed in by_seed})
        again = ["wirelessfl", "compare", "scenario.yaml", "--strategies"]
        again += [",".join(subject.strategies), "--seeds", ",".join(map(str, seeds))]
    yield "With the scenario below in scenario.yaml:", shlex.join(again)


def _fingerprints(subject: Subject) -> Iterator[tuple[str, str]]:
    for name, runs in subject.traces.items():
        for seed, trace in runs.items():
            yield f"{name}, seed {seed}", str(trace.summary.get("fingerprint", "–"))
    task = next(iter(subject.example.values())).summary.get("task") or {}
    if "fingerprint" in task:
        yield "data", str(task["fingerprint"])
