"""The examples of docs/extending.md work, and are as short as the page promises."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np

from tests.learning.checkpoints import tokenizer
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.texts import encode

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
TASK, BRANCH, METHOD = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)

DEVICE = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)[0]


def test_the_device_is_one():
    from wirelessfl.scenario import loads
    from wirelessfl.simulation import simulate

    others = "name: own\nstop: {rounds: 2}\nlearning: {task: {kind: none}}\n"
    scenario = loads(
        f"{others}strategy: {{kind: full}}\n{DEVICE}", "own.yaml", ["devices.jitter={kind: none}"]
    )
    clients = simulate(scenario).clients
    own = clients[clients["profile"] == "lab-pi"]
    assert len(own) == 2 * 6
    assert (own["compute_s"] >= 0.5).all()
    np.testing.assert_allclose(own["compute_j"], 7.0 * own["compute_s"])


def test_each_is_under_forty_lines():
    for code in (TASK + BRANCH, METHOD):
        assert len(code.splitlines()) < 40


def test_the_task_is_one():
    example = types.ModuleType("example")
    sys.modules["example"] = example  # where pydantic looks for the names in annotations
    exec(compile(TASK, "extending.md", "exec", dont_inherit=True), vars(example))
    corpus = example.sums_corpus(example.SumsTask())
    assert len(corpus.train) + len(corpus.test) == 100
    task = encode(corpus, tokenizer(), 16)
    assert len(task.train) == len(corpus.train)
    assert set(task.owners.tolist()) == set(range(10))
    assert (task.train.predictions > 0).all()


def test_the_method_is_one():
    from wirelessfl.learning.layout import Layout, LoraModule

    names: dict = {"__name__": "example"}
    exec(compile(METHOD, "extending.md", "exec", dont_inherit=True), names)
    layout = Layout(2, (LoraModule("layer", 3, 2, 1.0, 0),), (), 10)
    method = names["Median"](layout, 0)
    model = np.arange(10, dtype=np.float32)
    assert method.start(model, GradientJob(0, 0, 1, 1)).compact.tolist() == [0, 1, 2, 3, 4]
    updates = [np.full(10, value, np.float32) for value in (1.0, 2.0, 9.0)]
    jobs = [GradientJob(0, client, 1, 1) for client in range(3)]
    change = method.combine(model, jobs, updates, np.array([0.5, 0.25, 0.25]))
    assert change.tolist() == [2.0] * 10
    assert not method.combine(model, [], [], np.zeros(0)).any()
