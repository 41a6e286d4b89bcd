"""The command line: parses, prints, exits; the work is done in the rooms below.

Exit codes: 0 done; 1 a run failed; 2 bad input, with one message and no traceback; 3 the target
was not reached with --require-target; 130 interrupted. Heavy modules are imported by the command
that needs them, so that --help and validate answer at once.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wirelessfl.cli_export import export
from wirelessfl.cli_machine import calibrate, doctor
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
from wirelessfl.cli_report import report
from wirelessfl.cli_study import compare, sweep, tune
from wirelessfl.completion import strategies, topics
from wirelessfl.errors import InputError, is_full

if TYPE_CHECKING:
    from wirelessfl.study.executor import Member

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="How long will federated LoRA fine-tuning take on a wireless network of uneven devices, "
    "and which strategy gets there first?",
)


@app.command()
def run(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the trace.  [default: runs/NAME-seed-N]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Replace the scenario's seed.")] = None,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    timing_only: Annotated[
        bool,
        typer.Option("--timing-only", help="Take the time of training, but do not train."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped, if there is one.")
    ] = False,
    overwrite: Overwrite = False,
    memo: MemoFolder = None,
    require_target: RequireTarget = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate one scenario and write its trace.

    Example: [bold]wirelessfl run scenarios/quickstart.yaml --set strategy.kind=uniform[/bold]

    Ctrl-C saves the state, and the same command with [bold]--resume[/bold] goes on from it.
    """
    if resume and overwrite:
        raise InputError("--resume goes on and --overwrite starts again: choose one")
    fields = [*(set_ or ()), *([] if seed is None else [f"seed={seed}"])]
    loaded = load_scenario(scenario, fields, allow_custom)
    if timing_only:
        loaded = loaded.timing_only()
    from wirelessfl.console import errors, live_progress, print_warnings
    from wirelessfl.simulation.world import check
    from wirelessfl.study.executor import (
        Member,
        begin_again,
        finished_trace,
        run_member,
        unfinished_after,
    )
    from wirelessfl.study_tables import print_run, run_document
    from wirelessfl.trace.files import make_folder

    folder = out or Path("runs") / f"{loaded.name}-seed-{loaded.seed}"
    member = Member(loaded.strategy.kind, loaded, folder, memo=memo)
    trace = None if overwrite else finished_trace(member)
    if trace is None:
        stopped = None if overwrite else unfinished_after(member)
        if stopped is not None and not resume:
            raise InputError(
                f"{folder} holds this run up to round {stopped}: --resume goes on, --overwrite "
                "starts again"
            )
        if resume and not quiet:
            errors.print(
                f"{folder} holds no state to go on from: the run begins"
                if stopped is None
                else f"{folder}: going on after round {stopped}"
            )
        check(loaded)
        make_folder(folder)
        if overwrite:
            begin_again(member)
        with (
            stoppable(lambda: _how_to_resume(member)),
            live_progress(1, loaded.stop.target, quiet) as display,
        ):
            trace = run_member(member, lambda progress: display.update(member, progress))
    elif not quiet:
        errors.print(f"{folder} already holds this run (--overwrite runs it again)")
    if as_json:
        typer.echo(json.dumps(run_document(trace, loaded, folder), indent=2, allow_nan=False))
    elif not quiet:
        print_run(trace, loaded, folder)
    print_warnings([trace.summary])
    if trace.summary["diverged"]:
        raise typer.Exit(1)
    if require_target and not trace.summary["target_reached"]:
        raise typer.Exit(3)


app.command()(compare)
app.command()(sweep)
app.command()(report)


@app.command()
def plan(
    scenario: ScenarioFile,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="A kind, or a name under strategies.  [default: the scenario's]",
            autocompletion=strategies,
        ),
    ] = None,
    run_: Annotated[
        Path | None,
        typer.Option("--from", help="Folder of a finished run whose update norms are used."),
    ] = None,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show who would take part, how long a round will be, and why; nothing is trained.

    Example: [bold]wirelessfl plan scenarios/quickstart.yaml --strategy uniform[/bold]
    """
    loaded = load_scenario(scenario, set_, allow_custom)
    if strategy is not None:
        loaded = loaded.with_strategy(strategy)
    from wirelessfl.simulation.planning import plan_scenario

    outlook = plan_scenario(loaded, run_)
    if as_json:
        typer.echo(json.dumps(outlook.document(), indent=2, allow_nan=False))
        return
    from wirelessfl.plan_tables import print_outlook

    print_outlook(outlook)


app.command()(tune)


@app.command()
def validate(
    scenario: ScenarioFile,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Check a scenario and all files it names, and print it with every default filled in.

    Example: [bold]wirelessfl validate scenarios/quickstart.yaml --set seed=3[/bold]
    """
    loaded = load_scenario(scenario, set_, allow_custom)
    from wirelessfl.scenario import dump
    from wirelessfl.simulation.world import check

    check(loaded)
    typer.echo(loaded.model_dump_json(indent=2) if as_json else dump(loaded), nl=as_json)


@app.command()
def draw(
    scenario: ScenarioFile,
    out: Annotated[
        Path | None, typer.Option(help="Picture; .png and .svg.  [default: NAME-map.png]")
    ] = None,
    set_: Overrides = None,
    allow_custom: AllowCustom = False,
) -> None:
    """Draw a scenario's network: cells, backhaul, and the clients by serving cell.

    Example: [bold]wirelessfl draw scenarios/hex-city.yaml --out map.png[/bold]
    """
    loaded = load_scenario(scenario, set_, allow_custom)
    from wirelessfl.network.map import draw_network
    from wirelessfl.simulation.world import check

    check(loaded)
    path = out or Path(f"{loaded.name}-map.png")
    if not path.name:
        raise InputError("--out: write the name of a picture, e.g. map.png")
    if not path.parent.is_dir():
        raise InputError(f"--out: there is no folder {path.parent}")
    path = path.with_suffix(".png")
    topology = draw_network(loaded.network, loaded.devices.count, loaded.seed, path)
    cells = "1 cell" if topology.cells == 1 else f"{topology.cells} cells"
    typer.echo(f"{loaded.name}: {cells}, {loaded.devices.count} clients: {path}")


@app.command("list")
def list_kinds(
    topic: Annotated[
        str | None,
        typer.Argument(
            help="Only this topic, e.g. fading.", show_default=False, autocompletion=topics
        ),
    ] = None,
) -> None:
    """Show every kind a scenario can name, with its fields.

    Example: [bold]wirelessfl list fading[/bold]
    """
    from wirelessfl.scenario.describe import list_text

    typer.echo(list_text(topic))


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors.

    Example: [bold]wirelessfl schema > schema.json[/bold]
    """
    from wirelessfl.scenario.describe import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


app.command()(calibrate)
app.command()(doctor)
app.command()(export)


def _how_to_resume(member: Member) -> str:
    from wirelessfl.study.executor import unfinished_after

    stopped = unfinished_after(member)
    if stopped is None:
        return "nothing was saved yet, so the same command starts again"
    return (
        f"the state after round {stopped} is saved in {member.checkpoint}; the same command with "
        "--resume goes on"
    )


def main() -> None:
    """Entry point of the `wirelessfl` command: turns errors of the user into exit codes."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # of a file that cannot be what the user says, or of a bug
        if error.filename is None and not is_full(error):
            raise
        typer.echo(f"error: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(1 if is_full(error) else 2)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished runs are kept, and the same command goes on", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
