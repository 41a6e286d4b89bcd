"""Clipping, noise, and what the rounds cost."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.learning.small_layout import LAYOUT
from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import Aggregation, Sampling
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.methods.averaging import Ffa
from wirelessfl.learning.methods.base import FirstComponents
from wirelessfl.learning.privacy import _ORDERS, Privacy
from wirelessfl.scenario.privacy import PrivacyConfig
from wirelessfl.scenario.server_step import FixedStep

accountants = pytest.importorskip("opacus.accountants")


def privacy(rounds: int = 10, seed: int = 0, **options: Any) -> Privacy:
    return Privacy(PrivacyConfig(**options), rounds, seed)


def test_what_is_added_is_clipped_to_the_norm_exactly():
    deltas = [np.full(LAYOUT.size, x, np.float32) for x in (0.01, -2.0, 30.0)]
    norms = [float(np.linalg.norm(d.astype(np.float64))) for d in deltas]
    factors = privacy(clip_norm=0.5, noise_multiplier=0).factors(np.square(norms))
    assert factors[0] == 1.0
    assert factors * norms == pytest.approx([norms[0], 0.5, 0.5], rel=1e-12)


def aggregate(private: Privacy | None, round: int = 1, arrived: int = 2) -> np.ndarray:
    deltas = [np.full(LAYOUT.size, x, np.float32) for x in (0.01, -2.0)][:arrived]
    return (
        Aggregation(FirstComponents(LAYOUT, 0), FixedStep(), privacy=private)
        .aggregate(
            np.zeros(LAYOUT.size, np.float32),
            [GradientJob(0, n, round, 3) for n in range(arrived)],
            deltas,
            np.array([2.0, 0.5])[:arrived],
            1.0,
            Sampling(round, np.array([0.2, 0.5])[:arrived], 4.0, 0.3),
        )
        .change
    )


def test_without_noise_and_with_room_it_is_off():
    assert (aggregate(privacy(clip_norm=100, noise_multiplier=0)) == aggregate(None)).all()


def test_the_weighted_sum_is_of_clipped_updates():
    change = aggregate(privacy(clip_norm=1.0, noise_multiplier=0))
    assert change == pytest.approx(2.0 * 0.01 - 0.5 / np.sqrt(LAYOUT.size), rel=1e-6)


def test_the_noise_has_the_deviation_that_the_worst_client_asks_for():
    """z C max a/q = 1.5 x 0.5 x 4 = 3, of everybody who could have come, within a 99.9% CI."""
    private = privacy(clip_norm=0.5, noise_multiplier=1.5)
    draws = np.concatenate([aggregate(private, round, arrived=0) for round in range(500)])
    low, high = stats.chi2.ppf([0.0005, 0.9995], len(draws)) / len(draws)
    assert 9 * low < np.mean(draws**2) < 9 * high
    assert stats.kstest(draws / 3, "norm").pvalue > 1e-3


def test_noise_comes_though_nobody_does_and_follows_from_seed_and_round():
    options = {"clip_norm": 1.0, "noise_multiplier": 1.0}
    one = aggregate(privacy(**options), arrived=0)
    assert one.all()
    assert (one == aggregate(privacy(rounds=99, **options), arrived=0)).all()
    assert not np.isin(aggregate(privacy(**options), round=2, arrived=0), one).any()
    assert not np.isin(aggregate(privacy(seed=1, **options), arrived=0), one).any()


def test_what_nobody_sends_stays_without_noise():
    aggregation = Aggregation(
        Ffa(LAYOUT, 0), FixedStep(), privacy=privacy(clip_norm=1.0, noise_multiplier=1.0)
    )
    none, model = np.zeros(0), np.zeros(LAYOUT.size, np.float32)
    change = aggregation.aggregate(model, [], [], none, 1.0, Sampling(1, none, 1.0, 0.3)).change
    for module in LAYOUT.modules:
        rows = LAYOUT.components(change, module)
        assert not rows[:, : module.d_in].any()
        assert rows[:, module.d_in :].all()
    assert change[-2:].all()


@pytest.mark.parametrize("mechanism", ["rdp", "prv"])
@pytest.mark.slow
def test_epsilon_is_opacuss(mechanism: str):
    private = privacy(noise_multiplier=1.1, delta=1e-6, accountant=mechanism)
    direct = accountants.create_accountant(mechanism)
    for round, probability in enumerate([0.1] * 6 + [0.3] * 4):
        private.noise(round, 1.0, probability, 1)
        direct.step(noise_multiplier=1.1, sample_rate=probability)
    kept = {"alphas": _ORDERS} if mechanism == "rdp" else {}
    assert private.epsilon() == pytest.approx(direct.get_epsilon(1e-6, **kept), rel=1e-9)
    assert 0.5 < private.epsilon() < 20


def test_every_round_costs_and_more_noise_costs_less():
    def costs(z: float) -> list[float]:
        private, spent = privacy(noise_multiplier=z), [0.0]
        assert private.epsilon() == 0.0
        for round in range(5):
            private.noise(round, 1.0, 0.2, 1)
            spent.append(private.epsilon())
        return spent

    loud, quiet = costs(2.0), costs(0.8)
    assert (np.diff(loud) > 0).all()
    assert all(a < b for a, b in zip(loud[1:], quiet[1:], strict=True))


def test_rounds_at_full_participation_are_plain_gaussians():
    """Without sampling, Renyi divergences of order alpha cost alpha / (2 z^2) a round."""
    private = privacy(noise_multiplier=2.0)
    for round in range(8):
        private.noise(round, 1.0, 1.0, 1)
    alphas = np.array(_ORDERS, float)
    cost = 8 * alphas / (2 * 2.0**2) + np.log((alphas - 1) / alphas)
    cost -= (np.log(1e-5) + np.log(alphas)) / (alphas - 1)
    assert private.epsilon() == pytest.approx(cost.min())


@pytest.mark.parametrize("epsilon", [0.5, 8.0])
def test_a_given_epsilon_is_met_and_used_up(epsilon: float):
    private = privacy(rounds=20, epsilon=epsilon)
    for round in range(20):
        private.noise(round, 1.0, 0.25, 1)
    assert 0.95 * epsilon < private.epsilon() <= epsilon
    assert private.summary()["noise_multiplier"] > 0


def test_an_epsilon_that_no_noise_can_meet_is_refused():
    with pytest.raises(InputError, match=r"learning.privacy.epsilon"):
        privacy(rounds=1000, epsilon=1e-7, delta=1e-12).noise(1, 1.0, 1.0, 1)


def test_without_noise_there_is_no_bound():
    private = privacy(noise_multiplier=0)
    private.noise(1, 1.0, 0.5, 1)
    assert private.summary()["epsilon"] is None


def test_without_opacus_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(InputError, match=r"pip install 'wirelessfl\[privacy\]'"):
        privacy(noise_multiplier=1.0)
