"""What each way of sharing an adapter promises, by closed forms and by enumeration."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from tests.learning.conftest import BuildLearner, trained
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.layout import Layout, LoraModule
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.local import LocalResult
from wirelessfl.learning.methods.build import build_method
from wirelessfl.learning.methods.products import products
from wirelessfl.scenario.strategy import FixedAdapter

METHODS = ("fslora", "fedit", "hetlora", "rbla", "flexlora", "ffa", "fedsa", "fedex", "flora")
RANKS = (8, 3, 1)
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def learner(build: BuildLearner) -> Learner:
    return build(local={"steps": 2, "batch": 8})


def method_of(name: str, learner: Learner, **options: str):
    shares = learner.samples / learner.samples.sum()
    return build_method(FixedAdapter(method=name, **options), learner.layout, 5, shares)


def a_round(learner: Learner, name: str, ranks=RANKS, weights=WEIGHTS, **options: str):
    """A method, a model in general position, clients' updates from it, and the model after."""
    method = method_of(name, learner, **options)
    model = method.initial(trained(learner, 3))
    jobs = [GradientJob(0, client, 1, rank) for client, rank in enumerate(ranks)]
    updates = [update.delta for update in learner.train(jobs, {0: model}, method)]
    after = model + method.combine(model, jobs, updates, np.asarray(weights))
    return method, model, updates, after


def whole(method, model) -> list[np.ndarray]:
    """What the model's layers get: scaling B A and what was merged into the frozen weights."""
    layout: Layout = method.layout
    made = products(layout, np.asarray(method.adapter(model), np.float64))
    shift = method.residual(model)
    if shift is None:
        return made
    sizes = np.cumsum([m.d_in * m.d_out for m in layout.modules])[:-1]
    return [p + s.reshape(p.shape) for p, s in zip(made, np.split(shift, sizes), strict=True)]


