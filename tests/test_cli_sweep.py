"""`wirelessfl sweep` and `compare` end to end: tables, JSON, logs, Ctrl-C, full disks."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.study.conftest import TIMING
from tests.test_cli import answered, wirelessfl
from wirelessfl.study import read_study

BANDWIDTHS = ("--vary", "network.uplink.bandwidth=500 kHz, 5 MHz")


@pytest.fixture
def timing_file(tmp_path: Path) -> Path:
    path = tmp_path / "timing.yaml"
    path.write_text(TIMING, encoding="utf-8")
    return path


@pytest.mark.slow
def test_sweep_prints_a_table_and_leaves_tables_and_a_picture(timing_file: Path, tmp_path: Path):
    options = (*BANDWIDTHS, "--strategies", "uniform,everyone", "--seeds", "0-1", "--out", "s")
    done = wirelessfl("sweep", timing_file, *options, "--jobs", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("500 kHz", "5 MHz", "everyone"):
        assert word in done.stdout
    for name in ("table.csv", "members.csv", "report.html", "sweep.png"):
        assert f"s/{name}" in done.stdout
        assert (tmp_path / "s" / name).exists()
    lines = done.stderr.splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("[8/8] bandwidth=")
    assert not set(done.stderr) & set("\r\x1b")  # nothing that moves a cursor
    members = pd.read_csv(tmp_path / "s" / "members.csv")
    assert len(members) == 8
    assert members["strategy"].nunique() == 2
    study = read_study(tmp_path / "s")
    assert study.command is not None
    assert study.command.startswith("wirelessfl sweep ")

    alone = wirelessfl("sweep", timing_file, *options[:-1], "t", "--jobs", 1, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    for name in ("members.csv", "table.csv", "members.parquet", "sweep.svg"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "t" / name).read_bytes()

    again = wirelessfl("sweep", timing_file, *options, "--json", "--quiet", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    document = json.loads(again.stdout)
    assert document["kind"] == "sweep"
    assert [row["round_s"] for row in document["runs"]] == members["round_s"].tolist()
    assert document["table"][0]["time_s"] is None
    silent = wirelessfl("sweep", timing_file, *options, "--quiet", cwd=tmp_path)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


@pytest.mark.slow
def test_run_and_compare_print_json_and_nothing_else(small_file: Path, tmp_path: Path):
    target = ("--set", "stop.target={metric: loss, below: 3, smooth: 2}")
    done = wirelessfl("run", small_file, *target, "--out", "r", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["kind"], run["reached"], run["folder"]) == ("run", True, "r")
    assert run["time_s"] > 0
    assert run["summary"]["strategy"] == "uniform"
    assert "target reached" in done.stderr or done.stderr == ""
    options = ("--strategies", "uniform,full", "--seeds", "0", "--jobs", 1, "--json")
    done = wirelessfl("compare", small_file, *target, *options, "--out", "c", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    study = json.loads(done.stdout)
    assert [row["strategy"] for row in study["table"]] == ["uniform", "full"]
    assert study["table"][0]["time_s"] == run["time_s"]
    found = read_study(tmp_path / "c")
    pd.testing.assert_frame_equal(
        found.table(), pd.read_csv(tmp_path / "c" / "table.csv"), check_dtype=False
    )


@pytest.mark.slow
def test_require_target_tells_a_script_that_not_all_arrived(small_file: Path, tmp_path: Path):
    far = ("--set", "stop={rounds: 2, target: {metric: loss, below: 0.001}}", "--require-target")
    options = ("--strategies", "uniform", "--seeds", "0", "--jobs", 1, *far)
    missed = wirelessfl("compare", small_file, *options, "--out", "c", cwd=tmp_path)
    assert missed.returncode == 3, missed.stderr
    missed = wirelessfl("sweep", small_file, *BANDWIDTHS, *options, "--out", "s", cwd=tmp_path)
    assert missed.returncode == 3, missed.stderr
    near = ("--set", "stop.target.below=100")
    met = wirelessfl("compare", small_file, *options, *near, "--out", "d", cwd=tmp_path)
    assert met.returncode == 0, met.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--vary", "devices.cuont=3"), "--vary devices.cuont: unknown key"),
        (("--vary", "devices.count=6,2"), "with count=2:"),
        (("--vary", "devices.count"), "write a field and its values"),
        (("--vary", "devices.count=6", "--strategies", "unifrom"), "unknown strategy"),
        (("--vary", "devices.count=6", "--out", "timing.yaml"), "is a file, not a folder"),
        (("--vary", "devices.count=6", "--out", "/proc/nowhere"), "cannot be written"),
        (("--vary", "devices.count=6", "--out", "timing.yaml/x"), "cannot be written"),
    ],
)
def test_bad_options_of_sweep_exit_with_2_and_leave_nothing(
    timing_file: Path, tmp_path: Path, options: tuple[str, ...], message: str
):
    done = answered("sweep", timing_file, "--out", "out", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["timing.yaml"]


@pytest.mark.parametrize("command", ["run", "compare"])
def test_an_out_that_is_a_file_is_refused_before_anything_runs(
    small_file: Path, tmp_path: Path, command: str
):
    target = ("--set", "stop.target={metric: loss, below: 3}")
    extra = ("--strategies", "uniform") if command == "compare" else ()
    done = answered(command, small_file, *target, *extra, "--out", "small.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: small.yaml is a file, not a folder\n")


def start(*arguments: object, cwd: Path) -> subprocess.Popen:
    """A command as a shell would start it: leading a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "wirelessfl.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
    )


