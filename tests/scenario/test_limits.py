"""Bounds on what a scenario may make the loader do: nothing here may hang, or fill the memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import load, loads, named_files

RATES = "time_s,client,dl_mbps,ul_mbps\n0,0,10,1\n"
NOT_ORDINARY = "is not an ordinary file (a device, pipe or socket)"


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fails what waits for longer, instead of waiting for ever."""

    def end(*_: object) -> None:
        raise TimeoutError(f"still busy after {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["fifo", "/dev/zero"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that nobody writes to, and one that never ends."""
    if request.param != "fifo":
        return Path(request.param)
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def refusal(text: str, folder: Path) -> str:
    with within(5), pytest.raises(InputError) as caught:
        loads(text, str(folder / "a.yaml"))
    return str(caught.value)


def test_a_scenario_is_an_ordinary_file(endless: Path, tmp_path: Path):
    with within(5), pytest.raises(InputError) as caught:
        load(endless)
    assert str(caught.value) == f"{endless}: {NOT_ORDINARY}, not a scenario file"
    message = refusal(f"name: a\nextends: {endless}", tmp_path)
    where = f"{tmp_path / 'a.yaml'}:2:10: extends: "
    assert message == f"{where}{endless}: {NOT_ORDINARY}, not a scenario file"


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("network: {{replay: {{file: {}}}}}", "network.replay.file"),
        ("learning: {{task: {{kind: table, file: {}}}}}", "learning.task.file"),
    ],
)
def test_a_data_file_is_an_ordinary_file(endless: Path, tmp_path: Path, section: str, field: str):
    message = refusal(f"name: a\n{section.format(endless)}", tmp_path)
    assert f"{field}: {endless}: cannot be read: {NOT_ORDINARY}" in message


def test_a_link_to_what_is_no_ordinary_file_is_none_either(endless: Path, tmp_path: Path):
    (tmp_path / "link.csv").symlink_to(endless)
    message = refusal("name: a\nnetwork: {replay: {file: link.csv}}", tmp_path)
    assert f"{tmp_path / 'link.csv'}: cannot be read: {NOT_ORDINARY}" in message


def test_sixteen_files_may_extend_one_another_and_no_more(tmp_path: Path):
    (tmp_path / "0.yaml").write_text("name: a\nseed: 7", encoding="utf-8")
    for number in range(1, 18):
        text = f"extends: {number - 1}.yaml"
        (tmp_path / f"{number}.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "16.yaml").seed == 7
    with pytest.raises(InputError) as caught:
        load(tmp_path / "17.yaml")
    first = tmp_path / "1.yaml"
    assert str(caught.value) == f"{first}:1:10: extends: more than 16 files extend one another"


def test_a_nul_is_in_no_name(tmp_path: Path):
    path = tmp_path / "a.yaml"
    message = refusal('extends: "b\\0.yaml"', tmp_path)
    assert message.startswith(f"{path}:1:10: extends: {tmp_path / 'b'}\\x00.yaml: cannot be read: ")
    task = 'learning: {task: {kind: text_files, folder: "b\\0"}}'
    message = refusal(f"name: a\n{task}", tmp_path)
    where = f"{path}:2:45: learning.task.folder: "
    assert f"{where}{tmp_path / 'b'}\\x00: no such folder" in message.splitlines()


def test_there_are_a_million_clients_at_most():
    assert loads("name: a\ndevices: {count: 1000000}").devices.count == 1_000_000
    for count in (1_000_001, 2**31, 2**63):
        with pytest.raises(
            InputError, match=rf":2:18: devices\.count: {count} must be at most 1e\+06"
        ):
            loads(f"name: a\ndevices: {{count: {count}}}")


def test_a_data_file_is_as_large_as_the_limit_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = "name: a\nnetwork: {replay: {file: a.csv}}"
    (tmp_path / "a.csv").write_text(RATES, encoding="utf-8")
    monkeypatch.setattr(named_files, "MAX_DATA_BYTES", len(RATES))
    assert loads(text, str(tmp_path / "a.yaml")).network.replay is not None
    monkeypatch.undo()
    with (tmp_path / "a.csv").open("r+b") as file:
        file.truncate((4 << 30) + 1)  # a hole: it takes no place on the disk
    message = refusal(text, tmp_path)
    assert message.endswith(f"{tmp_path / 'a.csv'}: cannot be read: is larger than 4 GiB")
