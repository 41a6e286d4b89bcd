"""Runs in worker processes: what a killed, a crashed or an interrupted one does to the others."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario
from wirelessfl.simulation import Progress
from wirelessfl.study import pool, processes
from wirelessfl.study.executor import Member
from wirelessfl.study.pool import find_executor, run_members
from wirelessfl.study.processes import KilledError, portable
from wirelessfl.trace import Trace


def members_of(timing: Callable[..., Scenario], count: int) -> list[Member]:
    return [Member("uniform", timing(f"seed={seed}"), None) for seed in range(count)]


def rounds_of(outcome: object) -> pd.DataFrame:
    assert isinstance(outcome, Trace), outcome
    return outcome.rounds


class Reaper:
    """Kills every worker at the first progress of a member, as often as it is told."""

    def __init__(self, member: Member, times: int) -> None:
        self.member, self.times = member, times

    def __call__(self, member: Member, progress: Progress) -> None:
        if member is self.member and progress.round == 1 and self.times:
            self.times -= 1
            for worker in multiprocessing.active_children():
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)


@pytest.mark.slow
def test_runs_whose_process_is_killed_are_run_again_to_the_same_result(timing):
    members = members_of(timing, 3)
    here = dict(run_members(members, jobs=1))
    reaper = Reaper(members[0], times=1)
    away = dict(run_members(members, 2, reaper))
    assert reaper.times == 0
    for member in members:
        pd.testing.assert_frame_equal(rounds_of(away[member]), rounds_of(here[member]))


@pytest.mark.slow
def test_a_run_whose_process_is_killed_twice_has_failed_and_the_others_complete(timing):
    long = Member("uniform", timing("stop.rounds=3000"), None)  # not over before it is killed
    members = [long, *members_of(timing, 3)[1:]]
    found = dict(run_members(members, 2, Reaper(long, times=2)))
    assert isinstance(found[members[0]], KilledError)
    assert str(found[members[0]]).startswith("its process was killed by SIGKILL, twice")
    for member in members[1:]:
        assert rounds_of(found[member])["round"].max() == 4
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_who_leaves_early_leaves_no_process_behind(timing, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "GRACE_S", 60.0)
    with closing(run_members(members_of(timing, 4), 2)) as outcomes:
        next(outcomes)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def fails_with(error: Exception, of: Member, monkeypatch: pytest.MonkeyPatch) -> list[Member]:
    """Lets runs fail, or end at once; what was asked to run is listed."""
    asked: list[Member] = []

    def run_member(member: Member, on_progress: object) -> object:
        asked.append(member)
        if member is of:
            raise error
        return "a trace"

    monkeypatch.setattr(processes, "run_member", run_member)
    return asked


def test_a_crash_is_an_outcome_with_its_traceback_and_the_rest_completes(timing, monkeypatch):
    members = members_of(timing, 3)
    fails_with(ZeroDivisionError("by nothing"), members[1], monkeypatch)
    found = dict(run_members(members, jobs=1))
    assert found[members[0]] == found[members[2]] == "a trace"
    crash = found[members[1]]
    assert isinstance(crash, ZeroDivisionError)
    assert "raise error\nZeroDivisionError: by nothing" in crash.__notes__[0]


def test_wrong_input_needs_no_traceback(timing, monkeypatch):
    members = members_of(timing, 1)
    fails_with(InputError("no such thing"), members[0], monkeypatch)
    ((_, error),) = run_members(members, jobs=1)
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_nothing_is_started_once_the_disk_is_full(timing, monkeypatch, number: int):
    members = members_of(timing, 4)
    asked = fails_with(OSError(number, "full"), members[1], monkeypatch)
    found = dict(run_members(members, jobs=1))
    assert asked == members[:2] == list(found)


def test_other_trouble_with_files_stops_nobody(timing, monkeypatch):
    members = members_of(timing, 3)
    asked = fails_with(OSError(errno.ENOENT, "gone"), members[1], monkeypatch)
    dict(run_members(members, jobs=1))
    assert asked == members


def test_an_exception_that_cannot_travel_is_told_in_words():
    class StubbornError(Exception):
        def __reduce__(self):
            raise TypeError("no")

    error = StubbornError("what happened")
    error.add_note("where it happened")
    plain = portable(error)
    assert isinstance(plain, RuntimeError)
    assert str(plain) == "StubbornError: what happened"
    assert plain.__notes__ == ["where it happened"]


def test_unknown_executors_and_a_missing_ray_are_clear_errors(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="did you mean 'local'"):
        find_executor("locl")
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs Ray: .*wirelessfl\[ray\]"):
        find_executor("ray")


@pytest.mark.slow
def test_ray_gives_the_same_tables_and_files(timing, tmp_path: Path):
    pytest.importorskip("ray")
    scenario = timing()
    folders = {name: tmp_path / name for name in ("local", "ray")}
    for name, folder in folders.items():
        members = [
            Member("uniform", scenario.model_copy(update={"seed": seed}), folder / str(seed))
            for seed in range(2)
        ]
        found = dict(run_members(members, 2 if name == "ray" else 1, executor=name))
        assert all(isinstance(outcome, Trace) for outcome in found.values())
    for seed, table in ((s, t) for s in "01" for t in ("rounds", "clients", "events")):
        ray, local = (folders[name] / seed / f"{table}.parquet" for name in ("ray", "local"))
        assert ray.read_bytes() == local.read_bytes()
