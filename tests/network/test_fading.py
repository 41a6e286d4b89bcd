from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import eval_laguerre, j0, poch

from wirelessfl.network.fading import FadingModel, KFactor, fading_model
from wirelessfl.scenario.radio import (
    GilbertElliott,
    Jakes,
    Nakagami,
    NoFading,
    RayleighBlock,
    Rician,
)

CLIENTS = 60
K_DB = 6.0
CONFIGS = {
    "none": NoFading(),
    "rayleigh_block": RayleighBlock(),
    "rician": Rician(k_factor_db=K_DB),
    "nakagami": Nakagami(m=3.0),
    "jakes": Jakes(),
    "gilbert_elliott": GilbertElliott(mean_good_s=3.0, mean_bad_s=1.0),
}
VARIANCE = {  # of the power gain
    "rayleigh_block": 1.0,
    "rician": (1 + 2 * 10 ** (K_DB / 10)) / (1 + 10 ** (K_DB / 10)) ** 2,
    "nakagami": 1 / 3,
    "jakes": 1 - 1 / 16,
}


def constant(k: float) -> KFactor:
    return lambda clients, slots: np.full((len(clients), 1), k)


def build(config, clients: int = CLIENTS, seed: int = 1) -> FadingModel:
    return fading_model(config, 3.5e9, clients, seed, constant(10 ** (K_DB / 10)))


MODELS = {kind: build(config) for kind, config in CONFIGS.items()}
EVERYONE = np.arange(CLIENTS)
MOMENTS = {  # E[power^n] in closed form, kept apart from the formulas the code draws from
    "rayleigh_block": lambda n: math.factorial(n),
    "rician": lambda n: (
        math.factorial(n) * eval_laguerre(n, -(10 ** (K_DB / 10))) / (1 + 10 ** (K_DB / 10)) ** n
    ),
    "nakagami": lambda n: poch(3.0, n) / 3.0**n,  # Gamma(m + n) / (Gamma(m) m^n)
}


@pytest.mark.parametrize("kind", VARIANCE)
def test_power_has_mean_one_and_the_right_variance(kind: str):
    model = build(CONFIGS[kind], clients=2000)
    stride = 1 if kind != "jakes" else 50
    power = model.gain("uplink", np.arange(2000), np.arange(-50, 50) * stride)
    assert power.min() >= 0.0
    assert power.mean() == pytest.approx(1.0, abs=0.015)
    assert power.var() == pytest.approx(VARIANCE[kind], abs=0.03)


def test_rayleigh_power_is_exponential():
    power = MODELS["rayleigh_block"].gain("uplink", EVERYONE, np.arange(2000))
    for level in (0.1, 1.0, 3.0):
        assert np.mean(power > level) == pytest.approx(math.exp(-level), abs=0.004)


def test_rician_without_a_direct_path_is_rayleigh():
    model = fading_model(Rician(k_factor_db=0.0), 3.5e9, CLIENTS, 1)
    slots = np.arange(20)
    np.testing.assert_allclose(
        model.gain("downlink", EVERYONE, slots),
        MODELS["rayleigh_block"].gain("downlink", EVERYONE, slots),
    )


def test_rician_power_is_a_direct_path_and_rayleighs_scattering_at_one_angle():
    """g = K/(K+1) + r^2 + 2 sqrt(K/(K+1)) r cos(angle), r^2 = Rayleigh's power / (K+1), exactly."""
    slots = np.arange(50)
    rayleigh = MODELS["rayleigh_block"].gain("uplink", EVERYONE, slots)
    cosines = []
    for k in (0.5, 4.0, 30.0):
        model = fading_model(Rician(k_factor_db=0.0), 3.5e9, CLIENTS, 1, constant(k))
        direct, scattered = k / (k + 1), rayleigh / (k + 1)
        rest = model.gain("uplink", EVERYONE, slots) - direct - scattered
        cosines.append(rest / (2 * np.sqrt(direct * scattered)))
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-8)
    np.testing.assert_allclose(cosines[0], cosines[2], atol=1e-8)
    assert np.abs(cosines[0]).max() <= 1.0 + 1e-8
    assert np.mean(np.square(cosines[0])) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("kind", ["rayleigh_block", "rician", "nakagami"])
def test_block_fading_is_independent_from_slot_to_slot(kind: str):
    power = MODELS[kind].gain("uplink", EVERYONE, np.arange(1000)) - 1.0
    assert abs(np.mean(power[:, 1:] * power[:, :-1])) < 0.02


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", MOMENTS)
def test_moments_of_power_are_those_of_the_law(kind: str, order: int):
    """Seed 1, 400 000 independent draws: within four standard errors of the closed form."""
    power = build(CONFIGS[kind], clients=4000).gain("uplink", np.arange(4000), np.arange(-50, 50))
    moment = MOMENTS[kind]
    error = math.sqrt((moment(2 * order) - moment(order) ** 2) / power.size)
    assert np.mean(power**order) == pytest.approx(moment(order), abs=4 * error)


