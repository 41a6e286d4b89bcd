"""Models of crowds agree with those that follow every client."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import wirelessfl.strategy.round_model as models
from tests.strategy.conftest import observation
from tests.strategy.test_planner import RULES, problem
from wirelessfl.scenario.sharing import EqualFinish, WorkConserving
from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.crowd_model import CrowdModel
from wirelessfl.strategy.participant_sets import drawn_members, strata
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.round_time import overlap_s

CLIENTS = 300


@pytest.fixture
def all_followed(monkeypatch):
    def model_of(*arguments: object, sets: int = 2000, **changes: object):
        monkeypatch.setattr(models, "MANY", 10**9)
        task = problem(*arguments, **changes)
        monkeypatch.undo()
        return replace(task, model=replace(task.model, uniforms=strata(CLIENTS, sets)))

    return model_of


def test_drawn_members_appear_as_often_as_their_probabilities() -> None:
    q = np.random.default_rng(0).uniform(0, 1, 200) ** 3
    q[:3] = 0.0, 1.0, 0.5
    sets = 4000
    count = np.bincount(np.concatenate(drawn_members(q, sets)), minlength=200) / sets
    assert count[0] == 0
    assert count[1] == 1
    error = (count - q) / np.sqrt(np.maximum(q * (1 - q), 1e-9) / sets)
    assert np.abs(error[2:]).max() < 4.5


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("changes", [{}, {"compute_spread": 0.3}, {"deadline_s": 60.0}])
def test_times_and_prices_of_a_crowd(all_followed, rule, changes: dict[str, object]) -> None:
    changes = {"uplink_hz": 30e6} | changes
    task = problem(3, CLIENTS, rule, ranks=(16,), **changes)
    assert isinstance(task.model, CrowdModel)
    dense = all_followed(3, CLIENTS, rule, ranks=(16,), **changes)
    q, option = proportional_q(task.weights, 30.0), np.zeros(CLIENTS, dtype=np.int64)
    crowd, true = task.model.prices(q, option), dense.model.prices(q, option)
    assert crowd.mean_s == pytest.approx(true.mean_s, rel=0.03)
    assert task.model.round_s(q, option) == pytest.approx(crowd.mean_s, rel=1e-9)
    ratio = crowd.price_s[:, 0] / true.price_s[:, 0]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert np.quantile(np.abs(ratio - 1), 0.9) < 0.15
    assert crowd.lateness.sum() == pytest.approx(true.lateness.sum(), abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_crowds_plan_is_as_good_as_one_that_follows_everybody(all_followed, seed: int) -> None:
    hertz = CLIENTS / 40 * [5e6, 1e6, 30e6][seed]
    followed = all_followed(seed, CLIENTS, floor=0.002, uplink_hz=hertz, sets=100)
    judge = replace(followed, model=replace(followed.model, uniforms=strata(CLIENTS, 3000)))
    crowd = marginal_price(problem(seed, CLIENTS, floor=0.002, uplink_hz=hertz))
    assert judge.cost(*crowd) <= 1.03 * judge.cost(*marginal_price(followed))


@pytest.mark.parametrize("config", [WorkConserving(), EqualFinish()])
def test_a_crowd_in_several_cells(config, monkeypatch) -> None:
    seen = observation(clients=CLIENTS, cell=np.arange(CLIENTS) % 3, uplink_hz=30e6)
    ranks = np.full((CLIENTS, 1), 16)
    crowd = models.round_model(seen, config, ranks)
    monkeypatch.setattr(models, "MANY", 10**9)
    dense = replace(models.round_model(seen, config, ranks), uniforms=strata(CLIENTS, 1000))
    q, option = np.full(CLIENTS, 0.1), np.zeros(CLIENTS, dtype=np.int64)
    ours, true = crowd.prices(q, option), dense.prices(q, option)
    assert ours.mean_s == pytest.approx(true.mean_s, rel=0.03)
    assert np.median(ours.price_s / true.price_s) == pytest.approx(1.0, abs=0.05)


def test_overlaps_of_very_many_are_counted_in_bins() -> None:
    rng = np.random.default_rng(0)
    others, weight = rng.lognormal(0, 1, 30_000), rng.uniform(0, 1, 30_000)
    own = rng.lognormal(0, 1.5, 200)
    exact = (np.minimum(own[:, None], others) * weight).sum(axis=1)
    np.testing.assert_allclose(overlap_s(own, others, weight), exact, rtol=0.01)
