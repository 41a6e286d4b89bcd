"""What docs/security.md promises about the scenario, or the results, of a stranger."""

from __future__ import annotations

import ast
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import wirelessfl
from wirelessfl.cli import app
from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.scenario.located import read_yaml
from wirelessfl.scenario.yaml_text import yaml_text
from wirelessfl.study.report import report_folder

PACKAGE = Path(wirelessfl.__file__).parent
MODULES = {  # by what they would let in
    **dict.fromkeys(("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"), "pickle"),
    **dict.fromkeys(("subprocess", "pty", "runpy", "code"), "programs"),
    **dict.fromkeys(("socket", "urllib", "http", "ftplib", "requests", "httpx"), "network"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__", "import_module", "importlib.import_module"),
    *("os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load", "pd.read_pickle"),
    *("pickle.load", "pickle.loads"),
}
ONLY = {"shell": False, "trust_remote_code": False, "allow_pickle": False, "autoescape": True}
ALLOWED = {
    ("study/processes.py", "pickle"): "sees whether an exception reaches the parent process",
    ("study/processes.py", "pickle.loads"): "reads what the line itself has just written",
    ("scenario/custom.py", "importlib.import_module"): "kind: custom, behind --allow-custom",
    ("__init__.py", "import_module"): "the package's own modules, by a fixed list",
    ("simulation/__init__.py", "import_module"): "the same",
}
SMALL = "name: a\nstop: {rounds: 2}\ndevices: {count: 4}\nlearning: {task: {kind: none}}\n"
SMALL += "strategy: {kind: full}\n"


def risks(tree: ast.AST) -> Iterator[str]:
    """What a module imports, calls or permits that could run code or reach the network."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for name in [module] if module else [alias.name for alias in node.names]:
                if (root := str(name).partition(".")[0]) in MODULES:
                    yield root
        elif isinstance(node, ast.Call):
            if (called := ast.unparse(node.func)) in CALLS:
                yield called
            if called == "YAML" and "typ='safe'" not in ast.unparse(node):
                yield "unsafe YAML"
            for keyword in node.keywords:
                yield from _permitted(keyword.arg, keyword.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield from _permitted(getattr(key, "value", None), value)


def _permitted(name: object, value: ast.expr) -> Iterator[str]:
    if name in ONLY and not (isinstance(value, ast.Constant) and value.value is ONLY[name]):
        yield str(name)


@pytest.mark.parametrize(
    ("code", "risk"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from urllib.request import urlopen", "urllib"),
        ("eval(text)", "eval"),
        ("model = torch.load(path)", "torch.load"),
        ("YAML(typ='unsafe')", "unsafe YAML"),
        ("YAML()", "unsafe YAML"),
        ("run(command, shell=True)", "shell"),
        ("options = {'trust_remote_code': config.trust}", "trust_remote_code"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
    ],
)
def test_what_the_next_test_looks_for_is_found(code: str, risk: str):
    assert list(risks(ast.parse(code))) == [risk]


def test_the_package_runs_no_code_it_was_not_told_to_and_knows_no_network():
    found = {
        (path.relative_to(PACKAGE).as_posix(), risk)
        for path in PACKAGE.rglob("*.py")
        for risk in risks(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(ALLOWED)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing gets through to a network; the list has what was tried."""
    tried: list[str] = []

    def refuse(*arguments: object, **_: object) -> None:
        tried.append(repr(arguments[1:]))
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


def test_checking_running_and_reporting_ask_for_no_network_and_write_where_they_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]
):
    with pytest.raises(AssertionError, match="the network was asked for"):
        socket.create_connection(("localhost", 9))
    assert len(offline) == 1
    here = tmp_path / "here"
    here.mkdir()
    (here / "a.yaml").write_text(SMALL + "description: ../../b\n", encoding="utf-8")
    monkeypatch.chdir(here)
    for command in (["validate", "a.yaml"], ["run", "a.yaml"], ["report", "runs/a-seed-0"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    assert len(offline) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"here"}
    assert {path.name for path in here.iterdir()} == {"a.yaml", "runs"}
    assert [path.name for path in (here / "runs").iterdir()] == ["a-seed-0"]


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "..", ".", "a/b", "a\\b", "a\0b", "a\n", "~", "<b>", "$HOME", ""]
)
def test_no_name_leads_out_of_the_results_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for fields in ({"name": name}, {"name": "a", "strategies": {name: {"kind": "full"}}}):
        Path("a.yaml").write_text(SMALL.replace("name: a\n", yaml_text(fields)), encoding="utf-8")
        done = CliRunner().invoke(app, ["run", "a.yaml"])
        assert isinstance(done.exception, InputError), done.output
        assert "must match pattern" in str(done.exception)
    Path("a.yaml").write_text(SMALL, encoding="utf-8")
    for command, option in (("compare", "--strategies"), ("tune", "--strategy")):
        done = CliRunner().invoke(app, [command, "a.yaml", option, name])
        assert isinstance(done.exception, InputError), done.output
        assert "unknown strategy" in str(done.exception) or name == ""
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert [path.name for path in here.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("section", ["path_loss", "fading"])
def test_a_report_on_results_of_a_stranger_runs_no_code_of_theirs(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(SMALL, encoding="utf-8")
    assert CliRunner().invoke(app, ["run", "a.yaml", "--out", "out"]).exit_code == 0
    Path("out", "strange.py").write_text("open('it_ran', 'w').close()\n", encoding="utf-8")
    resolved = Path("out", "scenario.yaml")
    plain = read_yaml(resolved.read_text(encoding="utf-8"), "scenario.yaml").plain()
    plain["network"]["shadowing"] = {"kind": "none"}
    plain["network"][section] = {"kind": "custom", "target": "strange:One", "folder": "out"}
    resolved.write_text(yaml_text(plain), encoding="utf-8")
    page = report_folder("out").read_text(encoding="utf-8")
    assert not Path("it_ran").exists()
    assert f"network.{section} is code of its author" in page


def test_messages_cannot_steer_a_terminal():
    for text, at in (
        ('name: a\n"\\e[2J": 1', ":2:1: \\x1b[2J: unknown key"),
        ('extends: "\\e[2J"', "extends: \\x1b[2J: no such file"),
        ('name: a\ndevices: {mix: {"\\e[2J": 1}}', "mix.\\x1b[2J: is not a known device"),
    ):
        with pytest.raises(InputError) as caught:
            loads(text)
        assert at in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_a_device_has_a_name_that_tables_can_show():
    profile = "{effective_flops: 1 TFLOP/s, memory_bandwidth: 10 GB/s, memory: 8 GB}"
    assert loads(f'name: a\ndevices: {{profiles: {{"Gerät 1": {profile}}}}}').devices.profiles
    with pytest.raises(InputError, match=r"devices\.profiles: has the name 'a\\x1b\[2J'"):
        loads(f'name: a\ndevices: {{profiles: {{"a\\e[2J": {profile}}}}}')