def test_closed_form_moments_by_hand():
    """K = 10^0.6 = 3.981: E[g^2] = 1 + (1 + 2 K) / (1 + K)^2 = 1 + 8.962 / 24.811; m = 3: 4/3."""
    assert MOMENTS["rician"](2) == pytest.approx(1.3612, abs=1e-4)
    assert MOMENTS["nakagami"](2) == pytest.approx(4 / 3)
    assert MOMENTS["nakagami"](4) == pytest.approx(3 * 4 * 5 * 6 / 81)


def test_severest_nakagami_fading_is_a_squared_gaussian():
    """m = 1/2: a chi-square of one degree, P(g < x) = erf(sqrt(x / 2))."""
    power = build(Nakagami(m=0.5)).gain("downlink", EVERYONE, np.arange(4000))
    for level in (0.01, 0.5, 2.0):
        expected = math.erf(math.sqrt(level / 2))
        assert np.mean(power < level) == pytest.approx(expected, abs=0.004)


def test_rician_power_dips_as_the_marcum_function_says():
    """K = 6 dB: P(g < 0.1) = 1 - Q1(sqrt(2 K), sqrt(2 (K + 1) / 10)) = 0.0071, as a ncx2 law."""
    from scipy.stats import ncx2

    k = 10 ** (K_DB / 10)
    power = build(CONFIGS["rician"]).gain("uplink", EVERYONE, np.arange(8000))
    for level in (0.1, 0.5, 1.5):
        expected = ncx2.cdf(2 * (k + 1) * level, 2, 2 * k)
        assert np.mean(power < level) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("start", [0, -(10**7)])
def test_jakes_power_follows_the_squared_bessel_function(start: int):
    """With autocorrelation J0 and M = 8 sinusoids, cov g(t), g(t + tau) = J0^2(x) - 1/16.

    x = 2 pi f_D tau. (Own derivation, to 0.006 up to x = 12; the first term is a complex Gaussian
    process's, the second the price of few sinusoids.) Seed 1, 20 000 clients: tolerance 0.03.
    """
    model = build(Jakes(coherence_time_s=0.423, slot_s=0.05), clients=20_000)  # Doppler 1 Hz
    lags = np.array([0, 1, 2, 4, 6, 8, 11, 16, 22, 30, 38])
    power = model.gain("uplink", np.arange(20_000), start + lags)
    covariance = np.mean((power[:, :1] - 1.0) * (power - 1.0), axis=0)
    expected = j0(2 * np.pi * 0.05 * lags) ** 2 - 1 / 16
    np.testing.assert_allclose(covariance, expected, atol=0.03)


def test_jakes_is_stationary():
    model = build(Jakes(), clients=20_000)
    power = model.gain("uplink", np.arange(20_000), np.array([0, 10**6, -(10**6)]))
    np.testing.assert_allclose(power.var(axis=0), VARIANCE["jakes"], atol=0.06)


def test_jakes_slots_sample_one_process():
    coarse = build(Jakes(coherence_time_s=0.423, slot_s=0.3))  # Doppler 1 Hz
    fine = build(Jakes(coherence_time_s=0.423, slot_s=0.1))
    np.testing.assert_allclose(  # both have a slot whose middle is t = 0.45 s
        coarse.gain("uplink", EVERYONE, np.array([1])),
        fine.gain("uplink", EVERYONE, np.array([4])),
    )


def test_outages_have_the_stationary_law_and_geometric_durations():
    config = GilbertElliott(mean_good_s=3.0, mean_bad_s=1.0, bad_gain_db=-20.0)
    model = build(config, clients=400)
    gain = model.gain("uplink", np.arange(400), np.arange(-1000, 1000))
    assert set(np.unique(gain)) == {0.01, 1.0}
    bad = gain == 0.01
    assert bad.mean() == pytest.approx(0.25, abs=0.01)
    was, now = bad[:, :-1], bad[:, 1:]
    recover, fail = model.slot_s / 1.0, model.slot_s / 3.0
    assert np.mean(~now[was]) == pytest.approx(recover, abs=0.003)
    assert np.mean(now[~was]) == pytest.approx(fail, abs=0.002)
    # Markov: having been bad for long makes recovery no more likely
    long_bad = bad[:, :-4] & bad[:, 1:-3] & bad[:, 2:-2] & bad[:, 3:-1]
    assert np.mean(~bad[:, 4:][long_bad]) == pytest.approx(recover, abs=0.005)


