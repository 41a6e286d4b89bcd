"""Code of the user's own: nothing of it runs unless it is allowed, and then it is what runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.examples import FOLDER
from wirelessfl.device.availability import build_availability
from wirelessfl.errors import InputError
from wirelessfl.network.fading import fading_model
from wirelessfl.network.path_loss import simple_loss_db
from wirelessfl.scenario import Scenario, dump, fingerprint, load, loads
from wirelessfl.simulation import simulate
from wirelessfl.simulation.world import check
from wirelessfl.strategy import build_strategy
from wirelessfl.study import compare, read_study, sweep
from wirelessfl.trace import Trace

WORLD, DATA = FOLDER / "own-code" / "own-world.yaml", FOLDER / "own-code" / "own-data.yaml"
IMPORTED = "open('imported.txt', 'w').close()\n"
STRATEGY = """
import numpy as np
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.observation import Plan

class First(Strategy):
    def __init__(self, config, count=2):
        self.bandwidth, self.count = config.bandwidth, count

    def plan(self, observation):
        q = (np.arange(observation.clients) < self.count) * observation.included * 1.0
        return Plan(q, np.where(q > 0, observation.rank, 0), 1.0, float("nan"))

class Lacking(Strategy):
    pass

class Raising(First):
    def __init__(self):
        raise OSError("no licence")
