from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wirelessfl.errors import InputError
from wirelessfl.network.channel import Channel, build_channel
from wirelessfl.scenario.network import NetworkConfig, Uplink
from wirelessfl.scenario.place import Cells, FixedPlacement
from wirelessfl.scenario.radio import (
    CqiRate,
    FixedPathLoss,
    GapRate,
    Jakes,
    LognormalShadowing,
    NoFading,
    NoShadowing,
    RayleighBlock,
    Rician,
    ShannonRate,
    Tr38901PathLoss,
)

ONE, SLOT = np.array([0]), np.array([0])
BARE = {
    "path_loss": FixedPathLoss(loss_db=110.0),
    "shadowing": NoShadowing(),
    "fading": NoFading(),
}
# 110 dB of loss: uplink 23 - 110 + 174 - 5 = 82 dB Hz, downlink 46 - 110 + 174 - 7 = 103 dB Hz
UPLINK_HZ, DOWNLINK_HZ = 10**8.2, 10**10.3


def channel(clients: int = 1, seed: int = 1, **changes) -> Channel:
    return build_channel(NetworkConfig(**changes), clients, seed)


def rate(chan: Channel, direction, share_hz: float) -> float:
    return float(chan.rate_bps(direction, ONE, SLOT, np.array([share_hz]))[0, 0])


def test_link_budget_in_closed_form():
    chan = channel(**BARE, rate=ShannonRate())
    assert rate(chan, "uplink", 5e6) == pytest.approx(5e6 * math.log2(1 + UPLINK_HZ / 5e6))
    assert rate(chan, "uplink", 1e5) == pytest.approx(1e5 * math.log2(1 + UPLINK_HZ / 1e5))
    snr = DOWNLINK_HZ / 20e6
    assert rate(chan, "downlink", 20e6) == pytest.approx(20e6 * math.log2(1 + snr))
    assert rate(chan, "downlink", 1e6) == pytest.approx(1e6 * math.log2(1 + snr))


def test_gap_rate_with_total_power():
    chan = channel(**BARE)
    gap = 10**0.15
    assert rate(chan, "uplink", 5e6) == pytest.approx(5e6 * math.log2(1 + UPLINK_HZ / 5e6 / gap))
    assert rate(chan, "uplink", 1e5) == pytest.approx(1e5 * 5.5547)


def test_antenna_gain_raises_both_links():
    plain, gifted = channel(**BARE), channel(**BARE, antenna_gain_db=10.0)
    assert gifted.mean_gain(ONE) / plain.mean_gain(ONE) == pytest.approx(10.0)
    for direction in ("uplink", "downlink"):
        np.testing.assert_allclose(
            gifted.gain(direction, ONE, SLOT), 10.0 * plain.gain(direction, ONE, SLOT)
        )
    shannon = channel(**BARE, antenna_gain_db=10.0, rate=ShannonRate())
    assert rate(shannon, "uplink", 5e6) == pytest.approx(5e6 * math.log2(1 + UPLINK_HZ / 5e5))


def test_no_bandwidth_carries_nothing():
    for model in (GapRate(), ShannonRate(), CqiRate()):
        chan = channel(clients=2, rate=model)
        share = np.array([0.0, 1e5])
        for direction in ("uplink", "downlink"):
            bps = chan.rate_bps(direction, np.arange(2), np.arange(3), share)
            np.testing.assert_array_equal(bps[0], 0.0)


MODELS = {
    (model.kind, mode): channel(
        clients=20, rate=model, uplink=Uplink(power_mode=mode), fading=RayleighBlock()
    )
    for model in (GapRate(), ShannonRate(), CqiRate())
    for mode in ("total", "per_rb")
}
FADING = channel(clients=100, fading=Jakes())
SHARES = st.floats(0.0, 5e6)


@given(st.sampled_from(sorted(MODELS)), st.integers(0, 19), SHARES, SHARES)
def test_a_wider_share_never_carries_less(key, client, one, other):
    low, high = sorted((one, other))
    who, when = np.array([client, client]), np.array([3])
    slow, fast = MODELS[key].rate_bps("uplink", who, when, np.array([low, high]))[:, 0]
    assert slow <= fast * (1 + 1e-12)


@given(st.sampled_from(["gap", "shannon"]), st.integers(0, 19), SHARES, SHARES, st.floats(0, 1))
def test_total_power_makes_the_rate_concave(kind, client, one, other, weight):
    mixed = weight * one + (1 - weight) * other
    who, when = np.full(3, client), np.array([3])
    bps = MODELS[kind, "total"].rate_bps("uplink", who, when, np.array([one, other, mixed]))[:, 0]
    chord_bps = weight * bps[0] + (1 - weight) * bps[1]
    assert bps[2] >= chord_bps * (1 - 1e-9) - 1e-300  # below, floats have no digits left


@given(st.sampled_from(["gap", "shannon", "cqi"]), st.integers(0, 19), SHARES)
def test_power_per_block_makes_the_rate_linear(kind, client, share):
    who, when = np.full(2, client), np.array([3])
    bps = MODELS[kind, "per_rb"].rate_bps("uplink", who, when, np.array([share, 5e6]))[:, 0]
    assert bps[0] == pytest.approx(bps[1] * share / 5e6, rel=1e-12, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=8),
    st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=8),
)
def test_a_rate_is_the_same_in_any_batch_and_order(clients, slots):
    who, when = np.array(clients), np.array(slots)
    share = 1e4 * (1.0 + who)
    together = FADING.rate_bps("uplink", who, when, share)
    for i in range(len(who)):
        for j in range(len(when)):
            alone = FADING.rate_bps("uplink", who[i : i + 1], when[j : j + 1], share[i : i + 1])
            assert alone[0, 0] == together[i, j]


