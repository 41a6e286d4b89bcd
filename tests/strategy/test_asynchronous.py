"""FedAsync and FedBuff: what a stale update is worth, who is drawn next, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.strategy.conftest import observation
from wirelessfl.errors import InputError
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import build_strategy
from wirelessfl.strategy.asynchronous import Asynchronous

TAU = np.arange(8)


def strategy(kind: str, clients: int = 40, **settings: object) -> Asynchronous:
    config = TypeAdapter(StrategyConfig).validate_python({"kind": kind, **settings})
    built = build_strategy(config, clients)
    assert isinstance(built, Asynchronous)
    return built


@pytest.mark.parametrize(
    ("staleness", "expected"),
    [
        ({"kind": "constant"}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"kind": "polynomial"}, [(1 + tau) ** -0.5 for tau in range(8)]),
        ({"kind": "polynomial", "a": 2}, [1 / (1 + tau) ** 2 for tau in range(8)]),
        ({"kind": "hinge"}, [1, 1, 1, 1, 1, 1 / 11, 1 / 21, 1 / 31]),
        ({"kind": "hinge", "a": 1, "b": 2.5}, [1, 1, 1, 2 / 3, 2 / 5, 2 / 7, 2 / 9, 2 / 11]),
    ],
)
def test_a_stale_update_is_worth_what_the_papers_say(staleness: dict, expected: list[float]):
    worth = strategy("fedasync", staleness=staleness).discount(TAU)
    assert worth.tolist() == pytest.approx(expected, rel=1e-15)


def test_without_options_they_are_the_papers():
    mixing = strategy("fedasync")
    assert (mixing.buffer, mixing.step, mixing.mixes_models) == (1, 0.6, True)
    assert mixing.discount(np.array([3])).tolist() == [0.5]
    buffered = strategy("fedbuff")
    assert (buffered.buffer, buffered.step, buffered.mixes_models) == (10, 1.0, False)
    assert buffered.discount(np.array([3])).tolist() == [0.5]


@pytest.mark.parametrize("choice", ["uniform", "data_proportional"])
def test_fedbuff_weighs_by_data_over_the_chance_to_be_drawn(choice: str):
    """So that K fresh updates of clients drawn from all add up to sum_n a_n delta_n on average."""
    seen = observation(clients=40)
    built = strategy("fedbuff", buffer=4, participation={"choice": choice})
    plan = built.plan(seen)
    assert plan.q.sum() == pytest.approx(4)
    chance = np.full(40, 1 / 40) if choice == "uniform" else seen.weights
    every = np.arange(40)
    weights = built.weights(plan, seen, every, np.ones(40, np.int64))
    assert np.allclose(weights, seen.weights / chance / 4)
    assert np.allclose(4 * chance * weights, seen.weights)


def test_fedasync_mixes_by_staleness_alone():
    seen = observation(clients=40)
    built = strategy("fedasync", participation={"choice": "data_proportional"})
    weights = built.weights(built.plan(seen), seen, np.array([3, 30]), np.ones(2, np.int64))
    assert weights.tolist() == [1.0, 1.0]


@given(seed=st.integers(0, 100), draw=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_only_an_idle_client_is_drawn(seed: int, draw: float):
    rng = np.random.default_rng(seed)
    seen = observation(clients=12)
    for choice in ("uniform", "data_proportional"):
        built = strategy("fedasync", clients=12, participation={"choice": choice})
        idle = np.flatnonzero(rng.random(12) < 0.4)
        if idle.size:
            assert built.choose(built.plan(seen), idle, draw) in idle


@pytest.mark.parametrize("choice", ["uniform", "data_proportional"])
def test_idle_clients_are_drawn_in_the_right_proportions(choice: str):
    seen = observation(clients=10)
    built = strategy("fedasync", clients=10, participation={"choice": choice})
    plan, idle = built.plan(seen), np.array([1, 4, 5, 9])
    draws = (np.arange(20_000) + 0.5) / 20_000  # every one of them, so this is no matter of luck
    drawn = np.array([built.choose(plan, idle, draw) for draw in draws])
    share = np.array([np.mean(drawn == client) for client in idle])
    score = np.ones(4) if choice == "uniform" else seen.weights[idle]
    assert np.allclose(share, score / score.sum(), atol=1e-4)


def test_who_cannot_hold_the_model_is_never_drawn():
    most = np.full(40, 16)
    most[:20] = 0
    weights = np.where(most > 0, 1 / 20, 0.0)
    seen = observation(clients=40, max_rank=most, weights=weights)
    plan = strategy("fedbuff", buffer=2).plan(seen)
    assert plan.q.tolist() == [0] * 20 + [0.1] * 20
    assert (plan.k == most).all()


def test_more_at_work_than_there_are_is_refused():
    with pytest.raises(InputError, match="concurrency is 41, but there are 40 clients"):
        strategy("fedbuff", participation={"concurrency": 41})
