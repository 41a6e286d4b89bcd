"""Devices are on as often and as long as said, and the same for whoever asks, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from wirelessfl.device.availability import Availability, DailyCycle, build_availability
from wirelessfl.scenario.availability import (
    AlwaysAvailable,
    Diurnal,
    OnOff,
    ReplayedAvailability,
)

HOUR = 3600.0
MANY = np.arange(40_000)
ON_OFF = build_availability(OnOff(mean_on_s=30.0, mean_off_s=10.0), len(MANY), seed=2)
DAY = build_availability(Diurnal(phase_spread_s=2 * HOUR), len(MANY), seed=2)
FLAT = build_availability(Diurnal(min_probability=0.3, max_probability=0.3), len(MANY), seed=2)
EXTREME = build_availability(Diurnal(min_probability=0.99, max_probability=1.0), 1000, seed=2)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Availability:
    path = tmp_path_factory.mktemp("trace") / "on.csv"
    rows = ["client,on_s,off_s"]
    rows += [f"{c},{40 * i + c},{40 * i + c + 10 + c}" for c in range(12) for i in range(20)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return build_availability(ReplayedAvailability(file=str(path)), 12, seed=0)


def within(share: float, expected: float, n: int) -> bool:
    """Inside five standard deviations of a binomial share."""
    return abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize("t_s", [0.0, 17.3, 1e5, -250.0])
def test_on_off_is_stationary_from_the_start(t_s: float):
    assert within(ON_OFF.is_on(MANY, t_s).mean(), 0.75, len(MANY))


def test_on_and_off_times_are_exponential_with_the_means_asked_for():
    on_s = ON_OFF.next_change_s(MANY, ON_OFF.next_off_s(MANY, 50.0))  # comes on after an off time
    off_s = ON_OFF.next_off_s(MANY, on_s)
    assert ON_OFF.is_on(MANY, on_s).all()
    assert stats.kstest(off_s - on_s, stats.expon(scale=30.0).cdf).pvalue > 1e-4
    back_s = ON_OFF.next_on_s(MANY, off_s)
    assert stats.kstest(back_s - off_s, stats.expon(scale=10.0).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(off_s - on_s, back_s - off_s)[0, 1]) < 5 / np.sqrt(len(MANY))


def test_states_are_correlated_in_time_as_those_of_the_markov_chain():
    """P(on at t + tau | on at t) = p + (1 - p) exp(-tau (1/on + 1/off))."""
    now, later = ON_OFF.is_on(MANY, 0.0), ON_OFF.is_on(MANY, 6.0)
    expected = 0.75 + 0.25 * np.exp(-6.0 * (1 / 30 + 1 / 10))
    assert within(later[now].mean(), expected, int(now.sum()))


@pytest.mark.parametrize("hour", [0.0, 2.0, 7.5, 14.0, 20.0, 50.0])
def test_the_share_that_is_on_follows_the_day_exactly(hour: float):
    config = Diurnal(peak_hour=2.0, min_probability=0.1, max_probability=0.8)
    expected = 0.1 + 0.7 * (1 + np.cos(2 * np.pi * (hour - 2.0) / 24)) / 2
    share = build_availability(config, len(MANY), seed=4).is_on(MANY, hour * HOUR).mean()
    assert within(share, expected, len(MANY))


def test_the_clock_begins_at_the_start_hour():
    late = Diurnal(peak_hour=2.0, start_hour=22.0)
    model = build_availability(late, 10, seed=1)
    assert isinstance(model, DailyCycle)
    assert model.probability(np.arange(10), 4 * HOUR) == pytest.approx(0.8)
    assert model.probability(np.arange(10), 16 * HOUR) == pytest.approx(0.1)


def test_peaks_are_spread_uniformly_about_the_peak_hour():
    assert isinstance(DAY, DailyCycle)
    hours = np.arange(0, 24, 0.01)
    peaks = [hours[DAY.probability(np.full(2400, c), hours * HOUR).argmax()] for c in range(300)]
    spread = (np.array(peaks) + 12) % 24 - 12 - 2.0
    assert stats.kstest(spread, stats.uniform(-2, 4).cdf).pvalue > 1e-4


def test_a_flat_day_has_the_same_share_at_every_hour_and_geometric_spells():
    assert within(FLAT.is_on(MANY, 5 * HOUR).mean(), 0.3, len(MANY))
    on_s = FLAT.next_change_s(MANY, FLAT.next_off_s(MANY, 0.0))
    lasts_s = FLAT.next_off_s(MANY, on_s) - on_s
    # Redrawn every two hours on average, and kept with probability 0.3.
    assert stats.kstest(lasts_s, stats.expon(scale=2 * HOUR / 0.7).cdf).pvalue > 1e-4


def test_whoever_is_nearly_always_on_has_a_next_time_off_too():
    off_s = EXTREME.next_off_s(np.arange(1000), 0.0)
    assert np.isfinite(off_s).all()
    assert np.median(off_s) > 24 * HOUR


kinds = st.sampled_from(["on_off", "diurnal", "flat", "trace", "always"])


def model_of(kind: str, replayed: Availability) -> Availability:
    models = {"on_off": ON_OFF, "diurnal": DAY, "flat": FLAT, "trace": replayed}
    return models.get(kind) or build_availability(AlwaysAvailable(), 12, seed=0)


@given(kinds, st.permutations(range(12)), st.floats(0, 900))
@settings(max_examples=60)
def test_an_answer_does_not_depend_on_who_else_is_asked(replayed, kind, order, t_s):
    model, some, everyone = model_of(kind, replayed), np.array(order[:5]), np.arange(12)
    for ask in (model.is_on, model.next_change_s, model.next_off_s, model.next_on_s):
        together = ask(everyone, t_s)
        assert (ask(some, t_s) == together[some]).all()
        assert (ask(some, np.full(5, t_s)) == together[some]).all()
        assert ask(some[:1], t_s)[0] == together[some[0]]


@given(kinds, st.integers(0, 11), st.floats(0, 1e6))
@settings(max_examples=150)
def test_the_next_change_is_the_first_and_really_one(replayed, kind, client, t_s):
    model, who = model_of(kind, replayed), np.array([client])
    was, change_s = model.is_on(who, t_s), model.next_change_s(who, t_s)
    assert change_s[0] > t_s
    end_s = min(change_s[0], t_s + 1e5)
    between = np.linspace(t_s, end_s, 200, endpoint=False)
    assert (model.is_on(np.full(200, client), between) == was).all()
    if np.isfinite(change_s[0]):
        assert model.is_on(who, change_s)[0] != was[0]


@given(kinds, st.floats(0, 500), st.floats(0.1, 500))
@settings(max_examples=40)
def test_time_on_adds_up(replayed, kind, start_s, length_s):
    model, who = model_of(kind, replayed), np.arange(12)
    end_s, middle_s = start_s + length_s, start_s + length_s / 3
    whole = model.on_time_s(who, start_s, end_s)
    parts = model.on_time_s(who, start_s, middle_s) + model.on_time_s(who, middle_s, end_s)
    assert whole == pytest.approx(parts)
    grid = np.linspace(start_s, end_s, 400, endpoint=False)
    share = np.array([model.is_on(np.full(400, c), grid).mean() for c in who])
    # The grid misses at most its step at each change; the fastest changes every ten seconds or so.
    assert np.abs(whole - share * length_s).max() <= length_s * (2 + length_s / 4) / 400


def test_always_is_always():
    model, who = build_availability(AlwaysAvailable(), 3, seed=0), np.arange(3)
    assert model.is_on(who, 1e9).all()
    assert np.isinf(model.next_off_s(who, 0.0)).all()
    assert model.on_time_s(who, 2.0, 5.0).tolist() == [3.0] * 3


def test_seeds_differ():
    other = build_availability(OnOff(mean_on_s=30.0, mean_off_s=10.0), len(MANY), seed=3)
    assert 0.3 < (other.is_on(MANY, 0.0) != ON_OFF.is_on(MANY, 0.0)).mean() < 0.45


def test_a_smallest_probability_above_the_largest_is_refused():
    with pytest.raises(ValidationError, match=r"min_probability 0\.5 is more than"):
        Diurnal(min_probability=0.5, max_probability=0.4)
