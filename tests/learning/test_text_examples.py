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


@pytest.mark.slow
def test_the_help_desk_learns_its_topics():
    trace = simulate(load(FOLDER / "help-desk.yaml", [SMALL, "stop.rounds=12", "evaluate.every=6"]))
    accuracy = trace.rounds["accuracy"].dropna().tolist()
    assert accuracy[0] < 0.5
    assert accuracy[-1] > accuracy[0] + 0.2
    assert set(trace.holdings["class"]) == {"account", "billing", "delivery", "praise"}


def test_the_example_with_a_checkpoint_runs_with_one(tmp_path: Path):
    folder = save_checkpoint("distilbert", tmp_path / "my-distilbert")
    model = f"learning.model={{kind: huggingface, path: {folder}}}"
    path = FOLDER / "own-checkpoint.yaml"
    trace = simulate(load(path, [model, "stop.rounds=1", "learning.lora.targets=[q_lin, v_lin]"]))
    assert trace.rounds["loss"].notna().all()
    assert trace.summary["task"]["kind"] == "table"


@pytest.mark.slow  # a model of 60 pre-training steps has too much else to learn
def test_the_notebooks_are_learnt():
    trace = simulate(load(FOLDER / "notebooks.yaml", ["stop.rounds=8", "evaluate.every=8"]))
    before, after = trace.rounds["perplexity"].dropna()
    assert after < 0.75 * before  # 139 and 86 when it was written
    assert "bakery.txt" in set(trace.holdings["class"])


@pytest.mark.slow
def test_the_held_out_loss_of_pydoc_falls():
    overrides = ["strategy={kind: full}", "stop.rounds=5", "evaluate.every=5"]
    trace = simulate(load(FOLDER / "pydoc-packages.yaml", overrides))
    before, after = trace.rounds["loss"].dropna()
    assert after < before - 0.03  # 0.07 with 20 clients
