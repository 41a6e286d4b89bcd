"""Runs that learn from text, from the scenario's YAML to the files of the trace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.examples import FOLDER, TINY_TEXT, tiny
from wirelessfl.errors import InputError
from wirelessfl.learning.evaluation import evaluation_batch
from wirelessfl.learning.learner import build_learner
from wirelessfl.learning.pydoc import pydoc_corpus
from wirelessfl.scenario import Scenario, load
from wirelessfl.scenario.describe import list_text
from wirelessfl.simulation import simulate
from wirelessfl.simulation.world import check
from wirelessfl.trace import Trace

Small = Callable[..., Scenario]
TEXT = (TINY_TEXT, "learning.task={kind: pydoc, max_tokens: 16}", "learning.partition.kind=natural")
FEW = "strategy.participation.expected=3"


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Trace]:
    overrides = (*TEXT, "devices.count=6", "stop.rounds=2", "evaluate.every=2", FEW)
    scenario = load(FOLDER / "pydoc-packages.yaml", (*overrides, "learning.local.steps=1"))
    return simulate(scenario), simulate(scenario)


@pytest.mark.slow
def test_a_run_on_pydoc_learns_and_is_the_same_every_time(traces: tuple[Trace, Trace]):
    one, two = traces
    assert one.rounds.equals(two.rounds)
    assert one.clients.equals(two.clients)
    loss, perplexity = one.rounds["loss"].dropna(), one.rounds["perplexity"].dropna()
    assert len(loss) == 2
    assert loss.iloc[1] < loss.iloc[0] < np.log(300) + 0.5
    np.testing.assert_allclose(perplexity, np.exp(loss))
    assert one.rounds["accuracy"].isna().all()


@pytest.mark.slow
def test_how_many_samples_are_evaluated_at_once_changes_no_metric(monkeypatch: pytest.MonkeyPatch):
    overrides = (*TEXT, "devices.count=6", "learning.task.test_fraction=0.05")
    learning = load(FOLDER / "pydoc-packages.yaml", overrides).learning
    learner = build_learner(learning, 6, 0)
    whole = learner.evaluate(learner.initial, learner.method())
    monkeypatch.setattr("wirelessfl.learning.evaluation._BYTES", 7.5 * 4 * 16 * 300)
    assert evaluation_batch(learner._model, learner._test) == 7
    learner._evaluated.clear()
    assert learner.evaluate(learner.initial, learner.method()) == pytest.approx(whole, rel=1e-6)


@pytest.mark.slow
def test_a_trace_says_what_the_data_were_and_who_held_them(traces: tuple[Trace, Trace], tmp_path):
    trace, corpus = traces[0], pydoc_corpus()
    assert trace.summary["task"]["kind"] == "pydoc"
    assert trace.summary["task"]["fingerprint"] == corpus.fingerprint
    assert trace.summary["task"]["train"] == trace.holdings["samples"].sum()
    assert set(trace.holdings["class"]) <= set(corpus.owners)
    assert trace.holdings["class"].is_unique  # a package is at one client only
    assert set(trace.holdings["client"]) == set(range(6))
    trace.write(tmp_path)
    assert (tmp_path / "partition.png").exists()
    assert (tmp_path / "partition.svg").exists()


def test_a_timing_only_run_holds_nothing(small: Small, tmp_path: Path):
    trace = simulate(small().timing_only())
    trace.write(tmp_path)
    assert trace.summary["task"] is None
    assert trace.holdings.empty
    assert not (tmp_path / "partition.png").exists()


def test_the_digits_are_told_by_their_numbers(small: Small):
    trace = simulate(small("stop.rounds=1"))
    assert set(trace.holdings["class"]) == set("0123456789")
    assert trace.holdings["samples"].sum() == trace.summary["task"]["train"] == 1203


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learning.partition={kind: natural}"], "needs owners; digits have none"),
        ([TINY_TEXT], "of kind 'tiny-lm' reads text, not images"),
        (["learning.task={kind: pydoc}"], "of kind 'tiny-vit' reads images, not text"),
        (
            ["learning.task={kind: none}", "learning.partition={kind: natural}"],
            "depends on the data, and a timing-only run",
        ),
        ([*TEXT[:2], "stop.target={metric: accuracy, above: 0.5}"], "not measured by .* 'pydoc'"),
    ],
)
def test_what_does_not_go_together_is_said_at_loading(
    small: Small, overrides: list[str], message: str
):
    with pytest.raises(InputError, match=message):
        small(*overrides)


def test_a_table_without_owners_is_not_natural():
    with pytest.raises(InputError, match=r"learning\.task.* names no owner column"):
        load(FOLDER / "help-desk.yaml", ["learning.task.owner=null"])


def test_more_clients_than_owners_is_one_clear_error():
    path = FOLDER / "notebooks.yaml"
    with pytest.raises(InputError, match=r"6 natural owners .* use at most 6 clients"):
        simulate(load(path, (*tiny(path), "devices.count=7")))


def test_a_missing_target_layer_is_found_without_torch(small: Small):
    scenario = small(*TEXT, "learning.lora.targets=[q_proj, fc9]")
    with pytest.raises(InputError, match="no linear layer is called 'fc9'"):
        check(scenario)
    check(small(*TEXT, "learning.lora.targets=[q_proj, up_proj]"))


def test_timing_only_says_what_it_would_need(small: Small):
    with pytest.raises(InputError, match=r"data of 'pydoc'.*\{kind: none, samples"):
        small(*TEXT).timing_only()
    timed = small(TINY_TEXT, "learning.task={kind: none, samples: 500, tokens: 16}")
    assert simulate(timed).rounds["end_s"].iloc[-1] > 0


def test_every_kind_of_text_task_is_listed():
    for topic, kinds in {
        "task": ["digits", "pydoc", "table", "text_files", "none"],
        "model": ["tiny-vit", "tiny-lm", "huggingface", "sized"],
        "partition": ["dirichlet", "iid", "shards", "natural"],
    }.items():
        text = list_text(topic)
        assert all(f"  {kind}: " in text for kind in kinds)


@pytest.mark.slow
def test_from_the_command_line_to_files(tmp_path: Path):
    overrides = (*TEXT, "devices.count=5", "stop.rounds=1", "learning.local.steps=1", FEW)
    options = [part for override in overrides for part in ("--set", override)]
    scenario = FOLDER / "pydoc-packages.yaml"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "wirelessfl.cli",
            "run",
            scenario,
            *options,
            "--out",
            tmp_path / "o",
        ],
        check=True,
        capture_output=True,
    )
    summary = json.loads((tmp_path / "o" / "summary.json").read_text())
    assert summary["task"]["fingerprint"] == pydoc_corpus().fingerprint
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names >= {"partition.png", "holdings.parquet", "convergence.png", "adapter"}
