"""Odd command lines and damaged folders are answered in words; what `tests.fuzz_commands` found."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz_commands import Answer, Case, call, cases, workplace


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with workplace() as found:
        yield found


@given(case=cases())
@settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@pytest.mark.slow
def test_odd_command_lines_get_an_answer(place: Path, case: Case):
    what, answer = case.answer(place)
    assert answer.defect is None, (case.arguments, what, answer.err)


def test_the_fuzzer_notices_what_is_not_an_answer():
    assert Answer(2, "", "", None, 0.0).defect == "exit code 2 with 0 messages"
    assert Answer(2, "", "error: a\nerror: b\n", None, 0.0).defect == "exit code 2 with 2 messages"
    assert Answer(5, "", "error: a\n", None, 0.0).defect == "exit code 5"
    assert Answer(1, "", "", None, 0.0).defect == "exit code 1 without a word"
    failed = Answer(0, "", "", KeyError("a"), 0.0)
    assert failed.defect is not None
    assert failed.defect.startswith("KeyError")
    assert Answer(2, "", "error: a\n", None, 0.0).defect is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--seeds 0-999999999999", "0-999999999999 is more than 10000 seeds"),
        ("--seeds 5-2", "5-2 runs backwards; write 2-5"),
        ("--seeds ²", "'²' is not like '0-4'"),
        ("--seeds 0-²", "'0-²' is not like '0-4'"),
        ("--seeds -3", "'-3' is not like '0-4'"),
        ("--seeds 9223372036854775808", "is larger than any seed (at most 9223372036854775807)"),
        ("--strategies ,", "--strategies: ',' names no strategy"),
        ("--seeds 0-4999 --vary devices.count=1,2,3", "these are 15000 runs; one study may have"),
        ("--vary network.carrier=" + ",".join(f"{n} GHz" for n in range(1, 120)), "14161 runs"),
    ],
)
def test_studies_without_an_end_are_refused_at_once(place: Path, arguments: str, said: str):
    line = ["sweep", "tiny.yaml", *arguments.split(" --")[0].split(" ", 1)]
    for more in arguments.split(" --")[1:]:
        line += ["--" + more.split(" ", 1)[0], more.split(" ", 1)[1]]
    if "runs" in said and "network" in arguments:
        line += ["--vary", "network.uplink.power=" + ",".join(f"{n} dBm" for n in range(1, 120))]
    elif "--vary" not in line:
        line += ["--vary", "devices.count=3,4"]
    answer = call(line, place)
    assert (answer.code, answer.defect) == (2, None)
    assert said in answer.err
    assert answer.took_s < 2.0


def test_seeds_and_strategies_count_once(place: Path):
    line = ["sweep", "tiny.yaml", "--vary", "devices.count=3", "--seeds", "1,1,0-1", "--strategies"]
    answer = call([*line, "full,full", "--jobs", "1", "--out", "once"], place)
    assert answer.code == 0, answer
    document = json.loads((place / "once" / "study.json").read_text())
    assert (document["seeds"], document["strategies"]) == ([1, 0], ["full"])


@pytest.mark.parametrize(
    ("table", "damage", "said"),
    [
        ("rounds", "cut", "is damaged"),
        ("rounds", "gone", "is damaged"),
        ("clients", "folder", "is damaged"),
        ("rounds", "no rows", "rounds.parquet has no rows"),
        ("rounds", "another byte", "is damaged"),
        ("rounds", "no column", "rounds.parquet: lacks the columns ['round']"),
    ],
)
def test_a_damaged_table_is_named(place: Path, tmp_path: Path, table: str, damage: str, said: str):
    answer = call(["run", "tiny.yaml", "--out", str(tmp_path / "run"), "--quiet"], place)
    assert answer.code == 0
    path = tmp_path / "run" / f"{table}.parquet"
    data, whole = path.read_bytes(), pq.read_table(path)
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[:-9])
    elif damage == "folder":
        path.mkdir()
    elif damage == "another byte":
        at = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(3)
        middle = at.dictionary_page_offset or at.data_page_offset
        middle += at.total_compressed_size - 2  # the values are at the end of their page
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    elif damage == "no rows":
        pq.write_table(whole.slice(0, 0), path)
    elif damage == "no column":
        pq.write_table(whole.drop_columns(["round"]), path)
    for line in (
        ["report", "run"],
        ["export", "run", "--csv", "csv"],
        ["plan", str(place / "tiny.yaml"), "--from", "run"],
        ["run", str(place / "tiny.yaml"), "--out", "run"],
    ):
        answer = call(line, tmp_path)
        assert (answer.code, answer.defect) == (2, None), line
        assert said in answer.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("versions", "x"),
        ("fingerprint", None),
        ("memory", ""),
        ("totals", []),
        ("seed", "0"),
        ("name", {}),
    ],
)
def test_a_damaged_summary_is_named(place: Path, tmp_path: Path, key: str, value: object):
    answer = call(["run", "tiny.yaml", "--out", str(tmp_path / "run"), "--quiet"], place)
    path = tmp_path / "run" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    answer = call(["report", "run"], tmp_path)
    assert (answer.code, answer.defect) == (2, None)
    assert f"summary.json: {key!r} is {value!r}" in answer.err


@pytest.mark.parametrize("out", ["", "nowhere/map.png", "a" * 300, "file.txt/map.png"])
def test_a_picture_that_cannot_be_written_is_an_error_in_words(place: Path, out: str):
    answer = call(["draw", "tiny.yaml", "--out", out], place)
    assert (answer.code, answer.defect) == (2, None)


@pytest.mark.parametrize("command", ["report", "export", "plan", "run"])
def test_a_name_that_is_too_long_is_an_error_in_words(place: Path, command: str):
    name, more = "9" * 5000, {"export": ["--csv", "made"], "plan": ["--from", "9" * 5000]}
    scenario = ["tiny.yaml"] if command == "plan" else [name]
    answer = call([command, *scenario, *more.get(command, [])], place)
    assert (answer.code, answer.defect) == (2, None)
    assert os.strerror(36) in answer.err
