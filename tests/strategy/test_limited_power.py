"""Round times where uploads have delays that no bandwidth shortens, against slow computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.strategy.conftest import observation
from wirelessfl.scenario.sharing import WorkConserving as WorkConservingConfig
from wirelessfl.strategy.observation import Floats
from wirelessfl.strategy.participant_sets import every_set
from wirelessfl.strategy.round_model import expected_round_s, round_model
from wirelessfl.strategy.round_time import EvenShares, WorkConserving
from wirelessfl.strategy.uplink_time import Bounds, EqualFinish, OneByOne, SharingTime

RULES = [OneByOne(), EqualFinish(), WorkConserving(), EvenShares()]
CLIENTS = 6


def instance(seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    return tuple(
        rng.uniform(low, high, CLIENTS) for low, high in ((0.1, 0.9), (0, 4), (0, 3), (0.2, 2))
    )  # type: ignore


def shared_evenly(tau_s: Floats, delay_s: Floats, band_s: Floats, step_s: float = 1e-3) -> float:
    """End of uploads that always have equal shares, in small steps of time."""
    left, now = np.ones(len(tau_s)), 0.0
    while (left > 0).any():
        sends = (tau_s <= now) & (left > 0)
        left[sends] -= step_s / (delay_s[sends] + sends.sum() * band_s[sends])
        now += step_s
    return now


def finish_together(tau_s: Floats, delay_s: Floats, band_s: Floats, step_s: float = 1e-2) -> float:
    """End of uploads given shares that finish together, solved anew in small steps of time."""
    left, now = np.ones(len(tau_s)), 0.0
    while (left > 0).any():
        sends = (tau_s <= now) & (left > 0)
        if sends.any():
            one, own = np.ones((sends.sum(), 1)), left[sends]
            delay, band = own * delay_s[sends], own * band_s[sends]
            rest = float(EqualFinish().durations_s(one, delay, band)[0])
            left[sends] *= max(0.0, 1.0 - step_s / rest)
            left[sends & (left < 1e-6)] = 0.0
        now += step_s
    return now


@pytest.mark.parametrize("seed", range(3))
def test_equal_shares_end_when_small_steps_say(seed: int) -> None:
    _, tau, delay, band = instance(seed)
    sets = every_set(np.full(CLIENTS, 0.5))
    times = EvenShares().durations_s(sets.members, tau, band, delay)
    for members, time in list(zip(sets.members.T > 0, times, strict=True))[1::9]:
        slow = shared_evenly(tau[members], delay[members], band[members])
        assert time == pytest.approx(slow, abs=0.02)
    assert times[0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_work_conserving_is_never_too_long_and_a_little_short_at_most(seed: int) -> None:
    _, tau, delay, band = instance(seed)
    sets = every_set(np.full(CLIENTS, 0.5))
    times = WorkConserving().durations_s(sets.members, tau, band, delay)
    slow = [
        finish_together(tau[members], delay[members], band[members])
        for members in (sets.members.T > 0)[7::8]
    ]
    ratio = times[7::8] / slow
    assert ratio.max() < 1.02
    assert ratio.min() > 0.8
    assert ratio.mean() > 0.92


def test_work_conserving_is_exact_where_everybody_is_ready_together() -> None:
    _, _, delay, band = instance(3)
    members = every_set(np.full(CLIENTS, 0.5)).members
    tau = np.full(CLIENTS, 2.0)
    np.testing.assert_allclose(
        WorkConserving().durations_s(members, tau, band, delay),
        EqualFinish().durations_s(members, tau, band, delay),
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("seed", range(4))
def test_prices_follow_the_enumerated_differences(rule: SharingTime, seed: int) -> None:
    """Exact for a queue, 2% off for equal finish and up to 20% where prices are interpolated."""
    q, tau, delay, band = instance(seed)
    own = (tau, delay, band)
    result = rule.prices(every_set(q), own, [own])
    true = np.empty(CLIENTS)
    for n in range(CLIENTS):
        chosen = np.arange(CLIENTS) == n
        sides = [every_set(np.where(chosen, side, q)) for side in (1.0, 0.0)]
        inside, outside = (
            float(rule.durations_s(s.members, tau, band, delay) @ s.weight) for s in sides
        )
        true[n] = inside - outside
    error = np.abs(result.price_s[:, 0] - true).mean() / true.mean()
    assert error < {"OneByOne": 1e-9, "EqualFinish": 0.02}.get(type(rule).__name__, 0.2)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_times_of_every_set_may_differ(rule: SharingTime) -> None:
    """The same numbers once for all sets and once for each give the same answers."""
    q, tau, delay, band = instance(5)
    sets = every_set(q)
    own = (tau, delay, band)
    wide = tuple(np.broadcast_to(x[:, None], sets.members.shape) for x in own)
    one, each = rule.prices(sets, own, [own]), rule.prices(sets, wide, [wide])
    assert one.mean_s == pytest.approx(each.mean_s)
    np.testing.assert_allclose(one.price_s, each.price_s)
    np.testing.assert_allclose(one.lateness, each.lateness, atol=1e-12)


def test_a_deadline_and_other_cells_bound_prices() -> None:
    """Both by enumeration: T = min(max(T, floor), cap)."""
    rule = OneByOne()
    q, tau, delay, band = instance(6)
    sets, own = every_set(q), (tau, delay, band)
    floor = np.random.default_rng(0).uniform(0, 5, len(sets.weight))
    price = rule.prices(sets, own, [own], Bounds(floor, 6.0)).price_s[:, 0]
    times = rule.durations_s(sets.members, tau, band, delay)
    held = np.minimum(np.maximum(times, floor), 6.0)
    for n in range(CLIENTS):
        total = 0.0
        for number in range(len(sets.weight)):
            with_n, without_n = number | 1 << n, number & ~(1 << n)
            pair = np.minimum(np.maximum(times[[with_n, without_n]], floor[number]), 6.0)
            total += sets.weight[number] * (pair[0] - pair[1])
        assert price[n] == pytest.approx(total)
    mean_s = rule.prices(sets, own, [own], Bounds(floor, 6.0)).mean_s
    assert mean_s == pytest.approx(float(held @ sets.weight))


def test_upload_times_touch_the_rate_curve_at_the_whole_and_the_typical_share() -> None:
    """Shannon's rate of a share s: s log2(1 + c/s)."""
    snr = np.array([0.5, 5.0, 500.0])

    def efficiency(clients: np.ndarray, share_hz: float) -> Floats:
        usual = np.log2(1 + snr[clients] * 10)
        return np.log2(1 + snr[clients] * 5e6 / share_hz) / usual

    seen = observation(
        clients=3,
        uplink_rate_bps=5e5 * np.log2(1 + snr * 10),
        uplink_efficiency_of=efficiency,
    )
    model = round_model(seen, WorkConservingConfig(), np.full((3, 1), 16))
    bits = seen.upload_bits(np.full(3, 16))
    for level, senders in enumerate(model.uploads.senders):
        delay, band = model.uploads.delay_s[level, :, 0], model.uploads.band_s[level, :, 0]
        for number in (1, senders):
            rate = 5e6 / number * np.log2(1 + snr * number)
            np.testing.assert_allclose(delay + number * band, bits / rate)


