"""Sweeps: what is in the tables, what is run, kept and refused, and that a folder reads back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats

from wirelessfl.errors import InputError
from wirelessfl.scenario import load
from wirelessfl.study import processes, read_study, sweep, sweeping
from wirelessfl.study.measures import MEASURES
from wirelessfl.study.record import finished
from wirelessfl.trace import Trace

BANDWIDTH = "network.uplink.bandwidth"
VARY = {BANDWIDTH: ["500 kHz", "5 MHz"]}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the members that are run, in order."""
    done: list[str] = []
    run_member = processes.run_member

    def spy(member, on_progress):
        done.append(member.label)
        return run_member(member, on_progress)

    monkeypatch.setattr(processes, "run_member", spy)
    return done


def test_the_table_has_means_and_students_intervals_of_the_runs(timing) -> None:
    result = sweep(timing(), VARY, ["uniform", "everyone"], range(3), jobs=1)
    assert len(result.runs) == 2 * 2 * 3
    table = result.table()
    assert table[[BANDWIDTH, "strategy"]].to_numpy().tolist() == [
        [5e5, "uniform"], [5e5, "everyone"], [5e6, "uniform"], [5e6, "everyone"],
    ]  # fmt: skip
    member = result.members[1]
    assert (member.strategy, member.seed, member.point) == ("everyone", 0, {BANDWIDTH: 5e5})
    rounds = result.trace(member).rounds.iloc[1:]
    assert result.runs["round_s"][1] == pytest.approx(rounds["duration_s"].mean())
    assert result.runs["uplink_bits"][1] == rounds["uplink_bits"].sum()
    assert result.runs["participants"][1] == 6
    values = result.runs.query("strategy == 'uniform'")["round_s"][:3]
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    row = table.iloc[0]
    assert row["round_s"] == pytest.approx(values.mean())
    assert (row["round_low_s"], row["round_high_s"]) == pytest.approx((low, high))
    assert math.isnan(row["time_s"])  # there is no target
    assert math.isnan(row["loss"])
    assert (table["reached"] == 0).all()


def test_a_member_is_the_run_that_its_scenario_gives_by_itself(timing) -> None:
    from wirelessfl.simulation import simulate

    result = sweep(timing(), VARY, ["everyone"], [2], jobs=1)
    alone = simulate(
        timing("network.uplink.bandwidth=5 MHz")
        .with_strategy("everyone")
        .model_copy(update={"seed": 2})
    )
    pd.testing.assert_frame_equal(result.trace(result.members[1]).rounds, alone.rounds)


def test_finished_members_are_kept_when_the_grid_grows(timing, tmp_path, runs) -> None:
    sweep(timing(), {BANDWIDTH: ["500 kHz"]}, out=tmp_path, jobs=1)
    result = sweep(timing(), VARY, seeds=[0, 1], out=tmp_path, jobs=1)
    assert runs == [
        "bandwidth=500 kHz, uniform seed 0",
        "bandwidth=500 kHz, uniform seed 1",
        "bandwidth=5 MHz, uniform seed 0",
        "bandwidth=5 MHz, uniform seed 1",
    ]
    assert (result.runs["status"] == "finished").all()


@pytest.mark.slow
def test_a_changed_scenario_does_not_replace_finished_members(timing, tmp_path, runs) -> None:
    sweep(timing(), VARY, out=tmp_path, jobs=1)
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(InputError, match=r"bandwidth=500kHz.* holds a run of another scenario"):
        sweep(timing("stop.rounds=5"), VARY, out=tmp_path, jobs=1)
    assert (len(runs), (tmp_path / "study.json").read_bytes()) == (2, before)
    result = sweep(timing("stop.rounds=5"), VARY, out=tmp_path, jobs=1, overwrite=True)
    assert result.runs["rounds"].tolist() == [5, 5]


