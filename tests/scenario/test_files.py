"""Data files that a scenario names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import dump, fingerprint, load, loads

RATES = "time_s,client,dl_mbps,ul_mbps\n0,0,10,1\n"


def test_a_data_file_is_looked_for_beside_the_file_that_names_it(tmp_path: Path):
    folder = tmp_path / "base"
    (folder / "traces").mkdir(parents=True)
    (folder / "traces" / "a.csv").write_text(RATES, encoding="utf-8")
    base = "name: a\nnetwork: {replay: {file: traces/a.csv}}"
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    top = tmp_path / "top.yaml"
    top.write_text("extends: base/base.yaml\nseed: 3", encoding="utf-8")
    replay = load(top).network.replay
    assert replay is not None
    assert replay.file == str((folder / "traces" / "a.csv").resolve())
    assert replay.sha256 == hashlib.sha256(RATES.encode()).hexdigest()


def test_an_override_names_files_from_the_current_folder(tmp_path: Path, monkeypatch):
    (tmp_path / "a.csv").write_text(RATES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    scenario = loads("name: a", "elsewhere/a.yaml", ["network.replay.file=a.csv"])
    assert scenario.network.replay.file == str(tmp_path.resolve() / "a.csv")


def test_the_resolved_scenario_finds_the_file_from_anywhere(tmp_path: Path):
    (tmp_path / "a.csv").write_text(RATES, encoding="utf-8")
    scenario = loads("name: a\nnetwork: {replay: {file: a.csv}}", str(tmp_path / "a.yaml"))
    assert loads(dump(scenario), "other/folder/b.yaml") == scenario


def test_another_content_is_another_scenario(tmp_path: Path):
    def print_of(rates: str) -> str:
        (tmp_path / "a.csv").write_text(rates, encoding="utf-8")
        text = "name: a\nnetwork: {replay: {file: a.csv}}"
        return fingerprint(loads(text, str(tmp_path / "a.yaml")))

    assert print_of(RATES) == print_of(RATES) != print_of(RATES + "1,0,5,5\n")


@pytest.mark.parametrize("name", ["none.csv", ".", '"nul\\0"'])
def test_a_file_that_cannot_be_read_is_said_where_it_is_named(tmp_path: Path, name: str):
    path = tmp_path / "a.yaml"
    path.write_text(f"name: a\nnetwork:\n  replay: {{file: {name}}}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:3:18: network.replay.file: {tmp_path}")
    assert "cannot be read" in message
    assert "\n" not in message


@pytest.mark.parametrize("value", ["5", "[a]", '""', "null"])
def test_a_file_name_is_text(tmp_path: Path, value: str):
    with pytest.raises(InputError, match=r"network\.replay\.file"):
        loads(f"name: a\nnetwork: {{replay: {{file: {value}}}}}", str(tmp_path / "a.yaml"))
