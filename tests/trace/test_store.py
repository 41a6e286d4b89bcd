"""A trace survives the disk, never half-written, and tells when a target was reached."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from wirelessfl.errors import InputError
from wirelessfl.trace import Trace, store

FILES = {
    "scenario.yaml",
    "rounds.parquet",
    "clients.parquet",
    "events.parquet",
    "timeline.json",
    "convergence.png",
    "convergence.svg",
    "summary.json",
}


def fingerprint(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_a_trace_reads_back_as_it_was_written(trace: Trace, tmp_path: Path):
    trace.write(tmp_path / "new" / "run")
    again = Trace.read(tmp_path / "new" / "run")
    for name in ("rounds", "clients", "events"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(trace, name))
    assert again.summary == trace.summary
    assert again.scenario_yaml == trace.scenario_yaml
    assert {p.name for p in (tmp_path / "new" / "run").iterdir()} == FILES


def test_columns_on_disk_carry_unit_and_version(trace: Trace, tmp_path: Path):
    trace.write(tmp_path)
    schema = pq.read_schema(tmp_path / "rounds.parquet")
    assert schema.field("end_s").metadata[b"unit"] == b"s"
    assert schema.metadata[b"schema_version"] == b"3"
    assert pq.read_table(tmp_path / "rounds.parquet")["perplexity"].null_count == 3


def test_equal_traces_give_equal_bytes_in_another_process(trace: Trace, tmp_path: Path):
    trace.write(tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from tests.trace.conftest import make_trace; "
        "make_trace().write(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    assert fingerprint(tmp_path / "here") == fingerprint(tmp_path / "there")


def test_a_crash_leaves_no_half_written_file_and_no_summary(
    trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trace.write(tmp_path)
    before = fingerprint(tmp_path)

    def fails_midway(table: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(store.pq, "write_table", fails_midway)
    with pytest.raises(OSError, match="disk full"):
        trace.write(tmp_path)
    after = fingerprint(tmp_path)
    assert after == {name: before[name] for name in FILES - {"summary.json"}}
    with pytest.raises(InputError, match="no finished run"):
        Trace.read(tmp_path)


def test_a_trace_of_another_version_is_refused(trace: Trace, tmp_path: Path):
    trace.write(tmp_path)
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 0}))
    with pytest.raises(InputError, match="another version"):
        Trace.read(tmp_path)


@pytest.fixture
def wavering(trace: Trace) -> Trace:
    """Loss at 0, 1, 2 ... seconds; not evaluated at 3 seconds."""
    losses = [4.0, 1.0, 3.0, None, 1.0, 1.0, 2.0]
    rounds = pd.DataFrame(
        {"end_s": [float(t) for t in range(7)], "loss": losses, "accuracy": losses}
    )
    return Trace(rounds, trace.clients, trace.events, trace.summary, trace.scenario_yaml)


@pytest.mark.parametrize(
    ("level", "smooth", "seconds"),
    [
        ({"below": 1.0}, 1, 1.0),
        ({"below": 1.0}, 2, 5.0),
        ({"below": 2.0}, 2, 2.0),
        ({"below": 5 / 3}, 3, 4.0),
        ({"below": 0.5}, 1, None),
        ({"below": 9.0}, 7, None),
        ({"above": 3.0}, 1, 0.0),
        ({"above": 2.0}, 2, 1.0),
    ],
)
def test_time_to_is_the_first_evaluation_whose_trailing_mean_passes(
    wavering: Trace, level: dict[str, float], smooth: int, seconds: float | None
):
    metric = "loss" if "below" in level else "accuracy"
    assert wavering.time_to(metric, **level, smooth=smooth) == seconds


def test_time_to_wants_exactly_one_level(wavering: Trace):
    with pytest.raises(InputError, match="exactly one"):
        wavering.time_to("loss")
    with pytest.raises(InputError, match="exactly one"):
        wavering.time_to("loss", below=1.0, above=2.0)
    with pytest.raises(InputError, match="at least 1"):
        wavering.time_to("loss", below=1.0, smooth=0)


def test_a_curve_leaves_out_rounds_that_were_not_evaluated(wavering: Trace):
    assert [time_s for time_s, _ in wavering.curve("loss")] == [0.0, 1.0, 2.0, 4.0, 5.0, 6.0]
