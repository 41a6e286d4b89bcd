"""The command line answers at once: what it looks at imports nothing that it does not need.

Asserted on the modules, since a time would depend on the machine.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.examples import FOLDER
from wirelessfl.cli import app

HEAVY = {"torch", "transformers", "pandas", "numba", "scipy", "matplotlib", "optuna", "sklearn"}
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--help"], HEAVY | {"numpy", "ruamel"}),
        (["run", "--help"], HEAVY | {"numpy", "ruamel"}),
        (["list", "fading"], HEAVY | {"numpy"}),
        (["validate", str(FOLDER / "quickstart.yaml")], HEAVY | {"networkx"}),
        (["validate", str(FOLDER / "hex-city.yaml")], HEAVY | {"networkx"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_looking_imports_little(arguments: list[str], forbidden: set[str]):
    code = (
        "import sys\nfrom wirelessfl.cli import app\n"
        f"try: app({arguments!r})\nexcept SystemExit as end: assert not end.code\n"
        f"print(sorted({{m.partition('.')[0] for m in sys.modules}} & {forbidden!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example(command: str):
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    assert f"Example: wirelessfl {command}" in " ".join(done.output.split())
