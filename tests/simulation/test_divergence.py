"""Training that leaves the finite numbers: what is kept, and what is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from peft import PeftModel

from wirelessfl.learning.assemble import assemble
from wirelessfl.learning.learner import Learner
from wirelessfl.scenario import load
from wirelessfl.simulation import simulate
from wirelessfl.trace import Trace

SCENARIO = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
SMALL = (
    "devices.count=8",
    "stop={rounds: 6}",
    "strategy={kind: full}",
    "learning.model={kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}",
    "learning.lora={rank: 4, alpha: 8}",
    "learning.local={steps: 1, batch: 4, lr: 0.05}",
)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """In round 4 client 5's training goes wrong."""
    work = Learner._work

    def with_a_bad_start(self, job, model, method):
        made = work(self, job, model, method)
        if (job.round, job.client) == (4, 5):
            made.start.compact[:] = np.inf
        return made

    monkeypatch.setattr(Learner, "_work", with_a_bad_start)


@pytest.mark.usefixtures("poisoned")
def test_a_run_that_diverges_keeps_the_rounds_before(tmp_path: Path):
    trace = simulate(load(SCENARIO, SMALL))
    assert "client 5 met a non-finite loss in round 4" in trace.summary["diverged"]
    assert trace.rounds["round"].tolist() == [0, 1, 2, 3]
    trace.write(tmp_path)
    assert Trace.read(tmp_path).summary["diverged"] == trace.summary["diverged"]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.usefixtures("poisoned")
def test_or_drops_the_update_and_goes_on():
    trace = simulate(load(SCENARIO, (*SMALL, "learning.local.on_nonfinite=drop")))
    assert trace.summary["diverged"] is None
    assert trace.rounds["round"].tolist() == list(range(7))
    fourth = trace.clients[trace.clients["round"] == 4].set_index("client")
    assert fourth["outcome"].to_dict() == {
        client: "lost" if client == 5 else "completed" for client in range(8)
    }
    assert np.isnan(fourth.loc[5, "train_loss"])
    assert trace.rounds["lost"].tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert np.isfinite(trace.rounds["loss"].dropna()).all()
    assert trace.rounds["server_version"].iloc[-1] == 6


@pytest.mark.slow
def test_the_command_says_so_and_keeps_the_trace(tmp_path: Path):
    overrides = [arg for o in (*SMALL, "learning.local.lr=1e30") for arg in ("--set", o)]
    overrides += ["--set", "learning.local.clip_norm=null"]
    done = subprocess.run(
        [sys.executable, "-m", "wirelessfl.cli", "run", SCENARIO, "--out", "run", *overrides],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "stopped early: training diverged: client" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stdout + done.stderr
    assert Trace.read(tmp_path / "run").rounds["round"].iloc[0] == 0


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # asked by PEFT
def test_a_runs_adapter_is_the_model_it_ended_with(tmp_path: Path):
    scenario = load(SCENARIO, SMALL)
    trace = simulate(scenario)
    trace.write(tmp_path)
    base, task = assemble(scenario.learning)
    loaded = PeftModel.from_pretrained(base.model.eval(), str(tmp_path / "adapter"))
    logits = loaded(**task.test.inputs).logits
    right = (logits.argmax(1) == task.test.labels).float().mean().item()
    assert right == pytest.approx(trace.rounds["accuracy"].iloc[-1])