"""


def wirelessfl(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "wirelessfl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


def written(folder: Path, module: str, code: str, section: str) -> Path:
    """A timing-only scenario with code of its own beside it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    path = folder / "a.yaml"
    text = "name: a\nstop: {rounds: 2}\ndevices: {count: 4}\nlearning: {task: {kind: none}}\n"
    path.write_text(text + section + "\n", encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _own_modules_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("command", ["validate", "run", "compare", "plan", "draw"])
@pytest.mark.slow
def test_nothing_is_imported_unless_it_is_allowed(tmp_path: Path, command: str):
    section = "strategy: {kind: custom, target: 'own_refused:First'}"
    path = written(tmp_path, "own_refused", IMPORTED + STRATEGY, section)
    done = wirelessfl(command, path.name, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a.yaml:5:18: strategy: kind: custom runs code of")
    assert "--allow-custom" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.yaml", "own_refused.py"]


@pytest.mark.slow
def test_the_option_allows_it(tmp_path: Path):
    section = "strategy: {kind: custom, target: 'own_allowed:First', parameters: {count: 3}}"
    path = written(tmp_path, "own_allowed", IMPORTED + STRATEGY, section)
    done = wirelessfl("run", path.name, "--allow-custom", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "imported.txt").exists()
    clients = Trace.read(tmp_path / "out").clients
    assert sorted(set(clients["client"])) == [0, 1, 2]
    resolved = tmp_path / "out" / "scenario.yaml"  # which knows where the code is
    assert wirelessfl("validate", resolved, cwd=tmp_path).returncode == 2
    again = wirelessfl("validate", resolved, "--allow-custom", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_no_option_of_the_command_line_brings_code_in_either(small_file: Path):
    done = wirelessfl(
        *("validate", small_file, "--set", "strategy={kind: custom, target: 'this:One'}"),
        cwd=small_file.parent,
    )
    assert done.returncode == 2
    assert "--set strategy: kind: custom runs code of 'this:One'" in done.stderr
    assert "Zen" not in done.stdout + done.stderr


def test_the_example_builds_what_its_code_says():
    scenario = load(WORLD, allow_custom=True)
    network = scenario.network
    loss_db = simple_loss_db(network.path_loss, np.array([1000.0]), 900e6)
    # 69.55 + 26.16 lg 900 - 13.82 lg 30 - a(1.5 m), at 1 km
    assert loss_db == pytest.approx([69.55 + 77.2830 - 20.4138 - 0.0159], abs=1e-3)
    fading = fading_model(network.fading, 900e6, 50, 0)
    gain = fading.gain("uplink", np.arange(50), np.arange(400))
    assert fading.slot_s == 0.05
    assert gain.mean() == pytest.approx(1.0, abs=0.02)
    assert (gain**1.5).mean() == pytest.approx(1.1659, abs=0.03)  # E u^1.5 = 1 / Gamma(5/3)^1.5
    week = build_availability(scenario.devices.availability, 12, 0)
    one = np.zeros(1, np.int64)
    assert week.is_on(one, 5 * 86_400.0 - 1).tolist() == [True]
    assert week.next_change_s(one, 0.0).tolist() == [5 * 86_400.0]
    assert week.on_time_s(one, 0.0, 14 * 86_400.0).tolist() == [10 * 86_400.0]
    assert type(build_strategy(scenario.strategy, 12)).__name__ == "FastLinks"


def test_the_examples_survive_a_round_trip():
    for path in (WORLD, DATA):
        scenario = load(path, allow_custom=True)
        check(scenario)
        assert loads(dump(scenario), "elsewhere/b.yaml", allow_custom=True) == scenario


@pytest.mark.slow
def test_data_of_ones_own_are_learnt():
    lighter = ("learning.model={kind: tiny-lm, hidden: 16, layers: 1, heads: 2, vocabulary: 300,"
               " pretrain_steps: 2}", "stop.rounds=2")  # fmt: skip
    trace = simulate(load(DATA, lighter, allow_custom=True))
    assert trace.summary["task"]["kind"] == "custom"
    assert trace.summary["task"]["train"] == 320
    assert trace.rounds["perplexity"].notna().all()
    wanted = (*lighter, "stop.target={metric: accuracy, above: 0.5}")
    with pytest.raises(InputError, match=r"'accuracy' is not measured.*loss, perplexity"):
        simulate(load(DATA, wanted, allow_custom=True))


@pytest.mark.slow
def test_worker_processes_of_a_comparison_have_the_code_too(tmp_path: Path, small_file: Path):
    (tmp_path / "own_compared.py").write_text(STRATEGY, encoding="utf-8")
    text = small_file.read_text(encoding="utf-8")
    small_file.write_text(
        f"{text}strategies:\n  mine: {{kind: custom, target: 'own_compared:First'}}\n"
        "stop.target: 0".partition("stop.target")[0],
        encoding="utf-8",
    )
    scenario = load(small_file, ["stop.target={metric: loss, below: 3}"], allow_custom=True)
    study = compare(scenario, ["mine", "uniform"], seeds=(0,), jobs=2)
    assert not study.failures
    assert set(study.traces["mine"][0].clients["client"]) == {0, 1}


@pytest.mark.slow
def test_a_sweep_of_it_reads_back_and_is_reported(tmp_path: Path):
    options = ("--vary", "devices.count=6,7", "--seeds", "0", "--jobs", 1, "--out", "s")
    refused = wirelessfl("sweep", WORLD, *options, cwd=tmp_path)
    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    done = wirelessfl("sweep", WORLD, *options, "--allow-custom", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_study(tmp_path / "s").runs["status"].tolist() == ["finished", "finished"]
    reported = wirelessfl("report", "s", cwd=tmp_path)
    assert reported.returncode == 0, reported.stderr


def test_a_swept_value_brings_no_code_in_unless_it_is_allowed(tmp_path: Path):
    scenario = load(WORLD, ["network.fading={kind: none}"], allow_custom=True)
    weibull = {"kind": "custom", "target": "own_code:Weibull", "folder": str(WORLD.parent)}
    fields = {"network.fading": [{"kind": "none"}, weibull]}
    with pytest.raises(InputError, match="must be allowed"):
        sweep(scenario, fields, jobs=1)
    assert not sweep(scenario, fields, jobs=1, allow_custom=True).failures


@pytest.mark.slow
def test_a_strategy_of_ones_own_is_tuned(tmp_path: Path, small_file: Path):
    (tmp_path / "own_tuned.py").write_text(STRATEGY, encoding="utf-8")
    own = "strategy={kind: custom, target: 'own_tuned:First', server: {step: 1}}"
    target = "stop.target={metric: loss, below: 3}"
    options = ("--strategy", "custom", "--trials", 2, "--seeds", "100", "--jobs", 1)
    command = ("tune", small_file, "--set", own, "--set", target, *options)
    ranged = ("--over", "server.step=0.5..2", "--allow-custom")
    done = wirelessfl(*command, *ranged, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best: --set strategy.kind=custom --set strategy.server.step=" in done.stdout


def test_the_code_is_part_of_the_fingerprint_and_may_not_change_afterwards(tmp_path: Path):
    section = "strategy: {kind: custom, target: 'own_%s:First'}"
    prints = []
    for name, code in (("one", STRATEGY), ("two", STRATEGY + "# other\n")):
        path = written(tmp_path / name, f"own_{name}", code, section % name)
        prints.append(load(path, allow_custom=True))
    first, second = prints
    assert first.strategy.sha256 != second.strategy.sha256
    assert fingerprint(first) != fingerprint(second)
    (tmp_path / "one" / "own_one.py").write_text(STRATEGY + "# edited\n", encoding="utf-8")
    with pytest.raises(InputError, match="has changed since this process imported it"):
        build_strategy(first.strategy, 4)
    noted = f"sha256: {'f' * 64}"
    text = f"name: a\nstrategy: {{kind: custom, target: 'own_two:First', {noted}}}"
    with pytest.raises(InputError, match="has changed since the scenario noted its SHA-256"):
        loads(text, str(tmp_path / "two" / "a.yaml"), allow_custom=True)


def test_a_file_beside_the_scenario_hides_no_package(tmp_path: Path):
    path = written(tmp_path, "own_json", STRATEGY, "strategy: {kind: custom, target: 'json:First'}")
    (tmp_path / "json.py").write_text(STRATEGY, encoding="utf-8")
    with pytest.raises(InputError, match=r"json/__init__\.py has no class 'First'"):
        load(path, allow_custom=True)


BAD = {
    "no module": ("target: 'own_absent:First'", "strategy.target: there is no module 'own_absent'"),
    "no class": ("target: 'own_bad:Frist'", "has no class 'Frist' (classes: First, Lacking"),
    "not a class": ("target: 'own_bad:np'", "has no class 'np'"),
    "other base": (
        "target: 'collections:Counter'",
        "must extend wirelessfl.strategy.base.Strategy",
    ),
    "lacks a method": ("target: 'own_bad:Lacking'", "own_bad:Lacking does not define plan"),
    "raises": ("target: 'own_bad:Raising'", "cannot be built: OSError: no licence ("),
    "parameter": (
        "target: 'own_bad:First', parameters: {conut: 1}",
        "got an unexpected keyword argument 'conut' (takes: count)",
    ),
    "taken": ("target: 'own_bad:First', parameters: {clients: 1}", "given by the simulation"),
    "not a target": ("target: 'own_bad.First'", "strategy.target: 'own_bad.First' must match"),
    "no target": ("parameters: {}", "strategy.target: is missing"),
    "wild": (
        "target: 'own_bad:First', parameters: {count: .nan}",
        "strategy.parameters: holds a number",
    ),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_a_target_that_cannot_be_used_is_one_clear_error(
    options: str, message: str, tmp_path: Path
):
    section = f"strategy: {{kind: custom, {options}}}"
    path = written(tmp_path, "own_bad", STRATEGY, section)
    sys.modules.pop("own_bad", None)
    sys.path[:0] = [str(tmp_path)]
    with pytest.raises(InputError) as caught:
        check(load(path, allow_custom=True))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_module_that_fails_to_import_names_its_line(tmp_path: Path):
    code = "import math\n\nmath.sqrt(-1)\n"
    path = written(
        tmp_path, "own_failing", code, "strategy: {kind: custom, target: 'own_failing:A'}"
    )
    done = wirelessfl("validate", path.name, "--allow-custom", cwd=tmp_path)
    assert done.returncode == 2
    assert "ValueError: " in done.stderr
    assert "own_failing.py:3)" in done.stderr
    assert "Traceback" not in done.stderr


def test_air_that_answers_nonsense_is_refused(tmp_path: Path):
    code = """
from wirelessfl.network.fading import FadingModel
from wirelessfl.network.path_loss import PathLossModel

class Flat(PathLossModel):
    def loss_db(self, ground_m, carrier_hz):
        return 100.0

class Slotless(FadingModel):
    def gain(self, direction, clients, slots):
        return 1.0

class Scalar(Slotless):
    slot_s = 1.0
"""
    for part, name, why in (
        ("path_loss", "Flat", "a finite number for each"),
        ("fading", "Slotless", "slot_s is None"),
        ("fading", "Scalar", "for each [clients, slots]"),
    ):
        kind = f"{part}: {{kind: custom, target: 'own_air:{name}'}}"
        section = f"network: {{{kind}, shadowing: {{kind: none}}}}\nstrategy: {{kind: full}}"
        path = written(tmp_path, "own_air", code, section)
        with pytest.raises(InputError) as caught:
            check(load(path, allow_custom=True))
        assert f"network.{part}: own_air:{name}: " in str(caught.value)
        assert why in str(caught.value)


def test_what_nobody_can_vouch_for_is_refused(tmp_path: Path):
    private = "learning.privacy={epsilon: 4, delta: 1e-6}"
    path = written(
        tmp_path, "own_vouch", STRATEGY, "strategy: {kind: custom, target: 'own_vouch:First'}"
    )
    with pytest.raises(InputError, match="does not draw clients independently"):
        load(path, [private], allow_custom=True)
    with pytest.raises(InputError, match="custom has no known law"):
        load(WORLD, ["network.fidelity=ergodic"], allow_custom=True)
    with pytest.raises(InputError, match="name it under strategies"):
        Scenario(name="a").with_strategy("custom")