def local_products(method, model, update, rank: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """scaling B A of a client's first components, before and after its training."""
    layout = method.layout
    before, after = np.zeros(layout.size), np.zeros(layout.size)
    for module in layout.modules:
        rows = layout.components(method.adapter(model), module)[:rank]
        layout.components(before, module)[:rank] = rows
        moved = rows + layout.components(update, module)[:rank]
        layout.components(after, module)[:rank] = moved
    return products(layout, before), products(layout, after)


def test_fedex_moves_the_model_by_exactly_the_weighted_products(learner: Learner):
    method, model, updates, after = a_round(learner, "fedex")
    expected = whole(method, model)
    for update, weight, rank in zip(updates, WEIGHTS, RANKS, strict=True):
        old, new = local_products(method, model, update, rank)
        expected = [e + weight * (n - o) for e, n, o in zip(expected, new, old, strict=True)]
    for got, wanted in zip(whole(method, after), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-8)
    assert np.abs(method.residual(after)).max() > 1e-6  # averaging alone would have missed it


def test_flora_adds_exactly_the_weighted_products(learner: Learner):
    method, model, updates, after = a_round(learner, "flora")
    expected = whole(method, model)
    for update, weight in zip(updates, WEIGHTS, strict=True):
        own = products(learner.layout, update.astype(np.float64))
        expected = [e + weight * p for e, p in zip(expected, own, strict=True)]
    for got, wanted in zip(whole(method, after), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-12)
    assert max(np.abs(p).max() for p in own) > 1e-5
    again = method.start(model, GradientJob(0, 1, 1, 3)).compact
    other = method.start(model, GradientJob(0, 1, 2, 3)).compact
    assert not np.array_equal(again, other)  # a fresh adapter each round


def test_flexlora_is_the_best_adapter_of_its_rank(learner: Learner):
    method, model, updates, after = a_round(learner, "flexlora")
    exact = whole(method, model)
    for update, weight, rank in zip(updates, WEIGHTS, RANKS, strict=True):
        old, new = local_products(method, model, update, rank)
        exact = [e + weight * (n - o) for e, n, o in zip(exact, new, old, strict=True)]
    for got, wanted in zip(whole(method, after), exact, strict=True):
        u, s, vt = np.linalg.svd(wanted)
        best = (u[:, :8] * s[:8]) @ vt[:8]
        np.testing.assert_allclose(got, best, atol=1e-7 * s[0])
    start = method.start(after.astype(np.float32), GradientJob(0, 0, 2, 2)).compact
    (a, b), *_ = learner.layout.factors(start, 2)
    u, s, vt = np.linalg.svd(exact[0] / learner.layout.modules[0].scaling)
    np.testing.assert_allclose(b.T @ a, (u[:, :2] * s[:2]) @ vt[:2], atol=1e-5 * s[0])


def test_flexlora_can_begin_where_there_is_nothing_yet(learner: Learner):
    method = method_of("flexlora", learner)
    model = method.initial(learner.initial)
    change = method.combine(model, [GradientJob(0, 0, 1, 8)], [np.zeros_like(model)], np.ones(1))
    np.testing.assert_allclose(model + change, model)


def test_rbla_averages_a_component_over_those_who_hold_it(learner: Learner):
    _, model, updates, after = a_round(learner, "rbla")
    module = learner.layout.modules[2]
    rows = [learner.layout.components(update, module) for update in updates]
    change = learner.layout.components(after - model, module)
    np.testing.assert_allclose(change[0], sum(w * r[0] for w, r in zip(WEIGHTS, rows, strict=True)))
    np.testing.assert_allclose(change[1], (0.5 * rows[0][1] + 0.3 * rows[1][1]) / 0.8, rtol=1e-5)
    np.testing.assert_allclose(change[5], rows[0][5], rtol=1e-5)


def zero_padded(method, model, updates) -> list[np.ndarray]:
    """Updates that take a client's missing components to zero."""
    padded = []
    for update, rank in zip(updates, RANKS, strict=True):
        whole = update.astype(np.float64)
        for module in method.layout.modules:
            method.layout.components(whole, module)[rank:] = -method.layout.components(
                model, module
            )[rank:]
        padded.append(whole)
    return padded


def test_fedit_counts_missing_components_as_zeros(learner: Learner):
    method, model, updates, after = a_round(learner, "fedit")
    padded = zero_padded(method, model, updates)
    expected = sum(w * u for w, u in zip(WEIGHTS, padded, strict=True))
    np.testing.assert_allclose(after - model, expected, atol=1e-7)


def test_hetlora_weighs_by_the_norm_of_what_was_trained(learner: Learner):
    method, model, updates, after = a_round(learner, "hetlora")
    norms = []
    for update, rank in zip(updates, RANKS, strict=True):
        _, new = local_products(method, model, update, rank)
        norms.append(np.sqrt(sum(np.square(p).sum() for p in new)))
    share = WEIGHTS * norms / (WEIGHTS @ norms)
    expected = sum(s * u for s, u in zip(share, zero_padded(method, model, updates), strict=True))
    np.testing.assert_allclose(after - model, expected, atol=1e-7)
    assert share[0] > WEIGHTS[0]  # who trains more ranks counts more


def test_ffa_averages_products_exactly_and_never_moves_a(learner: Learner):
    method, model, updates, after = a_round(learner, "ffa", ranks=(8, 8, 8))
    layout = learner.layout
    for module in layout.modules:
        for update in updates:
            a, b = np.split(layout.components(update, module), [module.d_in], axis=1)
            assert not a.any()
            assert b.any()
    mean = [np.zeros_like(p) for p in whole(method, model)]
    for update, weight in zip(updates, WEIGHTS, strict=True):
        _, new = local_products(method, model, update, 8)
        mean = [m + weight * p for m, p in zip(mean, new, strict=True)]
    for got, wanted in zip(whole(method, after), mean, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-8)


def test_fedsa_keeps_b_with_its_client_and_evaluates_the_mean(learner: Learner):
    method, model, updates, after = a_round(learner, "fedsa", ranks=(8, 8, 8))
    layout = learner.layout
    for module in layout.modules:
        for update in updates:
            a, b = np.split(layout.components(update, module), [module.d_in], axis=1)
            assert a.any()
            assert not b.any()
    model = after.astype(np.float32)
    starts = [method.start(model, GradientJob(1, client, 2, 8)).compact for client in range(4)]
    size = layout.size - layout.head_size
    _, b_rows = np.split(
        np.arange(layout.compact_sizes(8)[0] + layout.compact_sizes(8)[1]),
        [layout.compact_sizes(8)[0]],
    )
    assert size > 0
    own = [start[b_rows] for start in starts]
    assert not np.allclose(own[0], own[1])
    shares = learner.samples[:3] / learner.samples[:3].sum()
    module = layout.modules[0]
    shown = layout.components(method.adapter(model), module)[:, module.d_in :]
    mean = sum(s * o for s, o in zip(shares, own[:3], strict=True)).reshape(8, module.d_out)
    np.testing.assert_allclose(shown, mean, atol=1e-6)
    shared = layout.components(model, module)[:, module.d_in :].ravel()
    np.testing.assert_allclose(own[3], shared)  # has never trained: B as it was


@pytest.mark.parametrize("name", ["fslora", "ffa", "fedsa"])
def test_linear_methods_are_unbiased_under_independent_sampling(name: str, learner: Learner):
    """Mean over all participant sets of sum a_n / q_n delta_n is sum a_n delta_n."""
    method, model, updates, _ = a_round(learner, name)
    assert method.linear
    jobs = [GradientJob(0, client, 1, rank) for client, rank in enumerate(RANKS)]
    a, q = np.array([0.5, 0.3, 0.2]), np.array([0.9, 0.4, 0.1])
    mean = np.zeros(len(model))
    for members in itertools.product([False, True], repeat=3):
        inside = np.array(members)
        chance = np.prod(np.where(inside, q, 1 - q))
        chosen = [update for update, here in zip(updates, inside, strict=True) if here]
        who = [job for job, here in zip(jobs, inside, strict=True) if here]
        mean += chance * method.combine(model, who, chosen, (a / q)[inside])
    np.testing.assert_allclose(mean, method.combine(model, jobs, updates, a), atol=1e-9)


def test_a_sketch_of_the_update_is_unbiased_for_one_step(build: BuildLearner):
    """Over sketches, gamma/k times the trained components add up to the whole gradient step."""
    learner = build(local={"steps": 1, "batch": 8, "clip_norm": None})
    config = FixedAdapter(method="fslora", sketch_mode="update")
    method = learner.method(config)
    model = trained(learner, 3)
    job = GradientJob(0, 0, 1, 8)
    [full] = learner.train([job], {0: model}, method)
    jobs = [GradientJob(0, 0, 1, rank) for rank in (1, 4)]
    for update in learner.train(jobs, {0: model}, method):
        moved = update.delta != 0
        ratio = update.delta[moved] / np.where(full.delta[moved] == 0, 1.0, full.delta[moved])
        head = learner.layout.head_size
        assert update.loss == pytest.approx(full.loss, abs=1e-6)  # the forward pass is whole
        lora = moved[:-head].sum()
        rank = round(8 * lora / np.count_nonzero(full.delta[:-head]))
        np.testing.assert_allclose(ratio[:lora], 8 / rank, rtol=2e-3)
        np.testing.assert_allclose(ratio[lora:], 1.0, rtol=2e-3)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_an_upload_is_the_bytes_of_what_changed(name: str, rank: int, learner: Learner):
    _, _, [update], _ = a_round(learner, name, ranks=(rank,), weights=[1.0])
    workload = replace(learner.workload, method=name)
    sent = int(np.count_nonzero(update))
    held = {
        "ffa": workload.component_out,
        "fedsa": workload.component_in,
    }.get(name, workload.component_size)
    assert workload.upload_bits(rank) == 32 * (rank * held + workload.head_size)
    assert sent == pytest.approx(workload.upload_bits(rank) / 32, rel=0.02)  # but for exact zeros
    tensor = np.zeros(rank * held + workload.head_size, np.float32)
    header = len(save({"update": np.zeros(0, np.float32)}))
    assert 8 * (len(save({"update": tensor})) - header) == pytest.approx(
        workload.upload_bits(rank), abs=8 * 32
    )


@pytest.mark.parametrize("engine", ["cohort", "reference"])
@pytest.mark.parametrize("name", METHODS)
def test_both_engines_train_every_method(name: str, engine: str, build: BuildLearner):
    learner = build(local={"steps": 2, "batch": 8}, engine=engine)
    before = [p.detach().clone() for p in learner._model.parameters() if not p.requires_grad]
    _, model, updates, after = a_round(learner, name)
    stacked = a_round(build(local={"steps": 2, "batch": 8}), name)
    for update, other in zip(updates, stacked[2], strict=True):
        np.testing.assert_allclose(update, other, atol=2e-5)
    assert len(after) == len(model)
    kept = [p for p in learner._model.parameters() if not p.requires_grad]
    assert all((a == b).all() for a, b in zip(before, kept, strict=True))


# A problem where ranks matter: all clients want the same W of rank 4, one of four can hold it.
TARGET = np.random.default_rng(3).normal(size=(8, 4)) @ np.random.default_rng(4).normal(size=(4, 8))
TARGET /= np.linalg.norm(TARGET, 2)
SQUARE = Layout(4, (LoraModule("w", 8, 8, 1.0, 0),), (), 4 * 16)
SIGMA = np.linalg.svd(TARGET, compute_uv=False)
BEYOND_ONE = float((SIGMA[1:] ** 2).sum() / (SIGMA**2).sum())  # what rank 1 leaves: 0.297
EQUAL, MIXED = (4, 4, 4, 4), (1, 1, 1, 4)


def rounds_of(adapter: dict[str, str], ranks: tuple[int, ...], rounds: int = 400) -> float:
    """||W - target||^2 relative to that of zero, after rounds of two local steps each."""
    shares = np.full(4, 0.25)
    method = build_method(FixedAdapter(**adapter), SQUARE, 1, shares)
    rng = np.random.default_rng(0)
    fresh = np.zeros((4, 16), np.float32)
    fresh[:, :8] = rng.uniform(-(8**-0.5), 8**-0.5, (4, 8))
    model = method.initial(fresh.ravel())
    for round in range(rounds):
        shift = method.residual(model)
        frozen = 0.0 if shift is None else shift.reshape(8, 8)
        updates = []
        jobs = [GradientJob(0, client, round, rank) for client, rank in enumerate(ranks)]
        for job in jobs:
            start = method.start(model, job)
            a, b = (x.astype(float) for x in SQUARE.factors(start.compact, start.rank)[0])
            moves = np.ones(len(start.compact)) if start.trained is None else start.trained
            moves_a, moves_b = SQUARE.factors(moves, start.rank)[0]
            for _ in range(2):
                error = frozen + start.gain * b.T @ a - TARGET
                step_a, step_b = start.gain * b @ error, start.gain * a @ error.T
                a, b = a - 0.2 * moves_a * step_a, b - 0.2 * moves_b * step_b
            change = np.concatenate([a.ravel(), b.ravel()]).astype(np.float32) - start.compact
            updates.append(method.update(model, job, LocalResult(change, 0.0)))
        model = (model + method.combine(model, jobs, updates, shares)).astype(np.float32)
    left = whole(method, model)[0] - TARGET
    return float(np.square(left).sum() / np.square(TARGET).sum())


@pytest.mark.parametrize("name", ["fedit", "hetlora"])
def test_zero_padding_leaves_no_more_than_what_everybody_holds(name: str):
    """One client in four trains rank 4, and what it adds beyond rank 1 is pulled to zero again."""
    assert rounds_of({"method": name}, EQUAL) < 0.001
    assert rounds_of({"method": name}, MIXED) == pytest.approx(BEYOND_ONE, abs=1e-3)


@pytest.mark.parametrize(
    "adapter", [{"sketch_mode": "update"}, {"method": "rbla"}, {"method": "flora"}], ids=str
)
def test_methods_without_padding_reach_the_target_all_the_same(adapter: dict[str, str]):
    assert rounds_of(adapter, MIXED) < 0.001


def test_a_sketch_of_the_forward_pass_has_a_floor_where_k_is_small():
    """gamma / k B S A with k = 1 is of rank 1 whatever the set, so no S can fit the target."""
    assert rounds_of({"method": "fslora"}, EQUAL) < 0.001
    assert rounds_of({"method": "fslora"}, MIXED) == pytest.approx(BEYOND_ONE, abs=5e-3)
    assert rounds_of({"method": "fslora"}, (2, 2, 2, 4)) < 0.4 * BEYOND_ONE


def test_a_frozen_a_spans_what_it_was_drawn_to():
    """FFA cannot reach a target whose rows lie outside those of its A, even at equal ranks."""
    assert 0.3 < rounds_of({"method": "ffa"}, EQUAL) < 0.7