def test_large_batches_are_cut_without_a_trace():
    chan = channel(clients=3000)
    who, when, share = np.arange(3000), np.arange(-20, 20), np.linspace(0, 1e4, 3000)
    whole = chan.rate_bps("uplink", who, when, share)
    for part in (slice(0, 5), slice(815, 823), slice(2990, 3000)):
        np.testing.assert_array_equal(
            whole[part], chan.rate_bps("uplink", who[part], when, share[part])
        )


def test_gain_is_mean_gain_times_fading():
    chan = channel(clients=50)
    who = np.arange(50)
    gain = chan.gain("uplink", who, np.arange(4000))
    np.testing.assert_allclose(gain.mean(axis=1) / chan.mean_gain(who), 1.0, atol=0.08)


def test_reported_rate_is_the_mean_of_the_window_before_now():
    chan = channel(clients=5, fading=RayleighBlock(coherence_time_s=0.05))
    who, share = np.arange(5), np.full(5, 5e5)
    for t_s, slots in ((3.0, np.arange(40, 60)), (0.01, np.arange(-20, 0))):
        np.testing.assert_allclose(
            chan.reported_rate_bps("downlink", who, t_s, share),
            chan.rate_bps("downlink", who, slots, share).mean(axis=1),
        )


def test_reported_rate_of_a_fast_channel_samples_the_window_evenly():
    chan = channel(clients=200, fading=RayleighBlock(coherence_time_s=1e-4))
    who, share = np.arange(200), np.full(200, 5e5)
    reported = chan.reported_rate_bps("uplink", who, 10.0, share)
    mean = chan.rate_bps("uplink", who, np.arange(90_000, 100_000, 10), share).mean(axis=1)
    assert np.mean(reported / mean) == pytest.approx(1.0, abs=0.02)
    assert np.abs(reported / mean - 1.0).max() < 0.7


def test_reported_rate_uses_the_last_slot_when_slots_outlast_the_window():
    chan = channel(clients=3, fading=RayleighBlock(coherence_time_s=7.0))
    who, share = np.arange(3), np.full(3, 5e5)
    np.testing.assert_array_equal(
        chan.reported_rate_bps("uplink", who, 15.0, share),
        chan.rate_bps("uplink", who, np.array([1]), share)[:, 0],
    )


def test_a_channel_that_never_changes_is_reported_exactly():
    chan = channel(clients=4, fading=NoFading())
    who, share = np.arange(4), np.full(4, 1e6)
    assert chan.slot_s == math.inf
    np.testing.assert_array_equal(
        chan.reported_rate_bps("uplink", who, 5.0, share),
        chan.rate_bps("uplink", who, np.array([123]), share)[:, 0],
    )


def test_line_of_sight_and_shadowing_shape_the_mean_gain():
    at = {"placement": FixedPlacement(distances_m=(200.0,)), "shadowing": NoShadowing()}
    clear = channel(**at, path_loss=Tr38901PathLoss(los="always"))
    blocked = channel(**at, path_loss=Tr38901PathLoss(los="never"))
    d, f = math.hypot(200, 23.5), 3.5
    for chan, loss_db in (
        (clear, 28 + 22 * math.log10(d) + 20 * math.log10(f)),
        (blocked, 13.54 + 39.08 * math.log10(d) + 20 * math.log10(f)),
    ):
        assert 10 * np.log10(chan.mean_gain(ONE)) == pytest.approx(-loss_db)
        assert chan.distances_m(ONE, 0.0) == pytest.approx(200.0)


@pytest.mark.parametrize(("los", "sigma_db"), [("always", 4.0), ("never", 6.0)])
def test_tr38901_shadowing_has_the_deviation_of_the_state(los, sigma_db):
    gains = [
        channel(
            clients=200,
            seed=seed,
            placement=FixedPlacement(distances_m=(400.0,)),
            path_loss=Tr38901PathLoss(los=los),
        ).mean_gain(np.arange(200))
        for seed in range(20)
    ]
    assert np.std(10 * np.log10(gains)) == pytest.approx(sigma_db, rel=0.06)


def test_rician_k_is_drawn_per_client_and_only_in_line_of_sight():
    def power_variance(los: str) -> np.ndarray:
        chan = channel(clients=60, path_loss=Tr38901PathLoss(los=los), fading=Rician())
        who = np.arange(60)
        fading = chan.gain("uplink", who, np.arange(4000)) / chan.mean_gain(who)[:, None]
        return fading.var(axis=1)

    np.testing.assert_allclose(power_variance("never"), 1.0, atol=0.25)
    variance = power_variance("always")
    k = 10 ** ((9.0 + np.array([3.5, 0.0, -3.5])) / 10)
    expected = (1 + 2 * k) / (1 + k) ** 2  # one deviation above the mean K, at it, one below
    assert expected[0] < np.quantile(variance, 0.4) < expected[1] * 1.3
    assert np.mean(variance < expected[2]) == pytest.approx(0.84, abs=0.12)


def test_tables_of_tr38901_need_its_path_loss():
    with pytest.raises(ValidationError, match="needs path_loss: tr38901"):
        NetworkConfig(path_loss=FixedPathLoss())
    with pytest.raises(ValidationError, match="k_factor: auto needs"):
        NetworkConfig(path_loss=FixedPathLoss(), shadowing=LognormalShadowing(), fading=Rician())


def test_cells_larger_than_the_model_are_refused_for_every_seed():
    office = Tr38901PathLoss(environment="inh-open")
    with pytest.raises(InputError, match="inh-open covers"):
        channel(path_loss=office)
    chan = channel(clients=9, path_loss=office, cells=Cells(radius_m=60.0, min_distance_m=1.0))
    assert chan.distances_m(np.arange(9), 0.0).max() <= 60.0
