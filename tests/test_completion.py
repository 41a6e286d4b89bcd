"""The Tab key: what bash gets when it asks, and that asking costs little."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wirelessfl.cli import app
from wirelessfl.completion import fields, scenario_files, topics
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.scenario.loader import loads

HEAVY = {"torch", "transformers", "numpy", "pandas", "numba", "scipy", "matplotlib", "networkx"}
COMMAND = f"""#!{sys.executable}
import atexit, sys
sys.argv[0] = "wirelessfl"
def tell(): print("heavy:", *({HEAVY!r} & set(sys.modules)), file=sys.stderr)
atexit.register(tell)
from wirelessfl.cli import main
main()
"""
SCENARIO = "name: a\nextends: base.yaml\nstrategies: {mine: {kind: uniform}}\n"
BASE = "name: b\nstrategies: {theirs: {kind: full}}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with scenarios in it and the command on the path."""
    for name, text in (("a.yaml", SCENARIO), ("base.yaml", BASE), ("notes.txt", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    for name in ("x.yaml", "y.yml"):
        (tmp_path / "deep" / "deeper" / name).touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "wirelessfl"
    command.write_text(COMMAND, encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(words: str) -> list[str]:
    """What the command answers when bash asks how the last word may go on."""
    environment = {
        "_WIRELESSFL_COMPLETE": "complete_bash",
        "COMP_WORDS": f"wirelessfl {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = CliRunner().invoke(app, [], env=environment, prog_name="wirelessfl")
    assert done.exit_code == 0
    return [line for line in done.output.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vali", ["validate"]),
        ("run a", ["a.yaml"]),
        ("run no", []),
        ("list fad", ["fading"]),
        ("plan a.yaml --strategy th", ["theirs"]),
        ("tune a.yaml --strategy data", ["data_proportional"]),
        ("compare a.yaml --strategies mine,uni", ["mine,uniform"]),
        ("compare no.yaml --strategies mi", []),
        ("sweep a.yaml --strategies uniform,uni", []),
        ("run a.yaml --set see", ["seed=", "seed=0"]),
        (
            "sweep a.yaml --vary network.uplink.band",
            ["network.uplink.bandwidth=", "network.uplink.bandwidth=5 MHz"],
        ),
    ],
)
def test_bash_is_told_how_the_word_goes_on(words: str, offered: list[str], here: Path):
    assert asked(words) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_what_is_installed_works_in_bash_and_imports_nothing_heavy(here: Path):
    own = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    subprocess.run(
        ["wirelessfl", "--install-completion", "bash"], env=own, check=True, capture_output=True
    )
    lines = [
        "source ~/.bashrc",
        "COMP_WORDS=(wirelessfl compare a.yaml --strategies full,th) COMP_CWORD=4",
        "$(complete -p wirelessfl | sed 's/.*-F \\([^ ]*\\).*/\\1/') wirelessfl",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    script = "\n".join(lines)
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["full,theirs"]
    assert done.stderr == "heavy:\n"


def test_files_are_scenarios_and_a_lone_folder_is_entered(here: Path):
    assert [path for path, _ in scenario_files("")] == ["a.yaml", "base.yaml", "bin/", "deep/"]
    assert [path for path, _ in scenario_files("de")] == ["deep/deeper/x.yaml", "deep/deeper/y.yml"]
    assert [path for path, _ in scenario_files(".h")] == []
    assert scenario_files("no/such") == scenario_files("a.yaml/") == []
    assert [path for path, _ in scenario_files(f"{here}/ba")] == [f"{here}/base.yaml"]


def test_topics_are_those_of_list():
    assert dict(topics()).keys() == {kind.topic for kind in list_kinds()}


def test_paths_of_fields_can_be_set():
    offers = [offer for offer, _ in fields("network.path_loss.")]
    assert {"network.path_loss.kind=", "network.path_loss.environment="} <= set(offers)
    assert "network.path_loss=" not in offers  # a kind, and then its fields
    for path in ("network.path_loss.kind", "network.carrier", "server.overhead", "trace.events"):
        path_alone, *values = [offer for offer, _ in fields(path)]
        assert path_alone == f"{path}="
        assert values
        for value in values:
            if not value.endswith("=custom"):
                shadowing = "network.shadowing={kind: none}"
                loads("name: a", overrides=[value, shadowing])
    assert [offer for offer, _ in fields("trace.events=f")] == [
        "trace.events=",
        "trace.events=true",
        "trace.events=false",
    ]  # the shell takes those that fit
