"""The command `export`: finished runs for other tools; `wirelessfl.cli` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wirelessfl.errors import InputError


def export(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of a run or comparison.", show_default=False),
    ],
    csv: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the tables as CSV.")
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="LOGDIR", help="Write event files; wall time is simulated time."),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Log runs to a server, a database (sqlite:///mlflow.db) or a folder; timestamps "
            "are simulated milliseconds.",
        ),
    ] = None,
) -> None:
    """Copy finished runs into CSV files, TensorBoard or MLflow.

    Example: [bold]wirelessfl export runs/quickstart-compare --tensorboard logs[/bold]
    """
    if csv is None and tensorboard is None and mlflow is None:
        raise InputError("export: say where to: --csv FOLDER, --tensorboard LOGDIR or --mlflow URI")
    from wirelessfl.trace import Trace
    from wirelessfl.trace.export import runs_below, write_csv, write_mlflow, write_tensorboard

    runs = runs_below(folder)
    try:
        for name, where in runs.items():
            trace = Trace.read(where)
            if csv is not None:
                write_csv(trace, csv / name)
            if tensorboard is not None:
                write_tensorboard(trace, tensorboard / name)
            if mlflow is not None:
                write_mlflow(trace, mlflow, name)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}") from None
    targets = ", ".join(str(to) for to in (csv, tensorboard, mlflow) if to is not None)
    typer.echo(f"{'1 run' if len(runs) == 1 else f'{len(runs)} runs'} exported to {targets}")
