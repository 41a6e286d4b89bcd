"""Devices compute at their roofline, vary with mean one, and are the same whoever asks first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.device.fleet import Fleet, build_fleet, largest_remainder
from wirelessfl.scenario.devices import (
    DeviceProfile,
    DevicesConfig,
    Failures,
    LognormalJitter,
    NoJitter,
    RadioPower,
    ShiftedExponentialJitter,
)

PLAIN = DeviceProfile(
    effective_flops=1e9,
    memory_bandwidth_bytes_per_s=1e8,
    memory_bytes=1e9,
    start_overhead_s=0.5,
    compute_power_w=4.0,
)


def one_kind(count: int = 4, seed: int = 1, **options: object) -> Fleet:
    config = DevicesConfig.model_validate(
        {"count": count, "mix": {"plain": 1.0}, "profiles": {"plain": PLAIN}}
        | {"jitter": NoJitter()}
        | options
    )
    return build_fleet(config, seed)


@pytest.mark.parametrize(
    ("flops", "traffic", "seconds"),
    [
        (3e9, 1e8, 3.5),  # computing is the longer
        (1e9, 2e8, 2.5),  # memory is the longer
        (0.0, 0.0, 0.5),  # only the overhead
    ],
)
def test_time_is_the_longer_of_computing_and_memory_plus_the_overhead(
    flops: float, traffic: float, seconds: float
):
    clients = np.array([2, 0])
    assert one_kind().nominal_s(clients, flops, traffic).tolist() == [seconds] * 2
    assert one_kind().duration_s(clients, 7, flops, traffic).tolist() == [seconds] * 2


def test_work_may_differ_between_clients():
    seconds = one_kind().nominal_s(np.array([0, 1]), np.array([1e9, 4e9]), np.array([0.0, 0.0]))
    assert seconds.tolist() == [1.5, 4.5]


@pytest.mark.parametrize(
    ("jitter", "deviation"),
    [
        (LognormalJitter(sigma=0.4), math.sqrt(math.expm1(0.4**2))),
        (ShiftedExponentialJitter(spread=0.3), 0.3),
    ],
)
def test_jitter_has_mean_one_and_the_deviation_of_its_law(jitter: object, deviation: float):
    fleet = one_kind(count=200_000, jitter=jitter)
    clients = np.arange(fleet.clients)
    factor = fleet.duration_s(clients, 3, 1e9, 0.0) / fleet.nominal_s(clients, 1e9, 0.0)
    assert factor.mean() == pytest.approx(1.0, abs=5 * deviation / math.sqrt(len(factor)))
    assert factor.std() == pytest.approx(deviation, rel=0.03)


def test_shifted_exponential_never_falls_below_its_shift():
    fleet = one_kind(count=10_000, jitter=ShiftedExponentialJitter(spread=0.3))
    clients = np.arange(fleet.clients)
    assert (fleet.duration_s(clients, 3, 1e9, 0.0) >= 0.7 * 1.5).all()


@given(st.permutations(range(12)), st.integers(0, 1000))
def test_a_draw_does_not_depend_on_who_else_is_asked(order: list[int], round: int):
    options = {"jitter": LognormalJitter(), "failures": Failures(drop_probability=0.5)}
    fleet = one_kind(12, **options)
    everyone, some = np.arange(12), np.array(order[:5])
    together = fleet.duration_s(everyone, round, 1e9, 0.0)
    assert (fleet.duration_s(some, round, 1e9, 0.0) == together[some]).all()
    drops = fleet.drop_fraction(everyone, round)
    assert (fleet.drop_fraction(some, round) == drops[some]).all()


def test_rounds_clients_and_seeds_draw_differently():
    clients = np.arange(100)
    fleets = [one_kind(100, seed, jitter=LognormalJitter()) for seed in (1, 2)]
    draws = [fleet.duration_s(clients, round, 1e9, 0.0) for fleet in fleets for round in (1, 2)]
    assert len(np.unique(draws)) == 400


def test_clients_drop_out_as_often_as_said_at_a_uniform_moment():
    fleet = one_kind(count=100_000, failures=Failures(drop_probability=0.2))
    fraction = fleet.drop_fraction(np.arange(fleet.clients), 5)
    drops = fraction[np.isfinite(fraction)]
    assert len(drops) / fleet.clients == pytest.approx(0.2, abs=0.006)
    assert drops.min() > 0 and drops.max() < 1
    assert drops.mean() == pytest.approx(0.5, abs=0.01)


def test_nobody_drops_out_by_default():
    assert np.isinf(one_kind().drop_fraction(np.arange(4), 1)).all()


def test_energy_is_power_times_time():
    fleet = one_kind(radio=RadioPower(pa_efficiency=0.5, circuit_power_w=0.1))
    assert fleet.compute_j(np.array([1]), np.array([2.5])).tolist() == [10.0]
    # 30 dBm is 1 W radiated, 2 W drawn by the amplifier.
    assert fleet.transmit_w(30.0) == pytest.approx(2.1)
    assert fleet.transmit_w(30.0, np.array([1.0, 0.25])) == pytest.approx([2.1, 0.6])


def test_energy_of_a_device_of_unknown_power_is_missing_not_zero():
    fleet = build_fleet(DevicesConfig(count=2, mix={"phone-sd778g": 1.0}), seed=1)
    assert np.isnan(fleet.compute_j(np.array([0, 1]), np.ones(2))).all()


def test_a_fleet_has_exactly_the_devices_of_its_mix_dealt_out_by_seed():
    config = DevicesConfig(count=10, mix={"jetson-nano": 0.3, "orin-nano": 0.7})
    fleets = [build_fleet(config, seed) for seed in (1, 1, 2)]
    for fleet in fleets:
        assert sorted(fleet.profile) == ["jetson-nano"] * 3 + ["orin-nano"] * 7
        expected = [config.profile(str(name)).training_flops for name in fleet.profile]
        assert fleet.effective_flops.tolist() == expected
    assert (fleets[0].profile == fleets[1].profile).all()
    assert (fleets[0].profile != fleets[2].profile).any()


def test_remainders_go_to_the_largest_and_ties_to_the_first():
    assert largest_remainder({"a": 0.3, "b": 0.4, "c": 0.3}, 4) == {"a": 1, "b": 2, "c": 1}
    assert largest_remainder({"a": 0.5, "b": 0.5}, 3) == {"a": 2, "b": 1}
    assert largest_remainder({"a": 0.1, "b": 0.2, "c": 0.7}, 10) == {"a": 1, "b": 2, "c": 7}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(1, 500))
def test_counts_sum_to_the_total_and_stay_within_one_of_their_share(parts: list[int], total: int):
    parts = [*parts, 1]
    shares = {str(i): part / sum(parts) for i, part in enumerate(parts)}
    counts = largest_remainder(shares, total)
    assert sum(counts.values()) == total
    assert all(abs(counts[name] - share * total) < 1 + 1e-6 for name, share in shares.items())


def test_shifted_exponential_is_the_law_of_the_papers():
    """P(T <= t) = 1 - exp(-(mu/D) (t - a D)), with a D = 0.7 and D/mu = 0.3 of the nominal time."""
    fleet = one_kind(count=50_000, jitter=ShiftedExponentialJitter(spread=0.3))
    time_s = fleet.duration_s(np.arange(fleet.clients), 3, 1e9, 0.0)  # nominally 1.5 s
    shift_s, scale_s = 0.7 * 1.5, 0.3 * 1.5
    for t in (1.1, 1.3, 1.6, 2.5):
        expected = 1 - math.exp(-(t - shift_s) / scale_s)
        assert (time_s <= t).mean() == pytest.approx(expected, abs=0.012)


def test_crashes_and_lost_uploads_are_as_frequent_as_said_and_independent_of_drop_outs():
    failures = Failures(drop_probability=0.3, crash_probability=0.2, upload_loss_probability=0.1)
    fleet, clients = one_kind(count=100_000, failures=failures), np.arange(100_000)
    crash = fleet.crash_fraction(clients, 5)
    crashes, drops = np.isfinite(crash), np.isfinite(fleet.drop_fraction(clients, 5))
    lost = fleet.loses_upload(clients, 5)
    assert crashes.mean() == pytest.approx(0.2, abs=0.006)
    assert crash[crashes].mean() == pytest.approx(0.5, abs=0.01)
    assert lost.mean() == pytest.approx(0.1, abs=0.005)
    assert (crashes & drops).mean() == pytest.approx(0.06, abs=0.004)
    assert (lost & drops).mean() == pytest.approx(0.03, abs=0.003)


def test_a_processor_spends_kappa_cycles_frequency_squared_however_long_it_takes():
    cpu = {"frequency": "2 GHz", "cycles_per_flop": 0.5, "kappa": 1e-28}
    profile = DeviceProfile.model_validate(
        {"cpu": cpu, "memory_bandwidth": "1 TB/s", "memory": "1 GB"}
    )
    config = DevicesConfig(count=1, mix={"cpu": 1.0}, profiles={"cpu": profile}, jitter=NoJitter())
    fleet = build_fleet(config, seed=0)
    assert fleet.duration_s(np.array([0]), 1, 8e9, 0.0).tolist() == [2.0]
    joules = 1e-28 * (0.5 * 8e9) * (2e9) ** 2
    for seconds in (2.0, 5.0):
        assert fleet.compute_j(np.array([0]), np.array([seconds]), 8e9) == pytest.approx([joules])