def processes_of(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["all", "parent"])
def test_ctrl_c_keeps_what_has_finished_and_the_same_command_goes_on(
    timing_file: Path, tmp_path: Path, whom: str
):
    """Ctrl-C in a terminal tells all processes; `kill -INT` only the one."""
    options = ("--vary", "stop.rounds=2,100000,100001", "--out", "s", "--jobs", 2)
    started = start("sweep", timing_file, *options, cwd=tmp_path)
    first = tmp_path / "s" / "rounds=2" / "uniform" / "seed-0" / "summary.json"
    until = time.monotonic() + 120
    while not first.exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1.0)
    (os.killpg if whom == "all" else os.kill)(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert said.splitlines()[-1] == (
        "interrupted: 1 of 3 runs are finished and kept in s; the same command goes on"
    )
    assert "Traceback" not in said
    until = time.monotonic() + 10  # Python's own resource tracker ends a moment after its parent
    while processes_of(started.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes_of(started.pid)
    assert read_study(tmp_path / "s").runs["status"].tolist() == ["finished", "waiting", "waiting"]
    assert not list((tmp_path / "s").rglob("*.part"))
    written = first.stat().st_mtime_ns
    shorter = ("--vary", "stop.rounds=2,3", "--out", "s", "--jobs", 1)
    again = wirelessfl("sweep", timing_file, *shorter, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert first.stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_the_sweep_and_loses_nothing_finished(
    timing_file: Path, tmp_path: Path, jobs: int
):
    """A limit on the size of files stands for the full disk: the long run's do not fit."""
    options = ("--vary", "stop.rounds=2,2000,3,4,5,6", "--out", "s", "--jobs", jobs)
    command = [sys.executable, "-m", "wirelessfl.cli", "sweep", timing_file, *map(str, options)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert "of 6 runs are finished and kept in s; free some space, and the same command" in last
    assert "Traceback" not in done.stderr
    status = dict(
        zip([2, 2000, 3, 4, 5, 6], read_study(tmp_path / "s").runs["status"], strict=True)
    )
    assert (status[2], status[2000]) == ("finished", "waiting")
    if jobs == 1:
        assert status[3] == "waiting"  # nothing is started that cannot be kept
    assert not list((tmp_path / "s").rglob("*.part"))
    again = wirelessfl("sweep", timing_file, *options, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (read_study(tmp_path / "s").runs["status"] == "finished").all()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_not_the_end_of_the_sweep(timing_file: Path, tmp_path: Path):
    options = ("--vary", "stop.rounds=1000,1001,2", "--out", "s", "--jobs", 2, "--json")
    started = start("sweep", timing_file, *options, cwd=tmp_path)
    until = time.monotonic() + 120
    victims: list[psutil.Process] = []
    while not victims and time.monotonic() < until:
        time.sleep(0.2)
        children = psutil.Process(started.pid).children()
        victims = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
    time.sleep(1.0)
    victims[0].kill()
    said, progress = started.communicate(timeout=300)
    assert started.returncode == 0, progress
    assert [row["status"] for row in json.loads(said)["runs"]] == ["finished"] * 3