def test_compute_times_that_vary_make_rounds_longer() -> None:
    """Of two clients that only compute: E[max] by integration of lognormal factors."""
    seen = observation(
        clients=2,
        compute_fixed_s=np.full(2, 10.0),
        compute_per_rank_s=np.zeros(2),
        uplink_hz=1e12,
        downlink_hz=1e15,
        server_overhead_s=0.0,
        compute_spread=0.3,
    )
    model = round_model(seen, WorkConservingConfig(), np.full((2, 1), 16), 400_000)
    variance = np.log1p(0.09)
    draws = np.random.default_rng(1).normal(size=(2, 400_000))
    factors = np.exp(np.sqrt(variance) * draws - variance / 2)
    expected = 10.0 * factors.max(axis=0).mean()
    found = model.round_s(np.ones(2), np.zeros(2, dtype=np.int64))
    assert found == pytest.approx(expected, rel=0.03)
    assert expected > 11.0


def test_those_who_are_off_are_not_waited_for() -> None:
    on = np.array([True, False, True, False])
    seen, k = observation(clients=4), np.full(4, 16)
    now = observation(clients=4, available=on)
    q = np.array([0.3, 0.9, 0.5, 1.0])
    there = expected_round_s(seen, WorkConservingConfig(), np.where(on, q, 0.0), k)
    assert expected_round_s(now, WorkConservingConfig(), q, k) == there


def test_weights_of_all_sets_make_the_distribution() -> None:
    """P(T <= x) of three clients, by hand from the eight sets."""
    seen = observation(clients=3, downlink_hz=1e15)
    model = round_model(seen, WorkConservingConfig(), np.full((3, 1), 16))
    q, option = np.array([0.2, 0.5, 0.7]), np.zeros(3, dtype=np.int64)
    times, weight = model.durations_s(q, option)
    tau, upload = model.tau_s(q, option), model.upload_s[:, 0]
    for limit in (5.0, 12.0, 20.0):
        below = 0.0
        for members in itertools.product([0, 1], repeat=3):
            now = 0.0
            for n in np.argsort(tau):
                now = max(now, tau[n]) + upload[n] if members[n] else now
            probability = np.prod([p if m else 1 - p for p, m in zip(q, members, strict=True)])
            below += probability * (now + seen.server_overhead_s <= limit)
        assert weight[times <= limit].sum() == pytest.approx(below)
