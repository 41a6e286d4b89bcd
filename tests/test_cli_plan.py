"""`wirelessfl plan`: what a strategy would do and why, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.examples import FOLDER
from tests.test_cli import wirelessfl

TIMES = FOLDER / "closed-form.yaml"


def planned(tmp_path: Path, *arguments: object) -> dict:
    done = wirelessfl("plan", *arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_length_of_a_round_is_what_a_run_then_takes(tmp_path: Path):
    """Equal boards on a channel that never changes; a timing-only run only estimates the FLOPs."""
    still = ("--set", "network.uplink.power_mode=per_rb")
    found = planned(tmp_path, TIMES, "--strategy", "full", *still)
    run = wirelessfl("run", TIMES, *still, "--timing-only", "--out", "run", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    from wirelessfl.trace import Trace

    lengths = Trace.read(tmp_path / "run").rounds["duration_s"].iloc[1:]
    assert found["round_s"]["mean"] == pytest.approx(lengths.mean(), rel=1e-6)
    assert found["round_s"]["p05"] == pytest.approx(found["round_s"]["p95"])
    assert found["rounds"]["relative"] == pytest.approx(1.0)
    assert [client["probability"] for client in found["clients"]] == [1.0] * 4


@pytest.mark.slow
def test_a_plan_explains_itself_and_keeps_to_its_limits(small_file: Path, tmp_path: Path):
    limits = "{expected_max: 2.5, traffic_budget: {per_round: 20 kB}}"
    found = planned(tmp_path, small_file, "--set",
                    f"strategy={{kind: adaptive, participation: {limits}}}")  # fmt: skip
    clients = found["clients"]
    q = np.array([client["probability"] for client in clients])
    assert found["expected_participants"] == pytest.approx(q.sum())
    assert q.sum() == pytest.approx(2.5, rel=0.01)
    assert sum(client["time_share"] for client in clients) == pytest.approx(1.0)
    assert sum(client["noise_share"] for client in clients) == pytest.approx(1.0)
    assert found["rounds"]["relative"] == pytest.approx(
        1 + found["rounds"]["noise_to_signal"] + found["rounds"]["drift"]
    )
    assert found["round_s"]["p05"] <= found["round_s"]["p50"] <= found["round_s"]["p95"]
    assert "taken as equally long and unrelated" in found["assumption"]


@pytest.mark.slow
def test_a_table_for_people_names_kinds_and_clients(tmp_path: Path):
    done = wirelessfl("plan", FOLDER / "campus-timing.yaml", "--strategy", "uniform", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words in ("taken as equal", "By kind of device", "adds if in", "of the noise", "median"):
        assert words in done.stdout


@pytest.mark.slow
def test_norms_of_a_finished_run_change_the_plan(small_file: Path, tmp_path: Path):
    run = wirelessfl("run", small_file, "--out", "run", "--set", "strategy.kind=full",
                     cwd=tmp_path)  # fmt: skip
    assert run.returncode == 0, run.stderr
    blind = planned(tmp_path, small_file)
    seeing = planned(tmp_path, small_file, "--from", "run")
    assert "are those of run" in seeing["assumption"]
    noise = [[client["noise_share"] for client in found["clients"]] for found in (blind, seeing)]
    assert np.abs(np.subtract(*noise)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "nowhere"), "nowhere holds no finished run"),
        (("--strategy", "no-such"), "no-such"),
        (("--strategy", "fedbuff"), "'fedbuff' is asynchronous and has no rounds to plan"),
        (("--strategy", "fedasync"), "'fedasync' is asynchronous and has no rounds to plan"),
        (("--set", "strategy={kind: adaptive, participation: {expected_max: 0.001}}"),
         "expected_max is 0.001, but q_min and max_weight ask for"),
        (("--set", "strategy={kind: adaptive, participation: {energy_budget: {}}}"),
         "a budget needs per_round or per_hour"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_one_clear_error(
    small_file: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
):
    done = wirelessfl("plan", small_file, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_draws_with_replacement_are_planned_before_any_pilot(small_file: Path, tmp_path: Path):
    found = planned(tmp_path, small_file, "--set",
                    "strategy={kind: fixed_k, participation: {expected: 3}}")  # fmt: skip
    assert 0 < found["expected_participants"] < 3  # some are drawn twice


@pytest.mark.slow
def test_a_plan_that_asks_more_than_it_waits_for_says_what_its_times_are(
    small_file: Path, tmp_path: Path
):
    found = planned(tmp_path, small_file, "--set",
                    "strategy={kind: deadline, participation: {expected: 3}}")  # fmt: skip
    assert "of waiting for all who are asked, though the first 3 end" in found["assumption"]
    assert found["expected_participants"] == pytest.approx(4)
