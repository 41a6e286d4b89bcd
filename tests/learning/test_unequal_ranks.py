"""What unequal ranks do to each method, on a problem where ranks matter; and sketches enumerated.

Four clients want the same W of rank 4 and differ in the ranks that they can hold. There is no
noise and everybody takes part, so what is left in the end is the method's own error.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tests.learning.small_layout import LAYOUT, ChosenSketches
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.layout import Layout, LoraModule
from wirelessfl.learning.local import LocalResult
from wirelessfl.learning.methods.build import build_method
from wirelessfl.learning.methods.factors import products
from wirelessfl.scenario.adapter import FixedAdapter, Method

PAGE = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8")
SQUARE = Layout(4, (LoraModule("w", 8, 8, 1.0, 0),), (), 4 * 16)
TARGET = np.random.default_rng(3).normal(size=(8, 4)) @ np.random.default_rng(4).normal(size=(4, 8))
TARGET /= np.linalg.norm(TARGET, 2)
SIGMA2 = np.linalg.svd(TARGET, compute_uv=False) ** 2
RANK_ONE = SIGMA2[1:].sum() / SIGMA2.sum()  # what the best adapter of rank 1 leaves: 0.297
EQUAL, MIXED = (4, 4, 4, 4), (1, 1, 1, 4)


def error(ranks: Sequence[int], rounds: int = 400, **adapter: Any) -> float:
    """||W - target||^2 in the end, relative to that of zero; two local steps a round."""
    shares = np.full(4, 0.25)
    method = build_method(FixedAdapter(**adapter), SQUARE, 1, shares)
    fresh = np.zeros((4, 16), np.float32)
    fresh[:, :8] = np.random.default_rng(0).uniform(-(8**-0.5), 8**-0.5, (4, 8))
    model = method.initial(fresh.ravel())
    for round in range(rounds):
        jobs = [GradientJob(0, n, round, k) for n, k in enumerate(ranks)]
        residual = method.residual(model)
        frozen = 0.0 if residual is None else residual.reshape(8, 8)
        updates = []
        for job in jobs:
            start = method.start(model, job)
            a, b = (x.astype(float) for x in SQUARE.factors(start.compact, start.rank)[0])
            trained = np.ones(len(start.compact)) if start.trained is None else start.trained
            may_a, may_b = SQUARE.factors(trained, start.rank)[0]
            for _ in range(2):
                miss = frozen + start.gain * b.T @ a - TARGET
                a, b = (
                    a - 0.2 * may_a * (start.gain * b @ miss),
                    b - 0.2 * may_b * (start.gain * a @ miss.T),
                )
            change = np.concatenate([a.ravel(), b.ravel()]).astype(np.float32) - start.compact
            sent = method.update(job, start, LocalResult(change, 0.0))
            updates.append(method.change(model, job, sent))
        change = method.combine(model, jobs, updates, shares)
        model = method.settled((model + change).astype(np.float32))
    [got] = products(SQUARE, method.adapter(model))
    residual = method.residual(model)
    got = got if residual is None else got + residual.reshape(8, 8)
    return float(np.square(got - TARGET).sum() / np.square(TARGET).sum())


def test_the_best_adapter_of_rank_one_leaves_much():
    assert pytest.approx(0.297, abs=1e-3) == RANK_ONE


@pytest.mark.parametrize("name", ["fedit", "hetlora"])
def test_averages_padded_with_zeros_end_at_the_rank_that_everybody_has(name: str):
    """One client in four trains rank 4; what it adds beyond rank 1 is pulled to zero again."""
    assert error(EQUAL, method=name) < 0.001
    assert error(MIXED, method=name) == pytest.approx(RANK_ONE, abs=1e-3)


@pytest.mark.parametrize("name", ["flexlora", "fedex"])
def test_exact_products_of_truncated_adapters_lose_nearly_as_much(name: str):
    """The rank collapse of arXiv 2602.13486: each round takes 3/4 of what few clients hold."""
    assert error(EQUAL, method=name) < 0.01
    assert 0.75 * RANK_ONE < error(MIXED, method=name) < 1.25 * RANK_ONE


@pytest.mark.parametrize(
    "adapter", [{"sketch_mode": "update"}, {"method": "rbla"}, {"method": "flora"}], ids=str
)
def test_methods_that_take_nothing_away_reach_the_target_all_the_same(adapter: dict[str, str]):
    assert error(MIXED, **adapter) < 0.001


def test_a_sketch_of_the_forward_pass_has_a_floor_where_k_is_small():
    """gamma / k B S A of k = 1 has rank 1 for every S, so no S can fit the target."""
    assert error(EQUAL, method="fslora") < 0.001
    assert error(MIXED, method="fslora") == pytest.approx(RANK_ONE, abs=0.01)
    assert error((2, 2, 2, 4), method="fslora") < 0.3 * RANK_ONE


def test_a_frozen_a_reaches_what_it_was_drawn_to_span():
    """The target's rows lie outside those of A, even at equal ranks."""
    assert 0.3 < error(EQUAL, method="ffa") < 0.7


@pytest.mark.slow
def test_the_page_shows_what_unequal_ranks_do_to_every_method():
    rows = re.findall(r"^\| `(\w+)`(, `sketch_mode: update`)? \|" + 3 * r" ([\d.]+) \|", PAGE, re.M)
    assert {name for name, *_ in rows} == set(get_args(Method))
    for name, update, *told in rows:
        options = {"sketch_mode": "update"} if update else {}
        got = [error(ranks, method=name, **options) for ranks in (EQUAL, (2, 2, 2, 4), MIXED)]
        assert [float(number) for number in told] == pytest.approx(got, abs=0.002)


@pytest.mark.parametrize("whole", [False, True], ids=["forward", "update"])
@pytest.mark.parametrize("ranks", [(1, 2), (2, 3)])
def test_sketches_and_participants_leave_the_full_step_on_average(
    whole: bool, ranks: tuple[int, int]
):
    """Over all sets of participants and all their sketches, for a loss linear in sketched B A.

    Client n's gradient at component j is then gain * g_nj where S_n keeps j.
    """
    rng = np.random.default_rng(0)
    model = rng.normal(size=LAYOUT.size).astype(np.float32)
    gradients = rng.normal(size=(2, LAYOUT.size))
    shares, q = np.array([0.7, 0.3]), np.array([0.8, 0.25])
    head = LAYOUT.head_size
    method = ChosenSketches(whole)
    mean = np.zeros(LAYOUT.size)
    sketches = [list(itertools.combinations(range(3), k)) for k in ranks]
    for members in itertools.product((False, True), repeat=2):
        chance = np.prod(np.where(members, q, 1 - q)) / np.prod([len(s) for s in sketches])
        for chosen in itertools.product(*sketches):
            jobs, updates = [], []
            for n in np.flatnonzero(members):
                method.chosen[n] = chosen[n]
                job = GradientJob(0, int(n), 1, ranks[n])
                start = method.start(model, job)
                used = range(3) if whole else chosen[n]
                step = start.gain * gradients[n][LAYOUT.compact_index(np.tile(used, (2, 1)))]
                step[-head:] /= start.gain  # the head is not sketched
                if start.trained is not None:
                    step[~start.trained] = 0.0
                sent = method.update(job, start, LocalResult(step.astype(np.float32), 1.0))
                jobs.append(job)
                updates.append(method.change(model, job, sent))
            mean += chance * method.combine(model, jobs, updates, (shares / q)[list(members)])
    np.testing.assert_allclose(mean, shares @ gradients, rtol=1e-5, atol=1e-6)
