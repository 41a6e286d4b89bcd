"""What the commands share: their options, loading a scenario, and stopping on request."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirelessfl.completion import fields, scenario_files

if TYPE_CHECKING:
    from wirelessfl.scenario import Scenario

ScenarioFile = Annotated[
    Path,
    typer.Argument(help="Scenario file (YAML).", show_default=False, autocompletion=scenario_files),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override one field; may be repeated.",
        autocompletion=fields,
    ),
]
AllowCustom = Annotated[
    bool,
    typer.Option("--allow-custom", help="Run the code that kind: custom in the scenario names."),
]
MemoFolder = Annotated[
    Path | None,
    typer.Option(
        "--memo",
        metavar="DIR",
        help="Keep results of training here, and do not train again what is found here.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results already there.")]
RequireTarget = Annotated[
    bool,
    typer.Option("--require-target", help="Exit with 3 if a run does not reach the target."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]


def load_scenario(path: Path, overrides: list[str] | None, allow_custom: bool) -> Scenario:
    """The scenario of a command.

    Raises:
        InputError: As `wirelessfl.load`.
    """
    from wirelessfl.scenario import load

    return load(path, overrides or (), allow_custom)


@contextmanager
def stoppable(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """The block may be stopped by Ctrl-C or SIGTERM; then the user is told how to go on."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {how_to_go_on()}", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
