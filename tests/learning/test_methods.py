"""What each way of sharing an adapter promises, by closed forms and by enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.learning.conftest import BuildLearner, trained
from wirelessfl.learning.aggregation import Aggregation, Sampling
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.layout import Layout
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.local import LocalResult
from wirelessfl.learning.methods.build import build_method
from wirelessfl.learning.methods.factors import products
from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.server_step import FixedStep

METHODS = ("fslora", "fedit", "hetlora", "rbla", "flexlora", "ffa", "fedsa", "fedex", "flora")
RANKS = (8, 3, 1)
WEIGHTS = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def learner(build: BuildLearner) -> Learner:
    return build(local={"steps": 2, "batch": 8})


def method_of(name: str, learner: Learner, **options: str):
    shares = learner.samples / learner.samples.sum()
    return build_method(FixedAdapter(method=name, **options), learner.layout, 5, shares)


def jobs_of(ranks) -> list[GradientJob]:
    return [GradientJob(0, client, 1, rank) for client, rank in enumerate(ranks)]


def a_round(learner: Learner, name: str, ranks=RANKS, weights=WEIGHTS, **options: str):
    """A method, a model in general position, what clients send and ask for, the model after."""
    method = method_of(name, learner, **options)
    model = method.initial(trained(learner, 3))
    jobs = jobs_of(ranks)
    sent = [update.delta for update in learner.train(jobs, {0: model}, method)]
    changes = [method.change(model, job, s) for job, s in zip(jobs, sent, strict=True)]
    after = method.settled(model + method.combine(model, jobs, changes, np.asarray(weights)))
    return method, model, sent, changes, after


def whole(method, model) -> list[np.ndarray]:
    """What the model's layers get: scaling B A and what was merged into the frozen weights."""
    layout: Layout = method.layout
    made = products(layout, np.asarray(method.adapter(model), np.float64))
    shift = method.residual(model)
    if shift is None:
        return made
    sizes = np.cumsum([m.d_in * m.d_out for m in layout.modules])[:-1]
    return [p + s.reshape(p.shape) for p, s in zip(made, np.split(shift, sizes), strict=True)]


def local_products(method, model, update, rank: int) -> list[np.ndarray]:
    """scaling B A of a client's first components after its training."""
    layout = method.layout
    after = np.zeros(layout.size)
    for module in layout.modules:
        rows = layout.components(method.adapter(model), module)[:rank]
        layout.components(after, module)[:rank] = rows + layout.components(update, module)[:rank]
    return products(layout, after)


def test_fedex_moves_the_model_by_exactly_the_weighted_products(learner: Learner):
    method, model, sent, _, after = a_round(learner, "fedex")
    expected = [np.zeros_like(p) for p in whole(method, model)]  # nothing is merged yet
    for update, weight, rank in zip(sent, WEIGHTS, RANKS, strict=True):
        new = local_products(method, model, update, rank)
        expected = [e + weight * n for e, n in zip(expected, new, strict=True)]
    for got, wanted in zip(whole(method, after), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-8)
    assert np.abs(method.residual(after)).max() > 1e-6  # averaging alone would have missed it


def test_flora_adds_exactly_the_weighted_products(learner: Learner):
    method, model, sent, _, after = a_round(learner, "flora")
    expected = whole(method, model)
    for update, weight in zip(sent, WEIGHTS, strict=True):
        own = products(learner.layout, update.astype(np.float64))
        expected = [e + weight * p for e, p in zip(expected, own, strict=True)]
    for got, wanted in zip(whole(method, after), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-8)
    assert max(np.abs(p).max() for p in own) > 1e-5
    again = method.start(model, GradientJob(0, 1, 1, 3)).compact
    other = method.start(model, GradientJob(0, 1, 2, 3)).compact
    assert not np.array_equal(again, other)  # a fresh adapter each round