@pytest.mark.slow
def test_the_folder_reads_back_as_the_same_sweep(timing, tmp_path: Path) -> None:
    live = sweep(timing(), VARY, ["uniform", "everyone"], [0, 1], tmp_path, jobs=1, command="x")
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    found = read_study(moved)
    assert isinstance(found, sweeping.Sweep)
    assert found.scenario == live.scenario
    assert (found.axes, found.strategies, found.seeds) == (live.axes, live.strategies, live.seeds)
    assert found.command == "x"
    pd.testing.assert_frame_equal(found.runs, live.runs)
    pd.testing.assert_frame_equal(found.table(), live.table())
    for a, b in zip(found.members, live.members, strict=True):
        assert (a.label, a.point, a.scenario) == (b.label, b.point, b.scenario)
    study = found.study({BANDWIDTH: 5e6})
    assert set(study.traces) == {"uniform", "everyone"}
    assert study.scenario.network.uplink.bandwidth_hz == 5e6
    with pytest.raises(InputError, match="no point"):
        found.study({BANDWIDTH: 1e6})
    moved.rename(tmp_path)


def test_tables_on_disk_hold_the_same_numbers_with_units(timing, tmp_path: Path) -> None:
    result = sweep(timing(), VARY, seeds=[0, 1], out=tmp_path, jobs=1)
    for name, frame in (("members", result.runs), ("table", result.table())):
        written = pq.read_table(tmp_path / f"{name}.parquet")
        units = {field.name: field.metadata[b"unit"] for field in written.schema}
        assert (units[BANDWIDTH], units["round_s"], units["uplink_bits"]) == (b"Hz", b"s", b"bit")
        pd.testing.assert_frame_equal(written.to_pandas(), frame, check_dtype=False)
        csv = pd.read_csv(tmp_path / f"{name}.csv")
        np.testing.assert_allclose(csv["round_s"], frame["round_s"], rtol=1e-14)
    assert {one.name for one in MEASURES} <= set(result.table().columns)


@pytest.mark.slow
def test_a_failed_member_is_told_and_remembered(timing, tmp_path, monkeypatch) -> None:
    run_member = processes.run_member

    def fails(member, on_progress):
        if member.seed == 1 and member.point[BANDWIDTH] == 5e6:
            raise ZeroDivisionError("by nothing")
        return run_member(member, on_progress)

    monkeypatch.setattr(processes, "run_member", fails)
    live = sweep(timing(), VARY, seeds=[0, 1], out=tmp_path, jobs=1)
    for result in (live, read_study(tmp_path)):
        assert result.runs["status"].tolist() == ["finished"] * 3 + ["failed"]
        assert result.runs["error"].iloc[-1] == "by nothing"
        assert result.table()["failed"].tolist() == [0, 1]
        ((member, error),) = result.failures.items()
        assert member.label == "bandwidth=5 MHz, uniform seed 1"
        assert "ZeroDivisionError: by nothing" in error.__notes__[0]
    assert load(member.folder / "scenario.yaml").seed == 1  # how to run it again
    assert finished(tmp_path) == (3, 4)
    monkeypatch.setattr(processes, "run_member", run_member)
    mended = sweep(timing(), VARY, seeds=[0, 1], out=tmp_path, jobs=1)
    assert not mended.failures
    assert not read_study(tmp_path).failures


def test_everything_is_checked_before_anything_runs(timing, tmp_path, runs) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"with count=2: .*there are 2 clients"):
        sweep(timing(), {"devices.count": [6, 2]}, out=out, jobs=1)
    with pytest.raises(InputError, match="unknown strategy 'unifrom'"):
        sweep(timing(), VARY, ["unifrom"], out=out, jobs=1)
    with pytest.raises(InputError, match="at least one seed"):
        sweep(timing(), VARY, seeds=[], out=out, jobs=1)
    with pytest.raises(InputError, match="unknown executor"):
        sweep(timing(), VARY, out=out, jobs=1, executor="rya")
    assert not runs
    assert not out.exists()


def test_what_is_to_be_replaced_stays_until_all_is_checked(timing, tmp_path, runs) -> None:
    state = tmp_path / "count=6" / "uniform" / "seed-0" / "checkpoint" / "round-000001.safetensors"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"of an unfinished run")
    with pytest.raises(InputError, match="with count=2"):
        sweep(timing(), {"devices.count": [6, 2]}, out=tmp_path, jobs=1, overwrite=True)
    assert state.exists()
    sweep(timing(), {"devices.count": [6, 5]}, out=tmp_path, jobs=1, overwrite=True)
    assert len(runs) == 2
    assert not state.parent.exists()


