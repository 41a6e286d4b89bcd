from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import exp1

from wirelessfl import randomness
from wirelessfl.network.channel import ModelledChannel, build_channel
from wirelessfl.network.ergodic import ErgodicRates, inverse_gaussian
from wirelessfl.network.fading import Array, fading_model
from wirelessfl.network.fading_law import gain_law
from wirelessfl.network.mean_efficiency import MeanEfficiency
from wirelessfl.network.rate import rate_model
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.radio import (
    CqiRate,
    Fading,
    GapRate,
    GilbertElliott,
    Harq,
    Nakagami,
    NoFading,
    Rate,
    RayleighBlock,
    Rician,
    ShannonRate,
)

SNR = 10.0 ** (np.linspace(-25.0, 60.0, 35) / 10.0)
NO_LINE = np.zeros(1)
BLOCK = {"coherence_time": "10 ms"}


@pytest.mark.parametrize("spread", [1e-12, 1e-4, 0.01, 1.0, 20.0])
def test_drawn_lengths_follow_the_inverse_gaussian_law(spread: float) -> None:
    n = np.arange(20_000)
    normal, uniform = randomness.normal(1, "z", n), randomness.uniform(1, "u", n)
    drawn = inverse_gaussian(normal, uniform, np.full(n.size, spread))
    assert (drawn > 0).all()
    assert drawn.mean() == pytest.approx(1.0, abs=4 * math.sqrt(spread / n.size))
    kurtosis = 15.0 * spread  # excess, of the law
    assert drawn.var() == pytest.approx(spread, rel=4 * math.sqrt((kurtosis + 2.0) / n.size))
    if spread >= 1e-4:
        assert stats.kstest(drawn, stats.invgauss(spread, scale=1 / spread).cdf).pvalue > 0.01


def test_without_spread_every_length_is_the_mean() -> None:
    drawn = inverse_gaussian(np.linspace(-5, 5, 11), np.linspace(0.01, 0.99, 11), np.zeros(11))
    assert (drawn == 1.0).all()


@pytest.mark.parametrize(
    ("fading", "variance"),
    [
        (NoFading(), 0.0),
        (RayleighBlock(), 1.0),
        (Nakagami(m=0.5), 2.0),
        (Nakagami(m=3.0), 1 / 3),
        (Nakagami(m=50.0), 1 / 50),
        # gains 1 and 1/10 in 9 and 1 of 10 s: mean .91, and .9 + .1 / 100 - .91^2
        (GilbertElliott(mean_good_s=9, mean_bad_s=1, bad_gain_db=-10), 0.0729),
    ],
)
def test_laws_have_the_moments_of_their_fading(fading: Fading, variance: float) -> None:
    law = gain_law(fading)
    mean = 0.91 if isinstance(fading, GilbertElliott) else 1.0
    assert law.weight.sum() == pytest.approx(1.0, rel=1e-12)
    assert (law.gain @ law.weight.T).item() == pytest.approx(mean, rel=1e-8)
    assert ((law.gain - mean) ** 2 @ law.weight.T).item() == pytest.approx(variance, rel=1e-7)


def test_rician_laws_go_from_rayleigh_to_a_pure_line() -> None:
    law = gain_law(Rician())
    mean = (law.gain * law.weight).sum(axis=1)
    variance = ((law.gain - mean[:, None]) ** 2 * law.weight).sum(axis=1)
    np.testing.assert_allclose(mean, 1.0, rtol=1e-8)
    np.testing.assert_allclose(variance, 1.0 - law.direct, atol=1e-8)  # (2K + 1) / (K + 1)^2


def test_mean_efficiency_in_rayleigh_fading_is_the_closed_form() -> None:
    """E[log2(1 + s g)] = exp(1/s) E1(1/s) / ln 2 for exponential g."""
    mean = MeanEfficiency(gain_law(RayleighBlock()), rate_model(ShannonRate()), False)
    exact = np.exp(1 / SNR) * exp1(1 / SNR) / math.log(2.0)
    np.testing.assert_allclose(mean.mean(SNR, NO_LINE), exact, rtol=1e-4)


def test_outage_moments_are_sums_of_two() -> None:
    """Good half of the time at 1 + s = 4 and bad at 1 + s / 3 = 2: rates 2 and 1."""
    fading = GilbertElliott(mean_good_s=1, mean_bad_s=1, bad_gain_db=-10 * math.log10(3.0))
    mean = MeanEfficiency(gain_law(fading), rate_model(ShannonRate()), False)
    assert mean.mean(np.array([3.0]), NO_LINE) == pytest.approx([1.5], rel=1e-12)
    assert mean.relative_variance(np.array([3.0]), NO_LINE) == pytest.approx([1 / 9], rel=1e-12)