def test_flexlora_is_the_best_adapter_of_its_rank(learner: Learner):
    method, model, sent, _, after = a_round(learner, "flexlora")
    exact = [np.zeros_like(p) for p in whole(method, model)]
    for update, weight, rank in zip(sent, WEIGHTS, RANKS, strict=True):
        new = local_products(method, model, update, rank)
        exact = [e + weight * n for e, n in zip(exact, new, strict=True)]
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
    [job] = jobs_of([8])
    change = method.change(model, job, np.zeros_like(learner.initial))
    np.testing.assert_array_equal(method.settled(model + change), model)


def test_rbla_averages_a_component_over_those_who_hold_it(learner: Learner):
    _, model, sent, _, after = a_round(learner, "rbla")
    module = learner.layout.modules[2]
    rows = [learner.layout.components(update, module) for update in sent]
    change = learner.layout.components(after - model, module)
    np.testing.assert_allclose(change[0], sum(w * r[0] for w, r in zip(WEIGHTS, rows, strict=True)))
    np.testing.assert_allclose(change[1], (0.5 * rows[0][1] + 0.3 * rows[1][1]) / 0.8, rtol=1e-5)
    np.testing.assert_allclose(change[5], rows[0][5], rtol=1e-5)


def test_hetlora_weighs_by_the_norm_of_what_was_trained(learner: Learner):
    method, model, sent, changes, after = a_round(learner, "hetlora")
    norms = []
    for update, rank in zip(sent, RANKS, strict=True):
        new = local_products(method, model, update, rank)
        norms.append(np.sqrt(sum(np.square(p).sum() for p in new)))
    share = WEIGHTS * norms / (WEIGHTS @ norms)
    expected = sum(s * change for s, change in zip(share, changes, strict=True))
    head = learner.layout.size - learner.layout.head_size
    change = after - model
    np.testing.assert_allclose(change[:head], expected[:head], atol=1e-7)
    heads = sum(w * u[head:] for w, u in zip(WEIGHTS, changes, strict=True))
    np.testing.assert_allclose(change[head:], heads, atol=1e-7)
    assert share[0] > WEIGHTS[0]  # who trains more ranks counts more


def test_ffa_averages_products_exactly_and_never_moves_a(learner: Learner):
    method, model, sent, _, after = a_round(learner, "ffa", ranks=(8, 8, 8))
    layout = learner.layout
    for module in layout.modules:
        for update in sent:
            a, b = np.split(layout.components(update, module), [module.d_in], axis=1)
            assert not a.any()
            assert b.any()
    mean = [np.zeros_like(p) for p in whole(method, model)]
    for update, weight in zip(sent, WEIGHTS, strict=True):
        new = local_products(method, model, update, 8)
        mean = [m + weight * p for m, p in zip(mean, new, strict=True)]
    for got, wanted in zip(whole(method, after), mean, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-8)


def test_fedsa_keeps_b_with_its_client_and_evaluates_the_mean(learner: Learner):
    method, model, sent, _, after = a_round(learner, "fedsa", ranks=(8, 8, 8))
    layout = learner.layout
    for module in layout.modules:
        for update in sent:
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


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("hetlora", "rbla")])
def test_sums_are_unbiased_under_independent_sampling(name: str, learner: Learner):
    """Mean over all participant sets of sum a_n / q_n change_n is sum a_n change_n."""
    method, model, _, changes, _ = a_round(learner, name)
    a, q = np.array([0.5, 0.3, 0.2]), np.array([0.9, 0.4, 0.1])
    mean = np.zeros(len(model))
    for members in itertools.product([False, True], repeat=3):
        inside = np.array(members)
        chance = np.prod(np.where(inside, q, 1 - q))
        chosen = [change for change, here in zip(changes, inside, strict=True) if here]
        jobs = [job for job, here in zip(jobs_of(RANKS), inside, strict=True) if here]
        mean += chance * method.combine(model, jobs, chosen, (a / q)[inside])
    everybody = method.combine(model, jobs_of(RANKS), changes, a)
    np.testing.assert_allclose(mean, everybody, atol=1e-9)


