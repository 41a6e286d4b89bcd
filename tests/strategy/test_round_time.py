"""Expected round times against closed forms and exhaustive enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.strategy.conftest import observation
from wirelessfl.scenario.sharing import EqualFinish as EqualFinishConfig
from wirelessfl.scenario.sharing import WorkConserving as WorkConservingConfig
from wirelessfl.strategy.mean_field import mean_field_s
from wirelessfl.strategy.observation import Floats
from wirelessfl.strategy.participant_sets import every_set, sampled_sets, strata
from wirelessfl.strategy.round_model import CROWD, expected_round_s, round_model
from wirelessfl.strategy.round_time import WorkConserving, overlap_s
from wirelessfl.strategy.uplink_time import EqualFinish, SharingTime

RULES = [WorkConserving(), EqualFinish()]
CLIENTS = 6
q_arrays = arrays(float, CLIENTS, elements=st.floats(0.01, 0.99))
tau_arrays = arrays(float, CLIENTS, elements=st.floats(0.0, 20.0))
upload_arrays = arrays(float, CLIENTS, elements=st.floats(0.01, 10.0))


def serve(tau_s: Floats, upload_s: Floats) -> float:
    """End of a work-conserving link that serves the ready in order of arrival."""
    now = 0.0
    for i in np.argsort(tau_s):
        now = max(now, tau_s[i]) + upload_s[i]
    return now


def mean_s(rule: SharingTime, q: Floats, tau_s: Floats, upload_s: Floats) -> float:
    sets = every_set(q)
    return float(rule.durations_s(sets.members, tau_s, upload_s) @ sets.weight)


@settings(max_examples=20, deadline=None)
@given(tau_arrays, upload_arrays)
def test_work_conserving_duration_is_that_of_a_queue(tau_s: Floats, upload_s: Floats) -> None:
    sets = every_set(np.full(CLIENTS, 0.5))
    times = WorkConserving().durations_s(sets.members, tau_s, upload_s)
    for members, time in zip(sets.members.T > 0, times, strict=True):
        assert time == pytest.approx(serve(tau_s[members], upload_s[members]))


@settings(max_examples=20, deadline=None)
@given(tau_arrays, upload_arrays)
def test_equal_finish_fills_the_band_exactly_and_never_beats_work_conserving(
    tau_s: Floats, upload_s: Floats
) -> None:
    members = every_set(np.full(CLIENTS, 0.5)).members
    times = EqualFinish().durations_s(members, tau_s, upload_s)
    assert times[0] == 0
    used = (members * (upload_s / np.where(members > 0, times - tau_s[:, None], 1.0).T).T).sum(0)
    np.testing.assert_allclose(used[1:], 1.0, rtol=1e-6)
    faster = WorkConserving().durations_s(members, tau_s, upload_s)
    assert np.all(times >= faster * (1 - 1e-12))


@pytest.mark.parametrize("rule", RULES)
def test_equal_clients_take_the_sum_of_their_uploads(rule: SharingTime) -> None:
    q = np.full(5, 0.3)
    expected = 4.0 * (1 - 0.7**5) + 5 * 0.3 * 2.0
    assert mean_s(rule, q, np.full(5, 4.0), np.full(5, 2.0)) == pytest.approx(expected)


@pytest.mark.parametrize("rule", RULES)
def test_one_client_takes_its_own_time_when_it_takes_part(rule: SharingTime) -> None:
    assert mean_s(rule, np.array([0.4]), np.array([3.0]), np.array([2.0])) == pytest.approx(2.0)


def test_mean_field_time_of_certain_participation_is_the_equal_finish_time() -> None:
    rng = np.random.default_rng(0)
    tau_s, upload_s = rng.uniform(0, 5, 8), rng.uniform(0.1, 3, 8)
    exact = EqualFinish().durations_s(np.ones((8, 1)), tau_s, upload_s)[0]
    assert mean_field_s(np.ones(8), tau_s, upload_s) == pytest.approx(exact)


@pytest.mark.parametrize("rule", RULES)
def test_sampled_sets_agree_with_all_sets_of_twelve_clients(rule: SharingTime) -> None:
    rng = np.random.default_rng(3)
    q, tau_s, upload_s = rng.uniform(0.05, 0.9, 12), rng.uniform(0, 20, 12), rng.uniform(0, 4, 12)
    sets = sampled_sets(q, strata(12, 4096))
    sampled = rule.durations_s(sets.members, tau_s, upload_s) @ sets.weight
    assert sampled == pytest.approx(mean_s(rule, q, tau_s, upload_s), rel=0.01)


@settings(max_examples=20, deadline=None)
@given(q_arrays, tau_arrays, upload_arrays)
def test_work_conserving_price_is_the_slope_of_the_expected_time(
    q: Floats, tau_s: Floats, upload_s: Floats
) -> None:
    rule = WorkConserving()
    result = rule.prices(
        every_set(q), (tau_s, 0.0 * tau_s, upload_s), [(tau_s, 0.0 * tau_s, upload_s)]
    )
    assert result.mean_s == pytest.approx(mean_s(rule, q, tau_s, upload_s))
    for n in range(CLIENTS):
        inside, outside = q.copy(), q.copy()
        inside[n], outside[n] = 1, 0
        price = mean_s(rule, inside, tau_s, upload_s) - mean_s(rule, outside, tau_s, upload_s)
        assert result.price_s[n, 0] == pytest.approx(price, abs=1e-9)


def test_equal_finish_price_is_close_to_the_slope_of_the_expected_time() -> None:
    rule, rng, errors = EqualFinish(), np.random.default_rng(4), []
    for _ in range(30):
        q, tau_s, upload_s = rng.uniform(0.05, 0.95, (3, CLIENTS)) * [[1.0], [10.0], [5.0]]
        result = rule.prices(
            every_set(q), (tau_s, 0.0 * tau_s, upload_s), [(tau_s, 0.0 * tau_s, upload_s)]
        )
        for n in range(CLIENTS):
            chosen = np.arange(CLIENTS) == n
            inside, outside = np.where(chosen, 1.0, q), np.where(chosen, 0.0, q)
            price = mean_s(rule, inside, tau_s, upload_s) - mean_s(rule, outside, tau_s, upload_s)
            errors.append(abs(result.price_s[n, 0] / price - 1))
    assert np.mean(errors) < 0.01
    assert np.max(errors) < 0.1


@pytest.mark.parametrize("rule", RULES)
def test_price_is_exact_when_everybody_is_ready_together(rule: SharingTime) -> None:
    q, upload_s = np.array([0.2, 0.5, 0.9]), np.array([1.0, 2.0, 4.0])
    tau_s = np.full(3, 3.0)
    result = rule.prices(
        every_set(q), (tau_s, 0.0 * tau_s, upload_s), [(tau_s, 0.0 * tau_s, upload_s)]
    )
    empty = np.array([0.5 * 0.1, 0.8 * 0.1, 0.8 * 0.5])
    np.testing.assert_allclose(result.price_s[:, 0], upload_s + 3.0 * empty)


@pytest.mark.parametrize("rule", RULES)
def test_lateness_is_the_slope_in_the_ready_time(rule: SharingTime) -> None:
    rng = np.random.default_rng(5)
    q, tau_s, upload_s = rng.uniform(0.1, 0.9, 6), rng.uniform(0, 9, 6), rng.uniform(0.5, 3, 6)
    result = rule.prices(
        every_set(q), (tau_s, 0.0 * tau_s, upload_s), [(tau_s, 0.0 * tau_s, upload_s)]
    )
    for n in range(6):
        later = tau_s + 1e-6 * (np.arange(6) == n)
        slope = (mean_s(rule, q, later, upload_s) - result.mean_s) / 1e-6
        assert result.lateness[n] == pytest.approx(slope, abs=1e-5)


def test_price_of_another_rank_is_the_time_with_it_minus_the_time_without() -> None:
    rng = np.random.default_rng(6)
    q, tau_s, upload_s = rng.uniform(0.1, 0.9, 6), np.arange(6.0), rng.uniform(0.5, 3, 6)
    other_tau, other_upload = tau_s + 0.3, upload_s / 2
    options = [(tau_s, 0.0 * tau_s, upload_s), (other_tau, 0.0 * tau_s, other_upload)]
    result = WorkConserving().prices(every_set(q), options[0], options)
    for n in range(6):
        chosen = np.arange(6) == n
        inside, outside = np.where(chosen, 1.0, q), np.where(chosen, 0.0, q)
        time = mean_s(
            WorkConserving(),
            inside,
            np.where(chosen, other_tau, tau_s),
            np.where(chosen, other_upload, upload_s),
        )
        without = mean_s(WorkConserving(), outside, tau_s, upload_s)
        assert result.price_s[n, 1] == pytest.approx(time - without)


def test_overlap_is_the_sum_of_minima() -> None:
    rng = np.random.default_rng(7)
    own, others, weight = rng.uniform(0, 5, 20), rng.uniform(0, 5, 30), rng.uniform(0, 1, 30)
    exact = (weight * np.minimum(own[:, None], others)).sum(axis=1)
    np.testing.assert_allclose(overlap_s(own, others, weight), exact)


@pytest.mark.parametrize("config", [WorkConservingConfig(), EqualFinishConfig()])
def test_model_prices_follow_the_expected_time_but_for_the_wait_for_downloads(
    config: WorkConservingConfig | EqualFinishConfig,
) -> None:
    """With q near 0 or 1 nothing but the mean wait depends on q, and prices are exact slopes."""
    seen = observation(clients=5)
    model = round_model(seen, config, np.full((5, 1), 16))
    q, option = np.array([0.3, 0.5, 0.7, 0.2, 0.9]), np.zeros(5, dtype=np.int64)
    result = model.prices(q, option)
    assert result.mean_s == pytest.approx(model.round_s(q, option))
    for n in range(5):
        step = 1e-6 * (np.arange(5) == n)
        slope = (model.round_s(q + step, option) - result.mean_s) / 1e-6
        tolerance = 1e-4 if config.kind == "work_conserving" else 0.05
        assert result.price_s[n, 0] == pytest.approx(slope, rel=tolerance)


def test_waiting_for_an_unreachable_client_takes_forever() -> None:
    seen = observation(clients=3, uplink_rate_bps=np.array([1e5, 0.0, 1e5]))
    k = np.full(3, 16)
    config = WorkConservingConfig()
    assert expected_round_s(seen, config, np.full(3, 0.5), k) == np.inf
    assert expected_round_s(seen, config, np.array([0.5, 0, 0.5]), k) < np.inf


@pytest.mark.parametrize("link", ["uplink", "downlink"])
def test_so_does_waiting_for_one_in_a_crowd(link: str) -> None:
    rates = {f"{link}_rate_bps": np.where(np.arange(CROWD + 1) == 7, 0.0, 1e5)}
    seen = observation(clients=CROWD + 1, **rates)
    q, k = np.full(CROWD + 1, 0.5), np.full(CROWD + 1, 16)
    assert expected_round_s(seen, WorkConservingConfig(), q, k) == np.inf
    q[7] = 0.0
    assert expected_round_s(seen, WorkConservingConfig(), q, k) < np.inf


def test_a_crowd_is_predicted_as_a_small_population_would_be() -> None:
    """Certain participants leave nothing to sample, so both ways must agree."""
    seen = observation(clients=CROWD + 200)
    chosen = np.arange(CROWD + 200) < 50
    q, k = chosen.astype(float), np.full(CROWD + 200, 16)
    few = seen.only(np.flatnonzero(chosen))
    crowd_s = expected_round_s(seen, WorkConservingConfig(), q, k)
    few_s = expected_round_s(few, WorkConservingConfig(), q[chosen], k[chosen])
    assert crowd_s == pytest.approx(few_s, rel=1e-12)
