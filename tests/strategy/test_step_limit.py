"""The largest useful step is read off how updates turn, and holds back one that is too large."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from tests.strategy.federated import Federated
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.strategy import build_strategy
from wirelessfl.strategy.step_limit import MEMORY, PSEUDO_ROUNDS, StepLimit


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
    belief = PSEUDO_ROUNDS * signal
    expected = (belief * 100.0 + step * signal) / (belief + step * curvature * signal)
    assert limit.largest(signal) == pytest.approx(expected)


@pytest.mark.parametrize("step", [0.2, 0.5])
@pytest.mark.parametrize("noise", [0.0, 1.5])
def test_the_estimate_is_the_inverse_curvature_whatever_the_step_and_the_noise(
    step: float, noise: float
) -> None:
    """Ten rounds are remembered, and the ceiling counts as two at the best step."""
    curvature, ceiling = 1.0, 3.0
    moved = step * (1 + noise**2) / (1 - MEMORY)
    believed = (PSEUDO_ROUNDS * ceiling + moved) / (PSEUDO_ROUNDS + curvature * moved)
    found = descent(StepLimit(ceiling), curvature, noise, step, 60)
    assert found == pytest.approx(believed, rel=0.1)
    assert 1.0 < found < ceiling


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
