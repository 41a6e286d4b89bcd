"""The examples of docs/extending.md work, and are as short as the page promises."""

from __future__ import annotations

import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests import test_cli
from tests.examples import FOLDER
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
WORLD = FOLDER / "own-code" / "own-world.yaml"


# Nothing is written beside own_code.py.
wirelessfl = partial(test_cli.wirelessfl, PYTHONDONTWRITEBYTECODE="1")


def blocks(language: str, text: str = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


*OWN, METHOD = blocks("python")
*SECTIONS, DEVICE = blocks("yaml")


def part_of(section: object, whole: object) -> bool:
    """Whether all that a part of a scenario says stands in the whole."""
    if not isinstance(section, dict) or not isinstance(whole, dict):
        return section == whole
    return all(name in whole and part_of(value, whole[name]) for name, value in section.items())


def test_the_page_shows_the_code_that_runs():
    code = (FOLDER / "own-code" / "own_code.py").read_text(encoding="utf-8")
    _, _, after_docstring = code.partition('"""\n\n')
    assert after_docstring == "\n\n".join(OWN)


def test_the_page_shows_scenarios_that_run():
    scenarios = [
        yaml.safe_load((FOLDER / "own-code" / f"{name}.yaml").read_text(encoding="utf-8"))
        for name in ("own-world", "own-data")
    ]
    assert len(SECTIONS) == len(OWN) - 1  # the first are imports
    for section in map(yaml.safe_load, SECTIONS):
        assert any(part_of(section, scenario) for scenario in scenarios), section


def test_each_is_under_forty_lines():
    method = [METHOD, *(re.sub("(?m)^ .*\n", "", hunk) for hunk in blocks("diff"))]
    for code in (*map("".join, zip(OWN[1:], SECTIONS, strict=True)), "".join(method), DEVICE):
        assert len(code.splitlines()) < 40


@pytest.mark.slow
def test_the_world_is_seen_as_the_page_says(tmp_path: Path):
    command, *_ = re.findall(r"^wirelessfl (.*)$", PAGE, flags=re.MULTILINE)
    done = wirelessfl(*shlex.split(command), "--out", tmp_path / "out", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] in PAGE.splitlines()
    refused = wirelessfl(*shlex.split(command.replace("--allow-custom", "")), cwd=ROOT)
    assert (refused.returncode, refused.stdout) == (2, "")


def test_what_each_class_changes_is_what_the_page_says():
    rows = re.findall(r"^\|(?: `(\w+)`)? \|(?: `(.*)`)? \| ([\d.]+) s \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == ["", "FastLinks", "Hata", "Weibull", "WorkingDays"]
    for name, override, said_s in rows:
        scenario = load(WORLD, [override] if override else [], allow_custom=True)
        assert (name in str(scenario)) == (name == "")
        assert f"{simulate(scenario).summary['totals']['time_s']:.2f}" == said_s


def test_the_device_is_one():
    from wirelessfl.scenario import loads

    others = "name: own\nstop: {rounds: 2}\nlearning: {task: {kind: none}}\n"
    scenario = loads(
        f"{others}strategy: {{kind: full}}\n{DEVICE}", "own.yaml", ["devices.jitter={kind: none}"]
    )
    clients = simulate(scenario).clients
    own = clients[clients["profile"] == "lab-pi"]
    assert len(own) == 2 * 6
    assert (own["compute_s"] >= 0.5).all()
    np.testing.assert_allclose(own["compute_j"], 7.0 * own["compute_s"])


def test_the_method_is_one():
    from wirelessfl.learning.layout import Layout, LoraModule

    names: dict = {"__name__": "example"}
    exec(compile(METHOD, "extending.md", "exec", dont_inherit=True), names)
    layout = Layout(2, (LoraModule("layer", 3, 2, 1.0, 0),), (), 10)
    method = names["Median"](layout, 0)
    model = np.arange(10, dtype=np.float32)
    assert method.start(model, GradientJob(0, 0, 1, 1)).compact.tolist() == [0, 1, 2, 3, 4]
    updates = [np.full(10, value, np.float32) for value in (1.0, 2.0, 9.0)]
    jobs = [GradientJob(0, client, 1, 1) for client in range(3)]
    change = method.combine(model, jobs, updates, np.array([0.5, 0.25, 0.25]))
    assert change.tolist() == [2.0] * 10
    assert not method.combine(model, [], [], np.zeros(0)).any()


@pytest.mark.slow
def test_the_method_is_a_matter_of_the_lines_on_the_page(tmp_path: Path, small_file: Path):
    package = tmp_path / "wirelessfl"
    shutil.copytree(ROOT / "wirelessfl", package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "wirelessfl/learning/methods/median.py").write_text(METHOD, encoding="utf-8")
    adapter = tmp_path / "wirelessfl/scenario/adapter.py"
    build = tmp_path / "wirelessfl/learning/methods/build.py"
    for file, hunk in zip((adapter, build, build), blocks("diff"), strict=True):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1
        file.write_text(text.replace(before, after), encoding="utf-8")
    (options,) = re.findall(r"^wirelessfl run \S+ (.*median)$", PAGE, flags=re.MULTILINE)
    run = ("run", small_file, *options.split(), "--out", tmp_path / "out")
    done = wirelessfl(*run, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    unknown = wirelessfl(*run, cwd=ROOT)
    assert "median" in unknown.stderr