@pytest.mark.parametrize(("good_s", "bad_s"), [(3.0, 1.0), (0.2, 0.6), (8.0, 2.0)])
def test_outages_last_as_long_as_said(good_s: float, bad_s: float):
    """Time in a state over the number of times it is left; seed 1, 1000 clients, within 3 %."""
    model = build(GilbertElliott(mean_good_s=good_s, mean_bad_s=bad_s), clients=1000)
    bad = model.gain("downlink", np.arange(1000), np.arange(-300, 700)) < 1.0
    ends, begins = (bad[:, :-1] & ~bad[:, 1:]).sum(), (~bad[:, :-1] & bad[:, 1:]).sum()
    assert bad.mean() == pytest.approx(bad_s / (good_s + bad_s), rel=0.03)
    assert model.slot_s * bad[:, :-1].sum() / ends == pytest.approx(bad_s, rel=0.03)
    assert model.slot_s * (~bad[:, :-1]).sum() / begins == pytest.approx(good_s, rel=0.03)


def test_an_outage_is_found_however_long_ago_it_began():
    """One client in 5000 forgot nothing for 64 slots; it answers alone as in a long run."""
    model, everyone = build(GilbertElliott(mean_good_s=1.0, mean_bad_s=1.0)), np.arange(20_000)
    alone = model.gain("uplink", everyone, np.array([7]))
    in_a_run = model.gain("uplink", everyone, np.array([-150, 7]))
    np.testing.assert_array_equal(alone[:, 0], in_a_run[:, 1])


def test_outages_have_eight_slots_to_a_harmonic_mean_duration():
    """1 / (1/3 + 1/1) = 0.75 s."""
    assert MODELS["gilbert_elliott"].slot_s == pytest.approx(0.75 / 8)


def test_an_outage_takes_the_gain_it_is_given():
    assert build(GilbertElliott(bad_gain_db=-7.0)).gain(
        "uplink", EVERYONE, np.arange(400)
    ).min() == pytest.approx(10**-0.7)


@pytest.mark.parametrize("kind", CONFIGS)
@settings(max_examples=30, deadline=None)
@given(
    clients=st.lists(st.integers(0, CLIENTS - 1), min_size=1, max_size=6),
    slots=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=5),
    direction=st.sampled_from(["uplink", "downlink"]),
)
def test_a_gain_is_the_same_in_any_batch_and_order(kind, clients, slots, direction):
    model = MODELS[kind]
    together = model.gain(direction, np.array(clients), np.array(slots))
    assert together.shape == (len(clients), len(slots))
    for i, client in enumerate(clients):
        for j, slot in enumerate(slots):
            alone = model.gain(direction, np.array([client]), np.array([slot]))
            assert alone[0, 0] == together[i, j]


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind != "none"])
def test_a_long_run_of_slots_equals_its_parts(kind: str):
    model, slots = MODELS[kind], np.arange(-150, 150)
    whole = model.gain("uplink", EVERYONE, slots)
    np.testing.assert_array_equal(whole[7:9], model.gain("uplink", EVERYONE[7:9], slots))
    np.testing.assert_array_equal(whole[:, ::-17], model.gain("uplink", EVERYONE, slots[::-17]))


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind != "none"])
def test_links_and_seeds_have_their_own_fading(kind: str):
    slots = np.arange(300)
    mine = MODELS[kind].gain("uplink", EVERYONE, slots)
    for other in (
        MODELS[kind].gain("downlink", EVERYONE, slots),
        build(CONFIGS[kind], seed=2).gain("uplink", EVERYONE, slots),
    ):
        assert abs(np.corrcoef(mine.ravel(), other.ravel())[0, 1]) < 0.1


def test_pace_comes_from_speed_or_coherence_time():
    doppler_hz = 10.0 * 3.5e9 / 299_792_458
    assert build(RayleighBlock(speed_mps=10.0)).slot_s == pytest.approx(0.423 / doppler_hz)
    assert build(RayleighBlock(coherence_time_s=0.01)).slot_s == 0.01
    assert build(Jakes(speed_mps=10.0)).slot_s == pytest.approx(0.1 / doppler_hz)
    walking = fading_model(RayleighBlock(), 3.5e9, 1, 1)
    assert walking.slot_s == pytest.approx(4.23 / doppler_hz)
    driving = fading_model(RayleighBlock(), 3.5e9, 1, 1, client_speed_mps=5.0)
    assert driving.slot_s == pytest.approx(0.846 / doppler_hz)
    told = fading_model(RayleighBlock(speed_mps=10.0), 3.5e9, 1, 1, client_speed_mps=5.0)
    assert told.slot_s == pytest.approx(0.423 / doppler_hz)
    assert MODELS["none"].slot_s == math.inf
    with pytest.raises(ValidationError, match="either speed or coherence_time"):
        RayleighBlock(speed_mps=1.0, coherence_time_s=0.1)