def test_values_without_an_effect_are_refused(timing, runs) -> None:
    with pytest.raises(InputError, match="are the same"):
        sweep(timing(), {BANDWIDTH: ["1 MHz", "1000 kHz"]}, jobs=1)
    unused = {"strategy.participation.expected": [2, 3]}
    with pytest.raises(InputError, match=r"strategies\.NAME"):
        sweep(timing(), unused, ["everyone"], jobs=1)
    assert not runs


def test_a_sweep_does_not_go_where_a_comparison_is(timing, tmp_path, runs) -> None:
    sweep(timing(), VARY, out=tmp_path, jobs=1)
    document = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps(document | {"kind": "comparison"}))
    with pytest.raises(InputError, match="holds a comparison; choose another --out"):
        sweep(timing(), VARY, out=tmp_path, jobs=1)


def test_the_memo_spares_the_training_of_another_channel(small, tmp_path: Path) -> None:
    scenario = small("stop.rounds=2", "strategy={kind: full}")
    swept = sweep(scenario, VARY, jobs=1, memo=tmp_path / "memo")
    first, second = (swept.trace(member).summary["host"]["memo"] for member in swept.members)
    assert first["hits"] == second["misses"] == 0
    assert first["misses"] >= second["hits"] >= 2  # evaluations are also known to the process


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "holds no comparison or sweep"), ("{", "is damaged"), ("[]", "another version")],
)
def test_what_is_no_study_is_said_to_be_none(tmp_path: Path, text, message) -> None:
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_study(tmp_path)


def test_folders_that_cannot_be_written_are_told_before_anything_runs(timing, tmp_path, runs):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="file is a file, not a folder"):
        sweep(timing(), VARY, out=file, jobs=1)
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        sweep(timing(), VARY, out=file / "below", jobs=1)
    assert not runs
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    "vary",
    [
        VARY,
        {"network.fading.kind": ["none", "rayleigh_block"]},
        {BANDWIDTH: ["500 kHz", "50 MHz"], "devices.count": [6, 9]},
        {BANDWIDTH: ["500 kHz", "5 MHz"], "devices.count": [6], "server.deadline": ["9 h", None]},
    ],
    ids=["line", "words", "map", "three"],
)
@pytest.mark.slow
def test_pictures_of_one_two_and_three_axes(timing, tmp_path: Path, vary) -> None:
    result = sweep(timing("stop.rounds=1"), vary, ["uniform", "everyone"], jobs=1)
    result.plot(tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "sweep.svg").read_text(encoding="utf-8")
    assert "time of a round" in text
    first = (tmp_path / "sweep.svg").read_bytes()
    result.plot(tmp_path / "sweep.png")
    assert (tmp_path / "sweep.svg").read_bytes() == first


@pytest.mark.slow
def test_speedups_are_those_of_a_comparison_at_the_point(small) -> None:
    """Real training, as there is no target without."""
    from wirelessfl.study import compare

    scenario = small("stop.target={metric: loss, below: 3, smooth: 2}")
    result = sweep(scenario, VARY, ["full", "uniform"], [0, 1], jobs=1)
    table = result.table()
    assert table["reached"].tolist() == [2, 2, 2, 2]
    at = compare(small("stop.target={metric: loss, below: 3, smooth: 2}", f"{BANDWIDTH}=5 MHz"),
                 ["full", "uniform"], [0, 1], jobs=1).table()  # fmt: skip
    there = table[table[BANDWIDTH] == 5e6].reset_index(drop=True)
    columns = ["strategy", "runs", "reached", "time_s", "time_low_s", "speedup", "speedup_low"]
    pd.testing.assert_frame_equal(there[columns], at[columns])


def test_traces_on_disk_are_read_when_asked_for(timing, tmp_path: Path) -> None:
    result = sweep(timing(), VARY, out=tmp_path, jobs=1)
    assert not result.traces
    member = result.members[0]
    pd.testing.assert_frame_equal(
        result.trace(member).rounds, Trace.read(tmp_path / "bandwidth=500kHz/uniform/seed-0").rounds
    )
