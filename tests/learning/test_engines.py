"""The stacked engine against one-at-a-time PEFT, and both against the definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from tests.learning.conftest import CLIENTS, BuildLearner, trained
from wirelessfl.learning.jobs import DivergedError, GradientJob, Update, Vector
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.sketch import sketch_diagonal

Models = Mapping[int, Vector]
Jobs = Sequence[GradientJob]

VARIANTS: list[dict[str, Any]] = [
    {},
    {"local": {"momentum": 0.9, "clip_norm": None, "lr": 0.05}},
    {"local": {"clip_norm": 0.1}},
    {"lora": {"sketch": {"per_module": True}}},
    {"lora": {"targets": ["q_proj", "fc2"]}},
    {"partition": {"kind": "dirichlet", "size_sigma": 2.0}},
]


def assert_close(updates: Sequence[Update], others: Sequence[Update], atol: float = 1e-5) -> None:
    for update, other in zip(updates, others, strict=True):
        np.testing.assert_allclose(update.delta, other.delta, rtol=0, atol=atol)
        assert update.loss == pytest.approx(other.loss, abs=atol)
        assert update.samples == other.samples


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_stacking_clients_gives_what_peft_gives_one_by_one(
    variant: dict[str, Any], build: BuildLearner, mixed_jobs: list[GradientJob]
):
    stacked, reference = build(**variant), build(**variant, engine="reference")
    models = {version: trained(stacked, version) for version in range(3)}
    batches = {min(16, stacked.samples[job.client]) for job in mixed_jobs}
    assert len(batches) > 1  # clients with fewer samples than the batch are among them
    expected = reference.train(mixed_jobs, models, reference.method())
    assert_close(stacked.train(mixed_jobs, models, stacked.method()), expected)
    assert min(np.abs(update.delta).max() for update in expected) > 1e-4


def test_at_full_rank_the_reference_is_plain_peft_training(build: BuildLearner):
    reference = build(engine="reference")
    model, start = reference._model, trained(reference, 0)
    job = GradientJob(version=0, client=4, round=9, rank=reference.rank)
    rows = torch.from_numpy(reference._work(job, start, reference.method()).rows)
    reference.layout.write(model, start)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=reference._config.local.lr)
    train = reference._task.train
    for batch in rows:
        optimizer.zero_grad()
        F.cross_entropy(
            model(train.inputs["pixel_values"][batch]).logits, train.labels[batch]
        ).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    expected = reference.layout.read(model) - start
    [update] = reference.train([job], {0: start}, reference.method())
    np.testing.assert_allclose(update.delta, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("engine", ["cohort", "reference"])
@pytest.mark.parametrize("per_module", [False, True])
def test_the_forward_pass_uses_b_s_a(engine: str, per_module: bool, build: BuildLearner):
    learner = build(engine=engine, local={"steps": 1}, lora={"sketch": {"per_module": per_module}})
    start = trained(learner, 0)
    job = GradientJob(version=0, client=2, round=1, rank=3)
    work = learner._work(job, start, learner.method())
    learner.layout.write(learner._model, start)
    diagonals = sketch_diagonal(learner.method().active(job), learner.rank)
    with torch.no_grad():
        for module, diagonal in zip(learner.layout.modules, diagonals, strict=True):
            a = learner._model.get_parameter(f"{module.name}.lora_A.default.weight")
            a *= torch.from_numpy(diagonal)[:, None]
        train, rows = learner._task.train, torch.from_numpy(work.rows[0])
        logits = learner._model(train.inputs["pixel_values"][rows]).logits
        expected = F.cross_entropy(logits, train.labels[rows]).item()
    [update] = learner.train([job], {0: start}, learner.method())
    assert update.loss == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("engine", ["cohort", "reference"])
@pytest.mark.parametrize("per_module", [False, True])
def test_an_update_moves_one_set_of_components_in_a_and_in_b(
    engine: str, per_module: bool, build: BuildLearner
):
    learner = build(engine=engine, lora={"sketch": {"per_module": per_module}})
    job = GradientJob(version=0, client=2, round=1, rank=3)
    start = trained(learner, 0)
    [update] = learner.train([job], {0: start}, learner.method())
    active = learner.method().active(job)
    for module, expected in zip(learner.layout.modules, active, strict=True):
        components = learner.layout.components(update.delta, module)
        a, b = np.split(components, [module.d_in], axis=1)
        assert np.flatnonzero(np.abs(a).sum(1)).tolist() == expected.tolist()
        assert np.flatnonzero(np.abs(b).sum(1)).tolist() == expected.tolist()
    assert np.abs(update.delta[-learner.layout.head_size :]).min() > 0


def test_the_width_of_a_cohort_changes_nothing_but_rounding(
    build: BuildLearner, mixed_jobs: list[GradientJob], models: Models
):
    wide, single = build(cohort_width=CLIENTS), build(cohort_width=1)
    assert_close(
        wide.train(mixed_jobs, models, wide.method()),
        single.train(mixed_jobs, models, single.method()),
    )


def test_an_automatic_width_follows_the_activations(build: BuildLearner):
    small = build(cohort_width="auto")
    assert small._width == 32
    kept = float(small.workload.step.activation_bytes(16, small.rank))
    assert kept < 1e6
    middle, large = (
        build(
            cohort_width="auto",
            model={"kind": "tiny-vit", "hidden": n, "layers": 3, "heads": 2, "pretrain_steps": 2},
        )
        for n in (32, 64)
    )
    kept = float(middle.workload.step.activation_bytes(16, middle.rank))
    assert middle._width == int(20e6 // kept)
    assert 10 < middle._width < 32
    assert large._width == 10


def test_cohorts_are_cut_evenly(build: BuildLearner, mixed_jobs: list[GradientJob]):
    learner = build(cohort_width=6)
    cut = list(learner._cohorts(range(14), mixed_jobs, learner.method()))
    assert cut == [range(5), range(5, 10), range(10, 14)]


def test_the_same_jobs_in_any_order_give_the_same_bytes(
    learner: Learner, mixed_jobs: list[GradientJob], models: Models
):
    forward = learner.train(mixed_jobs, models, learner.method())
    learner.evaluate(trained(learner, 7), learner.method())  # in between: it does not matter
    backward = learner.train(mixed_jobs[::-1], models, learner.method())[::-1]
    for update, again in zip(forward, backward, strict=True):
        assert update.delta.tobytes() == again.delta.tobytes()
        assert update.loss == again.loss


def test_the_thread_count_outside_is_restored_and_has_no_effect(learner: Learner, models: Models):
    job = [GradientJob(version=0, client=1, round=1, rank=8)]
    before = torch.get_num_threads()
    try:
        deltas = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            deltas.append(learner.train(job, models, learner.method())[0].delta.tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert deltas[0] == deltas[1]


def test_training_leaves_the_base_and_the_given_models_alone(
    build: BuildLearner, mixed_jobs: list[GradientJob], models: Models
):
    for engine in ("cohort", "reference"):
        learner = build(engine=engine)
        frozen = [p for p in learner._model.parameters() if not p.requires_grad]
        before = [p.clone() for p in frozen], [m.copy() for m in models.values()]
        learner.train(mixed_jobs, models, learner.method())
        assert all(map(torch.equal, frozen, before[0]))
        assert all(map(np.array_equal, models.values(), before[1]))
        assert all(p.grad is None for p in frozen)


@pytest.mark.parametrize("engine", ["cohort", "reference"])
def test_divergence_names_the_client_and_the_round(engine: str, build: BuildLearner):
    learner = build(engine=engine)
    models = {0: learner.initial, 1: np.full_like(learner.initial, np.inf)}
    jobs = [
        GradientJob(version=int(client == 6), client=client, round=13, rank=8)
        for client in range(8)
    ]
    with pytest.raises(DivergedError, match=r"client 6 .* round 13"):
        learner.train(jobs, models, learner.method())


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (GradientJob(0, CLIENTS, 0, 1), "clients"),
        (GradientJob(0, 0, 0, 0), "rank must be"),
        (GradientJob(0, 0, 0, 9), "rank must be"),
        (GradientJob(5, 0, 0, 1), "version"),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    job: GradientJob, message: str, learner: Learner, models: Models
):
    with pytest.raises(ValueError, match=message):
        learner.train([job], models, learner.method())
