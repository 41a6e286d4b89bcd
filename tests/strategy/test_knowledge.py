"""What a server learns of its clients, against populations whose truth is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.strategy.conftest import observation
from tests.strategy.test_strategies import feedback, strategy
from wirelessfl.strategy.credibility import RunningMeans
from wirelessfl.strategy.estimator import NoiseEstimator, TrueNoise
from wirelessfl.strategy.knowledge import Knowledge
from wirelessfl.strategy.observation import Plan, TrueUpdates
from wirelessfl.strategy.report_memory import ReportMemory


def known(clients: int, plain: bool = False) -> Knowledge:
    """Nothing yet."""
    return Knowledge(clients, step_max=1.0, plain=plain)


def heard(values: np.ndarray, memory: float = 1.0) -> RunningMeans:
    """Means after one row of values for all clients in each round. [rounds, clients]"""
    means = RunningMeans(values.shape[1], prior=0.0, memory=memory)
    for row in values:
        means.observe(np.arange(values.shape[1]), row)
    return means


def test_credibility_is_buehlmanns_on_a_balanced_design() -> None:
    """With equal counts: within and between by one-way analysis of variance, z = c/(c + K)."""
    rng = np.random.default_rng(0)
    rounds, clients = 8, 400
    values = rng.normal(5, 2, clients) + rng.normal(0, 3, (rounds, clients))
    mean, error = heard(values).estimates()
    own = values.mean(axis=0)
    within = values.var(axis=0, ddof=1).mean()
    between = own.var(ddof=1) - within / rounds
    trust = rounds / (rounds + within / between)
    centre = values.sum() / (1 + values.size)  # the prior, 0, counts as one value
    np.testing.assert_allclose(mean, centre + trust * (own - centre), rtol=2e-3)
    np.testing.assert_allclose(error, np.sqrt(between * (1 - trust)), rtol=5e-3)


def test_shrunk_means_are_nearer_the_truth_and_say_how_near() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(5, 1, 2000)
    values = truth + rng.normal(0, 3, (4, 2000))
    mean, error = heard(values).estimates()
    miss = np.mean((mean - truth) ** 2)
    assert miss < 0.5 * np.mean((values.mean(axis=0) - truth) ** 2)
    assert np.mean(error**2) == pytest.approx(miss, rel=0.1)


def test_equal_clients_get_one_mean_and_a_single_value_is_not_trusted_alone() -> None:
    rng = np.random.default_rng(2)
    mean, _ = heard(rng.normal(5, 1, (3, 300))).estimates()
    assert np.ptp(mean) < 0.3 * np.ptp(rng.normal(5, 1, (3, 300)).mean(axis=0))
    some = RunningMeans(3, prior=1.0, memory=0.9)
    np.testing.assert_array_equal(some.estimates()[0], 1.0)
    some.observe(np.array([1]), np.array([3.0]))
    mean, _ = some.estimates()
    assert mean[0] == mean[2] == 2.0  # the population's: one value and the prior
    assert 2.0 <= mean[1] < 3.0


def autoregression(keep: float, sigma: float, rounds: int, clients: int) -> np.ndarray:
    """Logarithms of rates: a mean of their own and deviations that last by `keep`."""
    rng = np.random.default_rng(3)
    mean, deviation = rng.normal(13, 1, clients), rng.normal(0, sigma, clients)
    rows = []
    for _ in range(rounds):
        rows.append(mean + deviation)
        deviation = keep * deviation + rng.normal(0, sigma * np.sqrt(1 - keep**2), clients)
    return np.array(rows)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_forecast_takes_as_long_as_the_transfers_do(keep: float) -> None:
    rows = autoregression(keep, 0.5, 80, 500)
    memory, error, flattered = ReportMemory(500), {True: [], False: []}, []
    for past, coming in itertools.pairwise(rows):
        memory.observe(np.exp(past))
        good = past - rows.mean(axis=0) > 0.3  # whom an optimist would choose
        for now in (True, False):
            ratio = memory.forecast_bps(np.exp(past), now) / np.exp(coming)
            error[now].append(ratio.mean())
        flattered.append((memory.forecast_bps(np.exp(past), True) / np.exp(coming))[good].mean())
    assert memory.persistence == pytest.approx(keep, abs=0.12)
    assert np.mean(error[True][40:]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(error[False][40:]) == pytest.approx(1.0, abs=0.05)
    assert np.mean(flattered[40:]) == pytest.approx(1.0, abs=0.08)  # no winner's curse


def test_a_steady_channel_is_forecast_as_reported_and_outages_are_no_reports() -> None:
    rates, memory = np.array([1e6, 2e6, 3e6]), ReportMemory(3)
    for _ in range(5):
        memory.observe(rates)
    out = np.array([1e6, 0.0, 3e6])
    memory.observe(out)
    for now in (True, False):
        np.testing.assert_allclose(memory.forecast_bps(out, now), out, rtol=1e-9)
        np.testing.assert_allclose(memory.forecast_bps(rates, now), rates, rtol=1e-9)


def rounds_of(knowledge: Knowledge, rounds: int, slower: float, lost: float) -> None:
    rng = np.random.default_rng(4)
    chosen = strategy(30, "uniform", participation={"expected": 15})
    for round in range(rounds):
        seen = observation(1, 30, round=round)
        knowledge.correct(seen, now=False)
        plan: Plan = chosen.plan(seen)
        ideal = feedback(plan, seen)
        arrives = rng.random(len(ideal.clients)) >= lost
        fields = ("clients", "weights", "q", "k", "squared_norms", "losses", "upload_s")
        knowledge.learn(
            replace(
                ideal,
                **{name: getattr(ideal, name)[arrives] for name in fields},
                compute_s=slower * ideal.compute_s[arrives],
            ),
            step=1.0,
        )


def test_measured_compute_times_correct_what_devices_claim() -> None:
    knowledge, seen = known(30), observation(1, 30)
    rounds_of(knowledge, 20, slower=1.7, lost=0.0)
    corrected = knowledge.correct(seen, now=False)
    everyone, ranks = np.arange(30), np.full(30, 4)
    ratio = corrected.compute_s(everyone, ranks) / seen.compute_s(everyone, ranks)
    np.testing.assert_allclose(ratio, 1.7, rtol=0.03)


def test_survival_is_one_until_somebody_is_lost_and_then_the_share_that_arrived() -> None:
    reliable, flaky = known(30), known(30)
    rounds_of(reliable, 10, slower=1.0, lost=0.0)
    np.testing.assert_array_equal(reliable.survival, 1.0)
    rounds_of(flaky, 60, slower=1.0, lost=0.3)
    assert flaky.survival.mean() == pytest.approx(0.7, abs=0.04)
    assert np.ptp(flaky.survival) < 0.4


def test_plain_estimates_are_own_means_and_reports_as_they_are() -> None:
    means = RunningMeans(3, prior=0.0, memory=1.0, shrunk=False)
    means.observe(np.array([0, 1]), np.array([2.0, 6.0]))
    means.observe(np.array([0]), np.array([4.0]))
    estimates, errors = means.estimates()
    np.testing.assert_allclose(estimates, [3.0, 6.0, 12.0 / 4.0])  # the prior counts as one value
    assert errors[0] < errors[1]
    knowledge, seen = known(30, plain=True), observation(1, 30)
    rounds_of(knowledge, 12, slower=1.7, lost=0.3)
    assert knowledge.correct(seen, now=False) is seen
    np.testing.assert_array_equal(knowledge.survival, 1.0)


@pytest.mark.slow
def test_standard_error_of_the_ratio_is_how_far_estimates_stray() -> None:
    """Two hundred servers with independent rounds estimate one population."""
    weights, excess = np.full(20, 0.05), np.full(20, 3.0)
    ratios, errors = [], []
    for seed in range(200):
        rng, estimator = np.random.default_rng(seed), NoiseEstimator(20)
        chosen = strategy(20, "uniform", participation={"expected": 10})
        for round in range(15):
            seen = replace(observation(1, 20, round=round), weights=weights)
            plan = chosen.plan(seen)
            estimator.observe(feedback(plan, seen, int(rng.integers(1 << 30))), seen.rank)
        ratios.append(estimator.noise(weights) @ excess)
        errors.append(estimator.error(weights, 1 / (1 + excess)))
    assert np.median(errors) == pytest.approx(np.std(ratios), rel=0.5)


def test_an_oracle_knows_the_ratio_exactly() -> None:
    rng = np.random.default_rng(5)
    updates, weights, q = rng.normal(0.5, 1, (6, 9)), rng.dirichlet(np.ones(6)), np.full(6, 0.3)
    mean = weights @ updates
    true = TrueNoise(TrueUpdates((updates**2).sum(axis=1), float(mean @ mean)))
    variance = np.sum(weights**2 * (1 / q - 1) * (updates**2).sum(axis=1))
    assert true.noise(weights) @ (1 / q - 1) == pytest.approx(variance / (mean @ mean))
    assert true.error(weights, q) == 0.0
