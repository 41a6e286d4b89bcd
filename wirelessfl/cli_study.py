"""Commands that run a scenario many times; `wirelessfl.cli` registers them."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from wirelessfl.cli_options import (
    AllowCustom,
    AsJson,
    MemoFolder,
    Overrides,
    Overwrite,
    Quiet,
    RequireTarget,
    ScenarioFile,
    load_scenario,
    stoppable,
)
from wirelessfl.completion import fields, several_strategies
from wirelessfl.completion import strategies as strategies_of
from wirelessfl.errors import InputError, is_full

if TYPE_CHECKING:
    from wirelessfl.scenario import Scenario
    from wirelessfl.study.executor import Member, Outcome
    from wirelessfl.trace.warnings import Summary

Result = TypeVar("Result")
MOST_RUNS = 10_000  # of one study; more is a slip of the pen, and takes long to be found


class Where(StrEnum):
    """Where simulations run."""

    local = "local"
    ray = "ray"


Seeds = Annotated[str, typer.Option(help="Seeds: 0-4, or 1,3,5.")]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Simulations at a time.  [default: one a core]")
]
ExecutorName = Annotated[
    Where, typer.Option(help="Processes of this machine, or a Ray cluster (RAY_ADDRESS).")
]


def compare(
    scenario: ScenarioFile,
    strategies: Annotated[
        str,
        typer.Option(
            help="Names separated by commas; others are measured against the first.",
            autocompletion=several_strategies,
        ),
    ] = "adaptive,uniform,data_proportional,full",
    seeds: Seeds = "0-2",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the traces.  [default: runs/NAME-compare]")
    ] = None,
    jobs: Jobs = None,
    executor: ExecutorName = Where.local,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    overwrite: Overwrite = False,
    memo: MemoFolder = None,
    require_target: RequireTarget = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run strategies against one another on the same simulated world.

    Runs that have finished in the folder are kept, so the same command goes on where it stopped.

    Example: [bold]wirelessfl compare scenarios/quickstart.yaml --strategies adaptive,uniform
    --seeds 0-4[/bold]
    """
    loaded = load_scenario(scenario, set_, allow_custom)
    names, numbers = _names(strategies), _seeds(seeds)
    from wirelessfl import study
    from wirelessfl.study_tables import print_study, study_document

    folder = out or Path("runs") / f"{loaded.name}-compare"
    work = partial(
        study.compare,
        loaded,
        names,
        numbers,
        folder,
        jobs,
        overwrite=overwrite,
        memo=memo,
        executor=executor.value,
    )
    members = len(names) * len(numbers)
    result, summaries = _carried_out(work, loaded, members, folder, overwrite, quiet)
    if as_json:
        _print_json(study_document(result, folder))
    elif summaries and not quiet:
        print_study(result, folder)
    _conclude(result.failures, summaries, members, folder, require_target)


def sweep(
    scenario: ScenarioFile,
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="PATH=VALUE,VALUE...",
            help="A field and its values; repeated, every combination runs. Commas within {}, [] "
            "or quotes do not separate.",
            show_default=False,
            autocompletion=fields,
        ),
    ],
    strategies: Annotated[
        str | None,
        typer.Option(
            help="Names separated by commas.  [default: the scenario's own]",
            autocompletion=several_strategies,
        ),
    ] = None,
    seeds: Seeds = "0",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the traces.  [default: runs/NAME-sweep]")
    ] = None,
    jobs: Jobs = None,
    executor: ExecutorName = Where.local,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    overwrite: Overwrite = False,
    memo: MemoFolder = None,
    require_target: RequireTarget = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Vary fields of a scenario over a grid, and gather one tidy table and a picture.

    Runs that have finished in the folder are kept, so the same command goes on where it stopped.

    Example: [bold]wirelessfl sweep scenarios/quickstart.yaml --strategies adaptive,uniform
    --vary 'network.uplink.bandwidth=500 kHz, 1 MHz, 5 MHz' --seeds 0-2[/bold]
    """
    loaded, numbers = load_scenario(scenario, set_, allow_custom), _seeds(seeds)
    from wirelessfl import study
    from wirelessfl.study.axes import parse_vary
    from wirelessfl.study_tables import print_sweep, sweep_document

    folder = out or Path("runs") / f"{loaded.name}-sweep"
    varied = parse_vary(vary)
    names = None if strategies is None else _names(strategies)
    work = partial(
        study.sweep,
        loaded,
        varied,
        names,
        numbers,
        folder,
        jobs,
        overwrite=overwrite,
        memo=memo,
        executor=executor.value,
        allow_custom=allow_custom,
    )
    members = math.prod(map(len, [names or "1", numbers, *varied.values()]))
    result, summaries = _carried_out(work, loaded, members, folder, overwrite, quiet)
    if as_json:
        _print_json(sweep_document(result, folder))
    elif summaries and not quiet:
        print_sweep(result, folder)
    _conclude(result.failures, summaries, members, folder, require_target)


def tune(
    scenario: ScenarioFile,
    strategy: Annotated[
        str,
        typer.Option(help="Strategy to tune.", show_default=False, autocompletion=strategies_of),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 16,
    seeds: Annotated[str, typer.Option(help="Tuning seeds: 100-101, or 7,9.")] = "100-101",
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=LOW..HIGH",
            help="A number of the strategy to vary; may be repeated.  [default: the server's step, "
            "and how many clients take part]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the trials.  [default: runs/NAME-tune]")
    ] = None,
    jobs: Jobs = None,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look for the settings with which a strategy reaches the target soonest.

    Example: [bold]wirelessfl tune scenarios/quickstart.yaml --strategy uniform --trials 12[/bold]
    """
    loaded, numbers = load_scenario(scenario, set_, allow_custom), _seeds(seeds)
    from wirelessfl import study
    from wirelessfl.console import console, live_progress
    from wirelessfl.study.search import parse_range
    from wirelessfl.study_tables import print_tuning

    chosen = loaded.with_strategy(strategy)
    ranges = [parse_range(text, chosen) for text in over] if over else None
    folder = out or Path("runs") / f"{loaded.name}-tune"
    with (
        stoppable(lambda: f"the trials so far are kept in {folder}; the same command goes on"),
        live_progress(trials * len(numbers), loaded.stop.target, quiet) as display,
    ):
        result = study.tune(
            loaded,
            strategy,
            trials,
            numbers,
            ranges,
            folder,
            jobs,
            on_progress=display.update,
            on_end=display.finish,
            allow_custom=allow_custom,
        )
    if as_json:
        _print_json({"strategy": strategy, "best": asdict(result.best)})
    elif not quiet:
        print_tuning(result, len(numbers))
        console.print(f"trials: {folder / strategy}.csv", soft_wrap=True)
    if not result.best.reached:
        raise typer.Exit(3)


