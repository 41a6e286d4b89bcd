"""`wirelessfl doctor`: whatever is wrong with a machine is said, and the other checks go on."""

from __future__ import annotations

import importlib.metadata
import json
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
import torch

from tests.test_cli import answered
from wirelessfl import doctor
from wirelessfl.doctor import CHECKS, Finding, examine


def found(name: str) -> Finding:
    return next(finding for finding in examine() if finding.name == name)


def test_a_machine_that_runs_these_tests_is_ready(tmp_path: Path):
    done = answered("doctor", "--json", cwd=tmp_path)
    findings = {one["name"]: one for one in json.loads(done.stdout)}
    assert list(findings) == list(CHECKS)
    assert done.returncode == 0, findings
    assert findings["torch"]["found"].startswith(torch.__version__)
    assert not list(tmp_path.iterdir())


def test_a_check_that_breaks_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch):
    def broken(name: str) -> Finding:
        raise OSError("libgomp.so.1: cannot open shared object file")

    checks = {"torch": broken, "Python": CHECKS["Python"]}
    monkeypatch.setattr(doctor, "CHECKS", checks)
    done = answered("doctor", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    first, second = done.stdout.splitlines()
    assert first == "FAILED  torch: OSError: libgomp.so.1: cannot open shared object file"
    assert second.startswith("ok      Python: 3.")


def test_missing_and_old_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    lines = ["simpy>=4.1", "numpy>=99", "no-such-thing>=1", "nor-this; extra == 'ray'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    needed, extra = found("packages"), found("extras")
    assert needed.status == "failed"
    assert "no-such-thing is missing" in needed.found
    assert "but >=99 is needed" in needed.found
    assert "simpy" not in needed.found
    assert (extra.status, "not installed: ray" in extra.found) == ("ok", True)


def test_a_damaged_base_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WIRELESSFL_CACHE", str(tmp_path))
    assert found("base models").found.endswith("0 models, 0.0 MB")
    (tmp_path / "tiny-vit-0.safetensors").write_bytes(b"half of")
    (tmp_path / "tiny-vit-0.json").write_text('{"sha256": "0"}')
    finding = found("base models")
    assert (finding.status, "damaged: tiny-vit-0.safetensors" in finding.found) == ("warning", True)


def test_folders_that_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WIRELESSFL_CACHE", str(tmp_path / "file"))
    finding = found("base models")
    assert (finding.status, "WIRELESSFL_CACHE" in finding.advice) == ("failed", True)
    monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "gone")
    assert found("this folder").status == "warning"


def test_little_memory_and_little_space_are_told(monkeypatch: pytest.MonkeyPatch):
    little = namedtuple("little", "available free")(1e8, 1e8)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: little)
    assert (found("memory").status, found("this folder").status) == ("warning", "warning")


def test_machine_code_that_cannot_be_kept_is_told(monkeypatch: pytest.MonkeyPatch):
    import numba

    monkeypatch.setattr(doctor, "_triangle", numba.njit(lambda count: count * (count + 1) // 2))
    finding = found("machine code")
    assert (finding.status, "NUMBA_CACHE_DIR" in finding.advice) == ("warning", True)
