"""Commands about the machine they run on; `wirelessfl.cli` registers them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wirelessfl.cli_options import AsJson, Overwrite
from wirelessfl.errors import InputError

SIGNS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}


def doctor(as_json: AsJson = False) -> None:
    """Say whether this machine is ready to simulate, and what to do where it is not.

    Exits with 1 if something that is needed does not work.

    Example: [bold]wirelessfl doctor[/bold]
    """
    from wirelessfl.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            typer.echo(f"{SIGNS[finding.status]} {finding.name}: {finding.found}")
            if finding.advice:
                typer.echo(f"        -> {finding.advice}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)


def calibrate(
    name: Annotated[str, typer.Option(help="Name of the profile.")] = "this-machine",
    out: Annotated[
        Path | None, typer.Option(help="File to write the profile to.", show_default=False)
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Measurements of each.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print every measurement.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure this machine and print a profile to paste under devices.profiles.

    Example: [bold]wirelessfl calibrate --name lab-pc --out lab-pc.yaml[/bold]
    """
    if out is not None and out.exists() and not overwrite:
        raise InputError(f"--out: {out} is already there (--overwrite replaces it)")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out: there is no folder {out.parent}")
    from wirelessfl.learning.calibration import calibrate as measure

    measured = measure(repeats)
    text = measured.to_yaml(name)
    if out is not None:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--out: {out} cannot be written: {error.strerror}") from None
    if as_json:
        values = {"profile": measured.profile.model_dump(), **asdict(measured)}
        typer.echo(json.dumps(values, indent=2))
        return
    typer.echo(text, nl=False)
    for what, quantity in (("training", measured.flops), ("memory", measured.memory_bandwidth)):
        typer.echo(f"# {what}: {repeats} measurements within {quantity.spread:.0%} of their median")
