"""What cannot be is found before anything is learnt or written, by every command alike."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from wirelessfl.cli import main
from wirelessfl.errors import InputError
from wirelessfl.scenario import load
from wirelessfl.simulation import engine
from wirelessfl.simulation.world import build_world, check
from wirelessfl.study import compare

SCENARIO = """\
name: bad
stop: {rounds: 1, target: {metric: loss, below: 0.1}}
devices: {count: 3, mix: {jetson-nano: 1}}
strategy: {kind: uniform, participation: {expected: 2}}
"""
FILES = {
    "rates.csv": "time_s,client,dl_mbps,ul_mbps\n0,0,10,1\n",
    "hours.csv": "client,on_s,off_s\n0,5,1\n",
    "places.csv": "time_s,client,x_m,y_m\n0,0,nowhere,0\n",
    "mesh.graphml": "<graphml>",
}
HEX = "{kind: hex_grid, rings: 1}"
# What is set, and how the one error begins.
BAD = {
    "rates": ("network.replay={file: hours.csv}", "hours.csv:1: has columns client,on_s,off_s"),
    "availability": ("devices.availability={kind: trace, file: hours.csv}", "hours.csv:2: off_s 1"),
    "places": (
        "network.mobility={kind: trace, file: places.csv}",
        "places.csv:2: x_m is 'nowhere'",
    ),
    "graph": ("network.topology={kind: graph, file: mesh.graphml}", "mesh.graphml: "),
    "path loss": (
        "network.placement={kind: fixed, distances: [900 km]}",
        "network: clients stand 900000 m to 900000 m from the base station",
    ),
    "replay and cells": (
        f"network={{replay: {{file: rates.csv}}, topology: {HEX}}}",
        "network.replay: measured rates belong to one cell",
    ),
    "crowded stations": (
        "network.topology={kind: random, count: 9, size: 1 m, min_separation: 1 km}",
        "network.topology: no place for station 2 of 9",
    ),
    "engine": (
        "network.downlink={engine: virtual_time}",
        "network.downlink.engine: virtual_time needs",
    ),
    "samples": ("devices.count=2000", "learning.partition: 1203 training samples cannot"),
    "layers": ("learning.lora.targets=[query]", "learning.lora.targets: no linear layer is called"),
    "participants": (
        "strategy.participation.expected=4",
        "strategy.participation.expected is 4, but there are 3 clients",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bad.yaml").write_text(SCENARIO, encoding="utf-8")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "case"),
    [
        (command, case)
        for command in ("validate", "run", "compare", "draw")
        for case in BAD
        if command != "run" or case not in ("samples", "layers")  # which the learner says itself
    ],
)
def test_what_cannot_be_is_one_early_error_and_nothing_is_written(
    command: str,
    case: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    setting, message = BAD[case]
    options = ["--strategies", "uniform", "--seeds", "0-2"] if command == "compare" else []

    def no_learner(*_: object) -> None:
        raise AssertionError("the learner was built first")

    monkeypatch.setattr(engine, "_learner", no_learner)
    monkeypatch.setattr(
        sys, "argv", ["wirelessfl", command, "bad.yaml", "--set", setting, *options]
    )
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    error = captured.err.replace(f"{folder.resolve()}/", "")
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert captured.out.strip() == ""
    assert sorted(folder.rglob("*")) == before


def test_what_only_the_learner_finds_is_said_once_and_no_table_is_promised(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def no_learner(*_: object) -> None:
        raise InputError("cannot be learnt")

    monkeypatch.setattr(engine, "_learner", no_learner)
    options = ["--strategies", "uniform,data_proportional", "--seeds", "0-1", "--jobs", "1"]
    few = ["--set", "devices.count=12", "--set", "stop.target={metric: accuracy, above: 0.9}"]
    monkeypatch.setattr(sys, "argv", ["wirelessfl", "compare", "bad.yaml", *options, *few])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    labels = "uniform seed 0, data_proportional seed 0, uniform seed 1, data_proportional seed 1"
    assert captured.err.splitlines()[4:] == [
        f"error: {labels}: cannot be learnt",
        "4 of 4 runs failed",
    ]
    assert "table" not in captured.out
    left = {path.name for path in (folder / "runs").rglob("*") if path.is_file()}
    assert left == {"study.json", "scenario.yaml"}  # what was asked for, and why it failed


def test_every_strategy_of_a_scenario_is_checked_and_named(folder: Path):
    crowd = "strategies={few: {kind: full}, crowd: {kind: uniform, participation: {expected: 9}}}"
    with pytest.raises(InputError, match=r"with strategy crowd: strategy\.participation"):
        check(load("bad.yaml", [crowd]))
    with pytest.raises(InputError, match="with strategy crowd"):
        compare(load("bad.yaml", [crowd]), ["few", "crowd"], range(2))
    rule = "{kind: uniform, participation: {expected: 2}, bandwidth: {kind: equal_finish}}"
    held = ["network.uplink={engine: virtual_time}", "network.fading={kind: none}"]
    check(load("bad.yaml", [f"strategy={rule}", *held]))
    with pytest.raises(InputError, match=r"network\.uplink\.engine: virtual_time"):
        check(load("bad.yaml", held))


def test_a_world_of_another_seed_is_checked_too(folder: Path):
    """Whether random stations find a place may depend on the seed."""
    tight = "network.topology={kind: random, count: 4, size: 100 m, min_separation: 120 m}"
    scenario = load("bad.yaml", [tight])
    fits = {}
    for seed in range(20):
        try:
            build_world(scenario.model_copy(update={"seed": seed}))
            fits[seed] = True
        except InputError:
            fits[seed] = False
    good, bad = (next(seed for seed in fits if fits[seed] is fit) for fit in (True, False))
    with pytest.raises(InputError, match="no place for station"):
        compare(scenario, ["uniform"], [good, bad])
