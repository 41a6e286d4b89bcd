"""What docs/theory.md proves about round times and plans, by enumeration of participant sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from wirelessfl.strategy.mean_field import mean_field_s
from wirelessfl.strategy.observation import Floats
from wirelessfl.strategy.participant_sets import every_set
from wirelessfl.strategy.round_time import WorkConserving
from wirelessfl.strategy.uplink_time import EqualFinish, SharingTime

seeds = st.integers(0, 10**6)
RULES = [WorkConserving(), EqualFinish()]


def mean_s(rule: SharingTime, q: Floats, tau_s: Floats, upload_s: Floats) -> float:
    sets = every_set(q)
    return float(rule.durations_s(sets.members, tau_s, upload_s) @ sets.weight)


def case(seed: int, clients: int = 6) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(0.05, 0.95, clients),
        rng.uniform(0.0, 10.0, clients),
        rng.uniform(0.1, 5.0, clients),
    )


def with_q(q: Floats, n: int, value: float) -> Floats:
    changed = q.copy()
    changed[n] = value
    return changed


@pytest.mark.parametrize("rule", RULES, ids=["work_conserving", "equal_finish"])
@settings(max_examples=10, deadline=None)
@given(seed=seeds, value=st.floats(0.0, 1.0))
def test_expected_round_time_is_multilinear(rule: SharingTime, seed: int, value: float) -> None:
    q, tau_s, upload_s = case(seed)
    for n in range(len(q)):
        without, with_ = (mean_s(rule, with_q(q, n, v), tau_s, upload_s) for v in (0.0, 1.0))
        line = (1 - value) * without + value * with_
        assert mean_s(rule, with_q(q, n, value), tau_s, upload_s) == pytest.approx(line)


@pytest.mark.parametrize("rule", RULES, ids=["work_conserving", "equal_finish"])
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_marginal_price_is_the_derivative(rule: SharingTime, seed: int) -> None:
    """dE[T]/dq_n = E[T | n in] - E[T | n out], and it is never negative."""
    q, tau_s, upload_s = case(seed)
    sets = every_set(q)
    duration_s = rule.durations_s(sets.members, tau_s, upload_s)
    for n in range(len(q)):
        inside = sets.members[n] > 0
        joined = np.average(duration_s[inside], weights=sets.weight[inside])
        absent = np.average(duration_s[~inside], weights=sets.weight[~inside])
        higher, lower = (
            mean_s(rule, with_q(q, n, q[n] + d), tau_s, upload_s) for d in (1e-3, -1e-3)
        )
        assert joined - absent == pytest.approx((higher - lower) / 2e-3)
        assert joined >= absent - 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=seeds, quantile=st.floats(0.05, 0.95))
def test_distribution_of_equal_finish(seed: int, quantile: float) -> None:
    """T <= x: nobody who is ready after x takes part, and the load of the others at x fits."""
    q, tau_s, upload_s = case(seed)
    sets = every_set(q)
    duration_s = EqualFinish().durations_s(sets.members, tau_s, upload_s)
    x = quantile * duration_s.max() + 1e-6
    early = tau_s < x
    load = np.where(early, upload_s / np.where(early, x - tau_s, 1.0), 0.0) @ sets.members
    fits = float(sets.weight[(load <= 1.0) & ~sets.members[~early].any(axis=0)].sum())
    assert fits == pytest.approx(float(sets.weight[duration_s <= x].sum()))


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_mean_field_time_is_near_the_mean(seed: int) -> None:
    """|E[T] - root| <= (tau_max - tau_min)/2 E|sum I u - 1| + tau_min P(nobody)."""
    q, tau_s, upload_s = case(seed)
    root_s = mean_field_s(q, tau_s, upload_s)
    assert root_s > tau_s.max()
    u = upload_s / (root_s - tau_s)
    assert q @ u == pytest.approx(1.0)
    sets = every_set(q)
    spread = float(np.abs(u @ sets.members - 1.0) @ sets.weight)
    assert spread <= np.sqrt(np.sum(q * (1 - q) * u**2)) * (1 + 1e-12)
    allowed_s = np.ptp(tau_s) / 2 * spread + tau_s.min() * np.prod(1 - q)
    assert abs(mean_s(EqualFinish(), q, tau_s, upload_s) - root_s) <= allowed_s + 1e-9


@pytest.mark.parametrize("rule", RULES, ids=["work_conserving", "equal_finish"])
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_clipped_square_root_is_optimal_in_each_coordinate(rule: SharingTime, seed: int) -> None:
    """The condition sqrt(c (t_s + E[T])/(R m)) holds exactly at a minimum over one q_n."""
    q, tau_s, upload_s = case(seed)
    cost = np.random.default_rng(seed).uniform(0.0, 1.0, len(q))
    overhead_s, floor = 0.5, 0.02

    def parts(n: int, value: float) -> tuple[float, float]:
        changed = with_q(q, n, value)
        return overhead_s + mean_s(rule, changed, tau_s, upload_s), 1.0 + float(
            cost @ (1 / changed)
        )

    for n in range(3):
        best = minimize_scalar(
            lambda v, n=n: float(np.prod(parts(n, v))),
            bounds=(floor, 1.0),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        without, with_ = (mean_s(rule, with_q(q, n, v), tau_s, upload_s) for v in (0.0, 1.0))
        time_s, rounds = parts(n, best)
        claim = np.clip(np.sqrt(cost[n] * time_s / (rounds * (with_ - without))), floor, 1.0)
        assert claim == pytest.approx(best, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, weight=st.floats(0.0, 1.0))
def test_mean_field_program_is_log_convex(seed: int, weight: float) -> None:
    """In (log q, log T), for fixed ranks: (t_s + T) R(q), and the load sum q t/(T - tau)."""
    q, tau_s, upload_s = case(seed)
    rng = np.random.default_rng(seed)
    other, noise = rng.uniform(0.05, 0.95, len(q)), rng.dirichlet(np.ones(len(q)))
    times = tau_s.max() + rng.uniform(0.01, 20.0, 2)

    def logs(log_q: Floats, log_time: float) -> Floats:
        own, time_s = np.exp(log_q), np.exp(log_time)
        load = np.sum(own * upload_s / (time_s - tau_s))
        return np.log([load, (0.5 + time_s) * (1 - noise.sum() + noise @ (1 / own))])

    ends = [logs(np.log(q), np.log(times[0])), logs(np.log(other), np.log(times[1]))]
    mix = np.array([weight, 1 - weight])
    between = logs(mix @ np.log([q, other]), float(mix @ np.log(times)))
    assert np.all(between <= mix @ np.stack(ends) + 1e-9)
