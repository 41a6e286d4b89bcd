"""Commands that run a scenario many times: compare and tune; `wirelessfl.cli` registers them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wirelessfl.errors import InputError

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override one field; may be repeated."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results already there.")]


def compare(
    scenario: ScenarioFile,
    strategies: Annotated[
        str, typer.Option(help="Names separated by commas; others are measured against the first.")
    ] = "adaptive,uniform,data_proportional,full",
    seeds: Annotated[str, typer.Option(help="Seeds: 0-4, or 1,3,5.")] = "0-2",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the traces.  [default: runs/NAME-compare]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Simulations at a time.  [default: one a core]")
    ] = None,
    set_: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Run strategies against one another on the same simulated world.

    Example: [bold]wirelessfl compare scenarios/quickstart.yaml --strategies adaptive,uniform
    --seeds 0-4[/bold]
    """
    from wirelessfl.scenario import load

    loaded = load(scenario, set_ or ())
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    numbers = _seeds(seeds)
    from wirelessfl import study
    from wirelessfl.console import console, live_progress, print_study

    folder = out or Path("runs") / f"{loaded.name}-compare"
    with live_progress(len(names) * len(numbers), loaded.stop.target) as display:
        result = study.compare(
            loaded,
            names,
            numbers,
            folder,
            jobs,
            on_progress=display.update,
            on_end=display.finish,
            overwrite=overwrite,
        )
    if any(result.traces.values()):
        print_study(result, folder)
    if result.failures:
        labels: dict[str, list[str]] = {}
        for member, error in result.failures.items():
            labels.setdefault(str(error), []).append(member.label)
        for message, failed in labels.items():
            typer.echo(f"error: {', '.join(failed)}: {message}", err=True)
        kept = f"; the others are kept in {folder}" if any(result.traces.values()) else ""
        console.print(f"{len(result.failures)} runs failed{kept}")
        raise typer.Exit(2 if all(_is_input(e) for e in result.failures.values()) else 1)


def tune(
    scenario: ScenarioFile,
    strategy: Annotated[str, typer.Option(help="Strategy to tune.", show_default=False)],
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
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Simulations at a time.  [default: one a core]")
    ] = None,
    set_: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for the settings with which a strategy reaches the target soonest.

    Example: [bold]wirelessfl tune scenarios/quickstart.yaml --strategy uniform --trials 12[/bold]
    """
    from wirelessfl.scenario import load

    loaded, numbers = load(scenario, set_ or ()), _seeds(seeds)
    from wirelessfl import study
    from wirelessfl.console import console, live_progress, print_tuning
    from wirelessfl.study.search import parse_range

    chosen = loaded.with_strategy(strategy)
    ranges = [parse_range(text, chosen) for text in over] if over else None
    folder = out or Path("runs") / f"{loaded.name}-tune"
    with live_progress(trials * len(numbers), loaded.stop.target) as display:
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
        )
    if as_json:
        typer.echo(json.dumps({"strategy": strategy, "best": asdict(result.best)}, indent=2))
    else:
        print_tuning(result, len(numbers))
        console.print(f"trials: {folder / strategy}.csv", soft_wrap=True)
    if not result.best.reached:
        raise typer.Exit(3)


def _seeds(text: str) -> list[int]:
    """'0-2,7' as [0, 1, 2, 7].

    Raises:
        InputError: On anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"--seeds: {text!r} is not like '0-4' or '1,3,5'")
        seeds.extend(range(int(first), int(last or first) + 1))
    if not seeds:
        raise InputError(f"--seeds: {text!r} names no seed")
    return seeds


def _is_input(error: Exception) -> bool:
    return isinstance(error, InputError)
