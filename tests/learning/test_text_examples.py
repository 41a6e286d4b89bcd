"""What the text examples in scenarios/ say, with models that are large enough to learn it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import FOLDER
from tests.learning.checkpoints import save_checkpoint
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate

SMALL = (
    "learning.model={kind: tiny-lm, hidden: 32, layers: 1, heads: 2, vocabulary: 500, "
    "pretrain_steps: 60}"
)


def test_the_help_desk_learns_its_topics():
    trace = simulate(load(FOLDER / "help-desk.yaml", [SMALL, "stop.rounds=12", "evaluate.every=6"]))
    accuracy = trace.rounds["accuracy"].dropna().tolist()
    assert accuracy[0] < 0.5
    assert accuracy[-1] > accuracy[0] + 0.2
    assert set(trace.holdings["class"]) == {"account", "billing", "delivery", "praise"}


STRONG = "learning.local={steps: 10, batch: 16, optimizer: adamw, lr: 0.01}"


def test_the_notebooks_are_learnt():
    overrides = [SMALL, STRONG, "stop.rounds=6", "evaluate.every=6"]
    trace = simulate(load(FOLDER / "notebooks.yaml", overrides))
    before, after = trace.rounds["perplexity"].dropna()
    assert after < 0.9 * before
    assert "bakery.txt" in set(trace.holdings["class"])


def test_the_held_out_loss_of_pydoc_falls():
    overrides = ["devices.count=6", "strategy={kind: full}", "stop.rounds=5", "evaluate.every=5"]
    trace = simulate(load(FOLDER / "pydoc-packages.yaml", [SMALL, STRONG, *overrides]))
    before, after = trace.rounds["loss"].dropna()
    assert after < before - 0.05


def test_the_example_with_a_checkpoint_runs_with_one(tmp_path: Path):
    folder = save_checkpoint("distilbert", tmp_path / "my-distilbert")
    model = f"learning.model={{kind: huggingface, path: {folder}}}"
    path = FOLDER / "own-checkpoint.yaml"
    trace = simulate(load(path, [model, "stop.rounds=1", "learning.lora.targets=[q_lin, v_lin]"]))
    assert trace.rounds["loss"].notna().all()
    assert trace.summary["task"]["kind"] == "table"


@pytest.mark.slow
def test_pre_training_at_full_size_is_worth_it():
    small, full = (
        simulate(load(FOLDER / "notebooks.yaml", [*override, "stop.rounds=1"]))
        for override in ([SMALL], [])
    )
    assert full.rounds["loss"].iloc[0] < small.rounds["loss"].iloc[0]
