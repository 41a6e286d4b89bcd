"""The largest useful step is read off how updates turn, and holds back one that is too large."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests.strategy.federated import Federated
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import build_strategy
from wirelessfl.strategy.step_limit import BOLDEST, MEMORY, PSEUDO_ROUNDS, StepLimit


def descent(limit: StepLimit, curvature: float, noise: float, step: float, rounds: int) -> float:
    """Mean estimate over the second half of a noisy descent on curvature |x|^2/2."""
    rng = np.random.default_rng(3)
    model, last, found = np.ones(200), None, []
    for _ in range(rounds):
        gradient = -curvature * model
        signal = float(gradient @ gradient)
        spread = noise * np.sqrt(signal / len(model))
        update = gradient + spread * rng.normal(size=len(model))
        product = np.nan if last is None else float(update @ last)
        limit.observe(1.0, float(update @ update), product, step, signal)
        model, last = model + step * update, update
        found.append(limit.largest(1.0))
    return float(np.mean(found[rounds // 2 :]))


def test_without_noise_the_turns_show_the_curvature_exactly() -> None:
    """Two rounds: one counts, beside what is believed."""
    limit = StepLimit(ceiling=100.0)
    signal, step, curvature = 3.0, 0.5, 0.4
    limit.observe(signal, signal, np.nan, step, 1.0)
    assert limit.largest(signal) == 100.0
    limit.observe(9.9, 9.9, (1 - step * curvature) * signal, step, 1.0)
    belief, weight = PSEUDO_ROUNDS * 100.0 * signal, step  # a round counts by its step
    moved = weight * step * signal
    expected = (belief * 100.0 + moved) / (belief + curvature * moved)
    assert limit.largest(signal) == pytest.approx(expected)


@pytest.mark.parametrize("step", [0.5, 0.9])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_the_estimate_is_the_inverse_curvature_whatever_the_step_and_the_noise(
    step: float, noise: float
) -> None:
    """Ten rounds are remembered, and the ceiling counts as one at the best step."""
    curvature, ceiling = 1.0, 3.0
    moved = step * step * (1 + noise**2) / (1 - MEMORY)
    belief = PSEUDO_ROUNDS * ceiling
    believed = (belief * ceiling + moved) / (belief + curvature * moved)
    found = descent(StepLimit(ceiling), curvature, noise, step, 60)
    assert found == pytest.approx(believed, rel=0.1)
    assert 1.0 < found < ceiling


@pytest.mark.parametrize("product", [-2.0, 0.0, 2.0])
def test_pilots_that_hardly_move_the_model_hardly_count(product: float) -> None:
    """Their updates are long and unrelated, so that sums without weights are mostly theirs."""
    limits = StepLimit(4.0), StepLimit(4.0)
    for _ in range(3):
        limits[0].observe(1.0, 5.0, product, 0.1, 1.0)
    for limit in limits:
        for _ in range(4):  # curvature 0.5
            limit.observe(1.0, 1.2, 1.0 - 1.2, 2.0, 1.0)
    assert limits[0].largest(1.0) == pytest.approx(limits[1].largest(1.0), rel=0.05)


def test_the_boldest_step_does_not_wake_what_is_hidden_in_the_mean_curvature() -> None:
    """Nineteen directions of curvature 0.3 and one of 1: the mean hides it till it has grown."""
    curvature = np.append(np.full(19, 0.3), 1.0)
    left = {}
    for part in (BOLDEST, 1.0):
        limit, model, last = StepLimit(10.0), np.ones(20), None
        for _ in range(12):
            update = -curvature * model
            squared = float(update @ update)
            product = np.nan if last is None else float(update @ last)
            step = part / curvature.mean() if last is None else part * limit.largest(squared)
            limit.observe(squared, squared, product, step, 1.0)
            model, last = model + step * update, update
        left[part] = float(curvature @ model**2)
    assert left[BOLDEST] < 0.01 * left[1.0]


def test_the_ceiling_is_kept_and_updates_that_go_on_straight_do_not_lower_it() -> None:
    limit = StepLimit(ceiling=2.0)
    for _ in range(20):
        limit.observe(1.0, 1.0, 1.5, 3.0, 1.0)
    assert limit.largest(1.0) == 2.0


@pytest.mark.slow
def test_a_measured_limit_holds_back_a_step_far_beyond_what_the_objective_bears() -> None:
    """Uploads are scarce, and 8 is about the best ceiling here."""
    federated = Federated(seed=0, uplink_hz=1e6)
    times = {}
    for smoothness in ("measured", "given"):
        config: StrategyConfig = TypeAdapter(StrategyConfig).validate_python(
            {
                "kind": "adaptive",
                "adapter": {"sketch": "off"},
                "server": {"step_max": 20.0, "smoothness": smoothness},
            }
        )
        times[smoothness] = federated.time_to(build_strategy(config, 40), 0.925, rounds=100)
    assert times["measured"] < times["given"]
