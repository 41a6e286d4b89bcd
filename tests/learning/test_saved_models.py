"""What a run saves is the model that it evaluated, whatever its method put into frozen weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load as read

from tests.learning.conftest import BuildLearner, trained
from tests.learning.test_huggingface import scenario_of
from wirelessfl.learning.assemble import assemble
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.shifted import shifted
from wirelessfl.learning.task import sample_losses
from wirelessfl.learning.tiny_vit import tiny_vit
from wirelessfl.scenario import load
from wirelessfl.scenario.adapter import FixedAdapter, Method
from wirelessfl.simulation import simulate


@pytest.fixture(scope="module", params=[False, True], ids=["lora", "rslora"])
def learner(request: pytest.FixtureRequest, build: BuildLearner) -> Learner:
    return build(lora={"rslora": request.param})


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # asked by PEFT
@pytest.mark.parametrize("name", get_args(Method))
def test_the_saved_adapter_is_the_model_that_is_evaluated(
    name: str, learner: Learner, tmp_path: Path
):
    method = learner.method(FixedAdapter(method=name))
    model = method.initial(trained(learner, 1))
    learner.train([GradientJob(0, 2, 1, 8)], {0: model}, method)  # fedsa keeps what came of it
    dense = len(model) - learner.parameters
    model[learner.parameters :] += np.random.default_rng(4).normal(scale=0.02, size=dense)
    model = method.settled(model)  # and yet of full rank, which no adapter of rank gamma holds
    files = learner.adapter_files(model, method)
    assert files == learner.adapter_files(model, method)
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)

    images = digits_task().test.inputs["pixel_values"]
    base = tiny_vit(learner._config.model, digits_task()).model.eval()
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(base, str(tmp_path))(images).logits
        learner.layout.write(learner._model, method.adapter(model))
        with shifted(learner._model, learner.layout, method.residual(model)):
            evaluated = learner._model(images).logits
    torch.testing.assert_close(loaded, evaluated, atol=1e-4, rtol=1e-5)
    rank = json.loads((tmp_path / "adapter_config.json").read_text())["r"]
    assert (rank > learner.rank) == (name in ("fedex", "flora"))


def test_a_model_that_left_the_finite_numbers_is_saved_as_what_it_is(learner: Learner):
    method = learner.method(FixedAdapter(method="flora"))
    model = method.initial(learner.initial)
    model[learner.parameters] = np.inf
    tensors = read(learner.adapter_files(model, method)["adapter_model.safetensors"])
    assert any(np.isnan(tensor).any() for tensor in tensors.values())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # asked by PEFT
@pytest.mark.parametrize("method", ["fedex", "flora"])
@pytest.mark.parametrize("name", ["gpt2-classes", "qwen2"])  # Conv1D, and grouped keys and values
@pytest.mark.slow
def test_a_run_on_an_own_checkpoint_saves_what_it_merged(name: str, method: str, tmp_path: Path):
    scenario_of(name, tmp_path)
    strategy = f"strategy={{kind: full, adapter: {{method: {method}}}}}"
    scenario = load(tmp_path / "own.yaml", [strategy, "learning.local.lr=0.5"])
    trace = simulate(scenario)
    trace.write(tmp_path / "run")
    base, task = assemble(scenario.learning)
    loaded = PeftModel.from_pretrained(base.model, str(tmp_path / "run" / "adapter")).eval()
    with torch.no_grad():
        losses = sample_losses(loaded(**task.test.inputs).logits, task.test.labels)
        fresh = sample_losses(loaded.unload()(**task.test.inputs).logits, task.test.labels)
    predictions = task.test.predictions.sum()
    last = trace.rounds["loss"].iloc[-1]
    assert losses.sum() / predictions == pytest.approx(last, rel=1e-5)
    assert fresh.sum() / predictions != pytest.approx(last, rel=1e-3)