FADINGS = [
    RayleighBlock(coherence_time_s=1),
    Nakagami(m=3.0, coherence_time_s=1),
    Rician(k_factor_db=7.0, coherence_time_s=1),
    GilbertElliott(mean_good_s=3.0, mean_bad_s=1.0),
]


@pytest.mark.parametrize("fading", FADINGS, ids=lambda fading: fading.kind)
@pytest.mark.parametrize(
    ("rate", "narrowing", "tolerance"),
    [
        (ShannonRate(), False, 1e-3),
        (GapRate(harq=Harq()), False, 1e-3),
        (CqiRate(), False, 4e-3),
        (CqiRate(), True, 4e-3),
    ],
)
def test_moments_are_those_of_the_fading_that_is_drawn(
    fading: Fading, rate: Rate, narrowing: bool, tolerance: float
) -> None:
    """Against the mean over a long time, within four of its errors and the stated tolerance."""
    k = 10.0**0.7
    line = np.array([(k / (k + 1)) ** 2])
    model = fading_model(fading, 3.5e9, 250, 3, lambda clients, slots: np.full((1, 1), k))
    stride = 128 if isinstance(fading, GilbertElliott) else 1
    gain = model.gain("uplink", np.arange(250), np.arange(300) * stride).ravel()
    moments, efficiency = (
        MeanEfficiency(gain_law(fading), rate_model(rate), narrowing),
        rate_model(rate),
    )
    for snr_db in (0.0, 8.0, 25.0):
        snr = 10.0 ** (snr_db / 10.0)
        drawn = efficiency.efficiency(snr * gain, narrowing)
        mean = moments.mean(np.array([snr]), line).item()
        error = 4 * drawn.std() / math.sqrt(drawn.size)
        assert mean == pytest.approx(drawn.mean(), abs=error + tolerance * drawn.mean())
        spread = moments.relative_variance(np.array([snr]), line).item()
        assert spread == pytest.approx(drawn.var() / drawn.mean() ** 2, rel=0.03, abs=1e-4)


def test_mean_efficiency_never_falls_when_the_share_grows() -> None:
    """What shares are solved with: share * E[efficiency(c g / share)] for power in the share."""
    for rate in (ShannonRate(), GapRate(), CqiRate()):
        mean = MeanEfficiency(gain_law(RayleighBlock()), rate_model(rate), True)
        share_hz = np.geomspace(1.0, 1e8, 2000)
        rate_bps = share_hz * mean.mean(1e7 / share_hz, NO_LINE)
        assert (np.diff(rate_bps) >= -1e-9 * rate_bps[1:]).all()


def build(clients: int = 40, seed: int = 3, **options: object) -> ModelledChannel:
    config = {"fading": {"kind": "rayleigh_block", **BLOCK}, "fidelity": "ergodic", **options}
    channel = build_channel(NetworkConfig.model_validate(config), clients, seed)
    assert isinstance(channel, ModelledChannel)
    return channel


def ergodic(**options: object) -> ErgodicRates:
    rates = build(**options).at(0)
    assert isinstance(rates, ErgodicRates)
    return rates


MODES = [{}, {"uplink": {"power_mode": "per_rb"}}]


def full(clients: Array, hz: float = 1e5) -> Array:
    return np.full(len(clients), hz)


@pytest.mark.parametrize("mode", MODES, ids=["total", "per_rb"])
@pytest.mark.parametrize("kind", ["rayleigh_block", "rician", "nakagami", "gilbert_elliott"])
def test_rates_are_the_mean_of_what_the_exact_channel_carries(
    mode: dict[str, object], kind: str
) -> None:
    fading = {"kind": kind} if kind == "gilbert_elliott" else {"kind": kind, **BLOCK}
    everyone = np.arange(40)
    mean = build(fading=fading, **mode).rate_bps(
        "uplink", everyone, np.zeros(1, int), full(everyone)
    )
    exact = build(fading=fading, fidelity="exact", **mode)
    slots = np.arange(2000) * (64 if kind == "gilbert_elliott" else 1)
    rate = exact.rate_bps("uplink", everyone, slots, full(everyone))
    error = rate.std(axis=1) / math.sqrt(2000)
    assert (np.abs(rate.mean(axis=1) - mean[:, 0]) < 4.5 * error + 1e-3 * mean[:, 0]).all()


