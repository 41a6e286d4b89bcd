"""Killed, stopped and resumed through the command line, in processes of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli import wirelessfl
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate
from wirelessfl.study import compare
from wirelessfl.trace import Trace

# The command line in a process that dies, or is stopped, at a chosen moment.
DRIVER = """
import json, os, signal, sys
from pathlib import Path
import wirelessfl.cli

what, when, name = json.loads(os.environ["MOMENT"])
count = 0

def now():
    global count
    count += 1
    if count == when:
        for number in name:
            os.kill(os.getpid(), getattr(signal, number))

def before(owner, name, also=lambda *a: None):
    original = getattr(owner, name)
    def call(self, *arguments, **options):
        also(self, *arguments)
        now()
        return original(self, *arguments, **options)
    setattr(owner, name, call)

def state(path):
    return path.name.startswith(".round-")

if __name__ == "__main__":
    if what == "training":
        from wirelessfl.simulation.training import RealTraining
        for name_ in ("begin", "finish", "evaluate"):
            before(RealTraining, name_)
    if what == "within a write":
        write = Path.write_bytes
        def half(path, data):
            if state(path):
                write(path, data[: len(data) // 2])
                now()
            return write(path, data)
        Path.write_bytes = half
    if what in ("before a rename", "after a rename"):
        rename = Path.replace
        def renamed(path, target):
            if state(path) and what.startswith("before"):
                now()
            done = rename(path, target)
            if state(path) and what.startswith("after"):
                now()
            return done
        Path.replace = renamed
    if what == "the trace":
        before(Path, "replace", lambda path, *_: None)
    if what == "progress":  # of members that run in processes of their own
        from wirelessfl.console import LineProgress
        before(LineProgress, "update")
    wirelessfl.cli.main()
"""

SETTINGS = ("--set", "stop.rounds=8", "--set", "trace.checkpoint_every=1")


def driven(
    folder: Path, moment: tuple[str, int, list[str]], *arguments: object
) -> subprocess.CompletedProcess:
    (folder / "driver.py").write_text(DRIVER, encoding="utf-8")
    own = {"COLUMNS": "160", "MOMENT": json.dumps(moment), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "driver.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | own | {"PYTHONPATH": path},
        check=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a trace's folder but the pictures, without what is said of the host."""
    paths = [path for path in folder.rglob("*") if path.suffix not in ("", ".png", ".svg")]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    summary = json.loads(found.pop("summary.json"))
    summary.pop("host")
    return found | {"summary.json": json.dumps(summary).encode()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("strategy", ["uniform", "fedbuff"])
def test_a_run_killed_at_any_moment_goes_on_to_the_same_bytes(
    small_file: Path, tmp_path: Path, strategy: str
):
    concurrency = "buffer: 2, participation: {concurrency: 3}, adapter: {method: fedsa}"
    options = "participation: {expected: 3}" if strategy == "uniform" else concurrency
    chosen = ("--set", f"strategy={{kind: {strategy}, {options}}}")
    scenario = load(small_file, [text for text in (*SETTINGS, *chosen) if text != "--set"])
    simulate(scenario).write(tmp_path / "whole")
    draws, command = random.Random(strategy), ("run", small_file, "--out", "a", *SETTINGS, *chosen)
    moments = [
        ("training", draws.randint(8, 14)),
        ("within a write", draws.randint(1, 2)),
        ("before a rename", draws.randint(1, 2)),
        ("training", draws.randint(1, 4)),
        ("after a rename", 1),
        ("the trace", draws.randint(3, 8)),
    ]
    for what, when in moments[:: 1 if strategy == "uniform" else 3]:
        killed = driven(tmp_path, (what, when, ["SIGKILL"]), *command, "--resume")
        assert killed.returncode == -signal.SIGKILL, (what, when, killed.stderr)
        assert not (tmp_path / "a" / "summary.json").exists()
        assert list((tmp_path / "a" / "checkpoint").glob("round-*"))
    done = wirelessfl(*command, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a: going on after round" in done.stderr
    assert not (tmp_path / "a" / "checkpoint").exists()
    assert files(tmp_path / "a") == files(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_says_how_to_resume_and_nothing_is_overwritten_by_mistake(
    small_file: Path, tmp_path: Path
):
    command = ("run", small_file, "--out", "a", *SETTINGS)
    stopped = driven(tmp_path, ("training", 8, ["SIGINT"]), *command)
    assert stopped.returncode == 130
    assert "stopping after this round; once more stops at once" in stopped.stderr
    assert "interrupted: the state after round 3 is saved in a/checkpoint" in stopped.stderr
    assert "--resume goes on" in stopped.stderr
    assert "Traceback" not in stopped.stderr

    refused = wirelessfl(*command, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: a holds this run up to round 3: --resume goes on, --overwrite starts again\n"
    )
    other = wirelessfl(*command, "--resume", "--seed", 4, cwd=tmp_path)
    assert other.returncode == 2
    assert "another scenario" in other.stderr
    assert "- seed: 0\n+ seed: 4\n" in other.stderr

    (state,) = (tmp_path / "a" / "checkpoint").iterdir()
    damaged = tmp_path / "a" / "checkpoint" / f"round-000009-{'0' * 64}.safetensors"
    damaged.write_bytes(state.read_bytes()[:-1])
    done = wirelessfl(*command, "--resume", cwd=tmp_path)
    assert (done.returncode, "a: going on after round 3" in done.stderr) == (0, True), done.stderr
    assert f"warning: a/checkpoint/{damaged.name} is damaged" in done.stderr
    assert Trace.read(tmp_path / "a").summary["host"]["resumed_after_round"] == 3
    before = files(tmp_path / "a")
    again = wirelessfl(*command, "--resume", cwd=tmp_path)
    assert (again.returncode, "already holds this run" in again.stderr) == (0, True)
    assert files(tmp_path / "a") == before


@pytest.mark.slow
def test_an_interrupted_replacement_goes_on(small_file: Path, tmp_path: Path):
    """The run that was to be replaced is whole until the new one is."""
    command = ("run", small_file, "--out", "a", *SETTINGS)
    assert wirelessfl(*command, cwd=tmp_path).returncode == 0
    seed = ("--seed", 4)
    stopped = driven(tmp_path, ("training", 8, ["SIGTERM"]), *command, *seed, "--overwrite")
    assert stopped.returncode == 130
    assert Trace.read(tmp_path / "a").summary["seed"] == 0
    done = wirelessfl(*command, *seed, "--resume", cwd=tmp_path)
    assert (done.returncode, "going on after round 3" in done.stderr) == (0, True), done.stderr
    assert Trace.read(tmp_path / "a").summary["seed"] == 4


def test_resume_and_overwrite_exclude_one_another(small_file: Path, tmp_path: Path):
    done = wirelessfl("run", small_file, "--resume", "--overwrite", cwd=tmp_path)
    assert done.returncode == 2
    assert "choose one" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_comparison_goes_on_where_it_was(small_file: Path, tmp_path: Path, jobs: int):
    target = "stop={rounds: 8, target: {metric: loss, below: 0.01}}"
    settings = ("--set", target, "--set", "trace.checkpoint_every=1")
    names = ("uniform", "full")
    command = ("compare", small_file, "--out", "c", "--jobs", jobs, *settings)
    command = (*command, "--strategies", ",".join(names), "--seeds", "0")
    stopped = driven(tmp_path, ("progress", 3, ["SIGINT"]), *command)
    assert stopped.returncode == 130
    assert "the same command goes on" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    states = list((tmp_path / "c").rglob("round-*"))
    assert 1 <= len(states) <= jobs
    done = wirelessfl(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scenario = load(small_file, (target, "trace.checkpoint_every=1"))
    compare(scenario, names, [0], tmp_path / "whole", jobs=1)
    for name in names:
        mine, whole = (tmp_path / folder / name / "seed-0" for folder in ("c", "whole"))
        assert files(mine) == files(whole)
    table = [(tmp_path / folder / "table.csv").read_bytes() for folder in ("c", "whole")]
    assert table[0] == table[1]
    resumed = [Trace.read(tmp_path / "c" / n / "seed-0").summary["host"] for n in names]
    assert any(host["resumed_after_round"] for host in resumed)
