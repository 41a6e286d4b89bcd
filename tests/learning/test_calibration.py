"""This machine as a device: what is measured is a profile that a scenario takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.test_cli import wirelessfl
from wirelessfl.learning.calibration import Measurement, calibrate, physical_memory_bytes
from wirelessfl.scenario import load, loads
from wirelessfl.scenario.base_model import TinyVit

SMALL = TinyVit(hidden=16, layers=1, heads=2, pretrain_steps=1)


def test_median_and_spread():
    measured = Measurement((2.0, 8.0, 4.0))
    assert (measured.median, measured.spread) == (4.0, 1.5)


def test_a_measured_profile_is_positive_and_can_be_pasted_into_a_scenario():
    measured = calibrate(repeats=2, model=SMALL, triad_bytes=3 * 2**20)
    assert len(measured.flops.values) == len(measured.memory_bandwidth.values) == 2
    assert min(measured.flops.values) > 1e5
    assert min(measured.memory_bandwidth.values) > 1e7
    assert measured.memory_bytes == physical_memory_bytes() > 2**28
    text = "\n    ".join(measured.to_yaml("mine").splitlines())
    scenario = loads(f"name: x\ndevices:\n  mix: {{mine: 1}}\n  profiles:\n    {text}\n")
    assert scenario.devices.profiles["mine"] == measured.profile
    assert "2 LoRA steps (rank 8, batch 32) of a ViT of width 16" in measured.profile.source


@pytest.mark.slow
def test_the_command_writes_a_profile_and_prints_what_it_measured(tmp_path: Path):
    done = wirelessfl(
        "calibrate", "--repeats", 2, "--name", "lab", "--out", "lab.yaml", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "# training: 2 measurements within" in done.stdout
    profile = YAML(typ="safe").load((tmp_path / "lab.yaml").read_text(encoding="utf-8"))
    text = f"name: x\ndevices:\n  mix: {{lab: 1}}\n  profiles: {json.dumps(profile)}\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "x.yaml").devices.profiles["lab"].training_flops > 0

    again = wirelessfl("calibrate", "--out", "lab.yaml", cwd=tmp_path)
    assert again.returncode == 2
    assert "is already there" in again.stderr


@pytest.mark.slow
def test_json_holds_every_measurement(tmp_path: Path):
    done = wirelessfl("calibrate", "--repeats", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert len(values["flops"]["values"]) == 1
    assert values["profile"]["effective_flops"] > 0


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(tmp_path: Path):
    done = wirelessfl("calibrate", "--out", "no/where.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr == "error: --out: there is no folder no\n"