def test_a_channel_where_nobody_moves_has_no_slots_and_says_what_it_carries() -> None:
    rates, everyone = ergodic(uplink={"power_mode": "per_rb"}), np.arange(40)
    assert math.isinf(rates.slot_s)
    assert rates.linear("uplink")
    rate = rates.rate_bps("uplink", everyone, np.array([-5, 0, 10**9]), full(everyone))
    assert (rate == rate[:, :1]).all()
    reported = rates.reported_rate_bps("uplink", everyone, 17.0, full(everyone))
    assert (reported == rate[:, 0]).all()


def test_clients_who_move_have_mean_rates_for_every_step() -> None:
    moving = {"kind": "random_waypoint", "update": "2 s"}
    options = {"mobility": moving, "rate": {"kind": "shannon"}}  # whose every slot differs
    channel, everyone = build(**options), np.arange(40)
    exact = build(**options, fidelity="exact")
    assert channel.slot_s == 2.0
    rate = channel.rate_bps("uplink", everyone, np.array([0, 300]), full(everyone))
    for column, start in ((0, 0), (1, 60_000)):
        slots = np.arange(start, start + 200)
        drawn = exact.rate_bps("uplink", everyone, slots, full(everyone))
        error = 5 * drawn.std(axis=1) / math.sqrt(200)
        assert (np.abs(drawn.mean(axis=1) - rate[:, column]) < error).all()


@pytest.mark.parametrize("mode", MODES, ids=["total", "per_rb"])
def test_rates_and_lengths_are_the_same_in_any_order_and_batch(mode: dict[str, object]) -> None:
    order = np.random.default_rng(0).permutation(40)
    once, again = ergodic(**mode), ergodic(**mode)
    ready_s, spread = np.linspace(0, 1, 40), np.linspace(0, 0.1, 40)

    def read(rates: ErgodicRates, some: Array) -> Array:
        rate = rates.rate_bps("uplink", some, np.zeros(1, int), full(some))[:, 0]
        wander_s = rates.wander_s("uplink", some, 0.0, full(some))
        return np.stack(
            [rate, wander_s, rates.relative_time("uplink", some, ready_s[some], spread[some])]
        )

    everyone = read(once, np.arange(40))
    one_by_one = [read(again, order[n : n + 1]) for n in range(40)]
    assert (everyone[:, order] == np.concatenate(one_by_one, axis=1)).all()


def test_luck_differs_between_clients_slots_directions_and_stations() -> None:
    rates, everyone, spread = ergodic(), np.arange(40), np.full(40, 0.01)

    def luck(direction: str, ready_s: float) -> Array:
        return rates.relative_time(direction, everyone, np.full(40, ready_s), spread)

    first = luck("uplink", 0.001)
    assert np.unique(first).size == 40
    assert (luck("uplink", 0.009) == first).all()  # the same coherence time
    assert (luck("uplink", 0.011) != first).all()
    assert (luck("downlink", 0.001) != first).all()


def test_wandering_is_correlation_time_times_relative_variance() -> None:
    """Outages: 15 slots of 1 / (8 (1/3 + 1/1)) s, and the variance of two rates."""
    fading = {"kind": "gilbert_elliott", "mean_good": "3 s", "mean_bad": "1 s"}
    rates, everyone = ergodic(fading=fading, uplink={"power_mode": "per_rb"}), np.arange(40)
    assert rates.correlation_s == pytest.approx(15 / (8 * (1 / 3 + 1)))
    exact = build(fading=fading, uplink={"power_mode": "per_rb"}, fidelity="exact")
    slots = np.arange(4000)
    rate = exact.rate_bps("uplink", everyone, slots, full(everyone))
    two = np.stack([rate.min(axis=1), rate.max(axis=1)])
    mean = 0.25 * two[0] + 0.75 * two[1]
    variance = 0.25 * 0.75 * (two[1] - two[0]) ** 2
    np.testing.assert_allclose(
        rates.wander_s("uplink", everyone, 0.0, full(everyone)),
        rates.correlation_s * variance / mean**2,
        rtol=1e-9,
    )


def test_outages_correlate_as_long_as_they_say() -> None:
    """Var of a mean over t = 400 correlation times is variance * correlation_s / t."""
    fading = GilbertElliott(mean_good_s=1.0, mean_bad_s=1.0, bad_gain_db=-100)
    model = fading_model(fading, 3.5e9, 1, 3)
    gain = model.gain("uplink", np.arange(600), np.arange(6000))
    ratio = gain.mean(axis=1).var() / 0.25 * 6000 * model.slot_s
    assert ratio == pytest.approx(model.correlation_s, rel=0.2)
