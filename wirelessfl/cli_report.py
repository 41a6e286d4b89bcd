"""The command that tells what came of finished runs; `wirelessfl.cli` registers it."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder that run, compare or sweep wrote.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; replaced if there.  [default: DIR/report.html]"),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one HTML file that tells what came of a run, a comparison or a sweep.

    It needs no network: tables, interactive charts, pictures, and the commands.

    Example: [bold]wirelessfl report runs/quickstart-compare --open[/bold]
    """
    from wirelessfl.study.report import report_folder

    path = report_folder(folder, out)
    typer.echo(f"report: {path}")
    if open_ and not webbrowser.open(path.resolve().as_uri()):
        typer.echo("no browser could be opened", err=True)