def _carried_out(
    work: Callable[..., Result],
    scenario: Scenario,
    members: int,
    folder: Path,
    overwrite: bool,
    quiet: bool,
) -> tuple[Result, list[Summary]]:
    """What a study comes to, and the summary of each run that ended, while progress is shown.

    Raises:
        InputError: If there would be too many runs, or as the work does.
    """
    from wirelessfl.console import live_progress

    if members > MOST_RUNS:
        raise InputError(f"these are {members} runs; one study may have {MOST_RUNS} of them")
    summaries: list[Summary] = []
    target = scenario.stop.target
    with _kept(folder, overwrite), live_progress(members, target, quiet) as display:

        def ended(member: Member, outcome: Outcome) -> None:
            display.finish(member, outcome)
            if not isinstance(outcome, Exception):
                summaries.append(outcome.summary)

        result = work(on_progress=display.update, on_end=ended, command=_command())
    return result, summaries


def _conclude(
    failures: Mapping[Member, Exception],
    summaries: list[Summary],
    members: int,
    folder: Path,
    require_target: bool,
) -> None:
    """Warn, say which runs failed and why, the same reason only once, and exit accordingly."""
    from wirelessfl.console import print_warnings

    print_warnings(summaries)
    if failures:
        labels: dict[str, list[str]] = {}
        for member, error in failures.items():
            labels.setdefault(str(error) or type(error).__name__, []).append(member.label)
        for message, failed in labels.items():
            typer.echo(f"error: {', '.join(failed)}: {message}", err=True)
        kept = f"; the others are kept in {folder}" if len(failures) < members else ""
        typer.echo(f"{len(failures)} of {members} runs failed{kept}", err=True)
        inputs = all(isinstance(error, InputError) for error in failures.values())
        raise typer.Exit(2 if inputs else 1)
    if require_target and not all(summary["target_reached"] for summary in summaries):
        raise typer.Exit(3)


@contextmanager
def _kept(folder: Path, overwrite: bool = False) -> Iterator[None]:
    """Whatever stops a study on its way, say what is kept and how to go on."""
    again = "the same command without --overwrite" if overwrite else "the same command"
    try:
        with stoppable(lambda: f"{_state(folder)}; {again} goes on"):
            yield
    except OSError as error:
        if not is_full(error):
            raise
        where = f"{error.filename}: " if error.filename else ""
        message = f"error: {where}{error.strerror}; free some space, and {again} goes on"
        typer.echo(message, err=True)
        raise typer.Exit(1) from None


def _state(folder: Path) -> str:
    from wirelessfl.study.record import finished

    try:
        done, members = finished(folder)
    except InputError:
        return "nothing has run yet"
    return f"{done} of {members} runs are finished and kept in {folder}"


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def _command() -> str:
    return shlex.join(["wirelessfl", *sys.argv[1:]])


def _names(text: str) -> list[str]:
    """'a, b' as ['a', 'b'], each once.

    Raises:
        InputError: If there is none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError(f"--strategies: {text!r} names no strategy")
    return names


def _seeds(text: str) -> list[int]:
    """'0-2,7' as [0, 1, 2, 7], each once.

    Raises:
        InputError: On anything else.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        found = re.fullmatch(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", part.strip())
        if found is None:
            raise InputError(f"--seeds: {part.strip()!r} is not like '0-4' or '1,3,5'")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise InputError(f"--seeds: {part.strip()} runs backwards; write {last}-{first}")
        if last >= 2**63:
            raise InputError(f"--seeds: {last} is larger than any seed (at most {2**63 - 1})")
        if last - first >= MOST_RUNS:
            raise InputError(f"--seeds: {part.strip()} is more than {MOST_RUNS} seeds")
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)