@pytest.mark.parametrize("name", ["fedex", "flora"])
def test_methods_that_merge_are_unbiased_in_what_the_layers_get(name: str, learner: Learner):
    method, model, _, changes, _ = a_round(learner, name)
    a, q = np.array([0.5, 0.3, 0.2]), np.array([0.9, 0.4, 0.1])

    def moved(members: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
        chosen = [changes[n] for n in members]
        jobs = [jobs_of(RANKS)[n] for n in members]
        return whole(method, model + method.combine(model, jobs, chosen, weights))

    mean = [np.zeros_like(p) for p in whole(method, model)]
    for inside in itertools.product([False, True], repeat=3):
        members = np.flatnonzero(inside)
        chance = np.prod(np.where(inside, q, 1 - q))
        got = moved(members, (a / q)[members])
        mean = [m + chance * p for m, p in zip(mean, got, strict=True)]
    for got, wanted in zip(mean, moved(np.arange(3), a), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_twice_the_weights_make_twice_the_change(name: str, learner: Learner):
    """So a server's step may be taken after the sum, whatever the method."""
    method, model, _, changes, _ = a_round(learner, name)
    one, two = (
        method.combine(model, jobs_of(RANKS), iter(changes), k * WEIGHTS) for k in (1.0, 2.0)
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_planners_read_norms_of_changes_and_of_their_sum_whatever_the_step(
    name: str, learner: Learner
):
    method, model, sent, changes, _ = a_round(learner, name)
    sampling = Sampling(1, WEIGHTS, 1.0, 1.0)
    half, one = (
        Aggregation(method, FixedStep()).aggregate(
            model, jobs_of(RANKS), sent, WEIGHTS, step, sampling
        )
        for step in (0.5, 1.0)
    )
    np.testing.assert_allclose(half.change, 0.5 * one.change)
    np.testing.assert_allclose(one.squared_norms, [np.square(c).sum() for c in changes], rtol=1e-5)
    assert half.total_squared_norm == one.total_squared_norm
    assert one.total_squared_norm == pytest.approx(np.square(one.change).sum())


@pytest.mark.parametrize("name", ["flexlora", "fedex", "flora"])
def test_a_change_is_as_large_as_what_it_does_to_the_layers(name: str, learner: Learner):
    """Norms of changes are what planners read; a fresh A, say, is no change of the model."""
    method, model, sent, changes, _ = a_round(learner, name)
    layout, head = learner.layout, learner.layout.size - learner.layout.head_size
    for change, update, rank in zip(changes, sent, RANKS, strict=True):
        if name == "flora":
            moved = products(layout, update)
        else:
            new, old = local_products(method, model, update, rank), products(layout, model)
            moved = [n - o for n, o in zip(new, old, strict=True)]
        expected = sum(np.square(layer).sum() for layer in moved) + np.square(update[head:]).sum()
        if name == "fedex":  # whose factors are where clients begin
            factors = change[: layout.size].astype(np.float64)
            expected += np.square(factors[:head]).sum()
        assert np.square(change, dtype=np.float64).sum() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["hetlora", "rbla"])
def test_methods_that_normalise_are_not_sums(name: str, learner: Learner):
    method, model, _, changes, _ = a_round(learner, name)
    pair, weights = jobs_of(RANKS)[:2], np.array([0.5, 0.5])
    both = method.combine(model, pair, changes[:2], weights)
    apart = [
        method.combine(model, pair[n : n + 1], changes[n : n + 1], weights[:1]) for n in (0, 1)
    ]
    assert np.linalg.norm(both - apart[0] - apart[1]) > 1e-3 * np.linalg.norm(both)


def test_fedex_can_be_caught_up_with_from_the_stacks_and_the_averages(learner: Learner):
    """What `Workload.merged_numbers` counts says all: each round's B_n A_n and its new B A."""
    method, weights = method_of("fedex", learner), np.array([0.9, 0.1, 0.4])
    model = method.initial(learner.initial)
    known = [np.zeros_like(p) for p in whole(method, model)]
    average = products(learner.layout, learner.initial)
    for round in (1, 2):
        jobs = [GradientJob(0, client, round, rank) for client, rank in enumerate(RANKS)]
        sent = [u.delta for u in learner.train(jobs, {0: model}, method)]
        stacks = [local_products(method, model, s, k) for s, k in zip(sent, RANKS, strict=True)]
        full = [method.change(model, job, s) for job, s in zip(jobs, sent, strict=True)]
        model = (model + method.combine(model, jobs, full, weights)).astype(np.float32)
        new = products(learner.layout, method.adapter(model))
        for m in range(len(known)):
            added = sum(w * stack[m] for w, stack in zip(weights, stacks, strict=True))
            known[m] = known[m] + added + (1 - weights.sum()) * average[m] - new[m]
        average = new
    sizes = np.cumsum([p.size for p in known])[:-1]
    for got, piece in zip(known, np.split(method.residual(model), sizes), strict=True):
        np.testing.assert_allclose(got.ravel(), piece, atol=1e-7)


def test_zero_padding_pulls_to_zero_what_a_client_does_not_have(learner: Learner):
    _, model, sent, _, after = a_round(learner, "fedit")
    module = learner.layout.modules[1]
    before, got = (learner.layout.components(v, module) for v in (model, after))
    trained_by_first = before + learner.layout.components(sent[0], module)
    np.testing.assert_allclose(got[5], 0.5 * trained_by_first[5], atol=1e-7)  # weight 0.5, alone


def test_hetlora_clients_prune_ranks_that_fade(learner: Learner):
    config = FixedAdapter(method="hetlora", pruning=0.5)
    method, model = learner.method(config), trained(learner, 3)
    start = method.start(model, GradientJob(0, 0, 1, 6))
    fading, growing = LocalResult(-0.1 * start.compact, 1.0), LocalResult(0.1 * start.compact, 1.0)
    for client, result in ((0, fading), (1, growing)):
        method.update(GradientJob(0, client, 1, 6), start, result)
    planned = np.array([6, 6, 6, 0])
    np.testing.assert_array_equal(method.capped(planned), [3, 6, 6, 0])
    np.testing.assert_array_equal(method.capped(np.array([2, 6, 6, 0])), [2, 6, 6, 0])
    never = learner.method(FixedAdapter(method="hetlora"))
    never.update(GradientJob(0, 0, 1, 6), start, fading)
    np.testing.assert_array_equal(never.capped(planned), planned)


def test_rbla_counts_holders_and_not_who_has_changed_something(learner: Learner):
    """An update that is rounded to nothing is still an answer: leave it as it is."""
    method, model = method_of("rbla", learner), trained(learner, 3)
    rng = np.random.default_rng(0)
    moved = rng.normal(size=len(model)).astype(np.float32)
    change = method.combine(model, jobs_of([8, 8]), [moved, 0 * moved], np.array([0.5, 0.5]))
    np.testing.assert_allclose(change, 0.5 * moved, rtol=1e-6)


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


@pytest.mark.parametrize("engine", ["cohort", "reference"])
@pytest.mark.parametrize("name", METHODS)
def test_both_engines_train_every_method(name: str, engine: str, build: BuildLearner):
    learner = build(local={"steps": 2, "batch": 8}, engine=engine)
    before = [p.detach().clone() for p in learner._model.parameters() if not p.requires_grad]
    _, model, updates, _, after = a_round(learner, name)
    stacked = a_round(build(local={"steps": 2, "batch": 8}), name)
    for update, other in zip(updates, stacked[2], strict=True):
        np.testing.assert_allclose(update, other, atol=2e-5)
    assert len(after) == len(model)
    kept = [p for p in learner._model.parameters() if not p.requires_grad]
    assert all((a == b).all() for a, b in zip(before, kept, strict=True))
