"""A file of measured rates that cannot be used stops the command line with one clear error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wirelessfl.cli import main

HEADER = "time_s,client,dl_mbps,ul_mbps\n"
SCENARIO = """\
name: replayed
stop: {rounds: 1, target: {metric: loss, below: 0.1}}
network: {replay: {file: rates.csv}}
devices: {count: 2, mix: {jetson-nano: 1}}
learning:
  model: {kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}
  lora: {rank: 4, alpha: 8}
"""
BAD = {
    "empty": ("", ":1: is empty; needs time_s,client,dl_mbps,ul_mbps[,snr_db]"),
    "header only": (HEADER, ":1: has a header but no rows"),
    "wrong columns": ("time_s,client,up,down\n0,0,1,1\n", ":1: has columns time_s,client,up,down"),
    "columns in another order": (
        "client,time_s,dl_mbps,ul_mbps\n0,0,1,1\n",
        ":1: has columns client,time_s,dl_mbps,ul_mbps; needs time_s,client,",
    ),
    "gap": (HEADER + "0,0,1,1\n1,0,1,1\n4,0,1,1\n", ":4: a gap: time_s is 4, must be 2"),
    "time goes back": (HEADER + "5,0,1,1\n4,0,1,1\n", ":3: time_s 4 is not after the client's"),
    "negative rate": (HEADER + "0,0,1,-1\n", ":2: ul_mbps is '-1', must be a number of at least 0"),
    "nan": (HEADER + "0,0,nan,1\n", ":2: dl_mbps is 'nan', must be a number of at least 0"),
    "nan time": (HEADER + "nan,0,1,1\n", ":2: time_s is 'nan', must be a number"),
    "missing value": (HEADER + "0,0,1\n", ":2: has 3 values for 4 columns"),
    "unknown client": (HEADER + "0,0,1,1\n0,7,1,1\n", ":3: unknown client 7; the scenario has 0"),
    "a client left out": (HEADER + "0,1,1,1\n", ":2: client 1 without a client 0"),
    "nothing gets through": (HEADER + "0,0,1,0\n", ":2: ul_mbps of client 0 is 0 throughout"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_bad_trace_stops_a_run_with_one_error_and_nothing_written(
    text: tuple[str, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (folder / "rates.csv").write_text(text[0], encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["wirelessfl", "run", "scenario.yaml"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {folder / 'rates.csv'}{text[1]}")
    assert error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["rates.csv", "scenario.yaml"]


@pytest.mark.parametrize("kind", ["missing", "a folder"])
def test_a_trace_that_is_no_file_stops_a_run(
    kind: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    if kind == "a folder":
        (folder / "rates.csv").mkdir()
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["wirelessfl", "run", "scenario.yaml"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "rates.csv" in error
    assert error.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["run"], ["compare", "--strategies", "uniform", "--seeds", "0"]], ids=lambda c: c[0]
)
def test_a_bad_trace_leaves_no_traceback_in_a_process_of_its_own(command: list[str], folder: Path):
    (folder / "rates.csv").write_text(HEADER + "0,0,1,nan\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "wirelessfl.cli", *command, "scenario.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "rates.csv:2: ul_mbps is 'nan', must be a number of at least 0" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["rates.csv", "scenario.yaml"]
