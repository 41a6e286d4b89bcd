"""Draws of a fixed size: exactly so many, and everyone with the chance it was given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelessfl.strategy.baselines import proportional_q
from wirelessfl.strategy.sampling import with_replacement, without_replacement


def test_every_sequence_of_draws_comes_up_as_its_odds_say():
    """Uniforms in the middle of each client's interval stand for all that lead to it."""
    odds = np.array([0.5, 0.0, 0.2, 0.3])
    ends = np.cumsum(odds)
    for sequence in itertools.product([0, 2, 3], repeat=3):
        uniforms = np.array([ends[n] - odds[n] / 2 for n in sequence])
        counts = with_replacement(3 * odds, np.append(uniforms, 0.999))
        np.testing.assert_array_equal(counts, np.bincount(sequence, minlength=4))


def test_nobody_is_drawn_where_nobody_can_be():
    assert with_replacement(np.zeros(3), np.full(3, 0.5)).tolist() == [0, 0, 0]
    assert without_replacement(np.zeros(3), np.full(3, 0.5)).tolist() == [0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(0, 10**6), st.data())
def test_exactly_so_many_clients_are_drawn_once_each(clients: int, seed: int, data):
    rng = np.random.default_rng(seed)
    number = data.draw(st.integers(1, clients))
    q = proportional_q(rng.lognormal(0, 2, clients), number)
    drawn = without_replacement(q, rng.random(clients))
    assert set(drawn.tolist()) <= {0, 1}
    assert drawn.sum() == number
    assert (drawn[q == 1] == 1).all()


def test_each_is_drawn_with_its_probability():
    rng = np.random.default_rng(0)
    q = proportional_q(np.array([1.0, 2.0, 3.0, 4.0, 20.0, 0.5]), 3)
    trials = 20_000
    share = np.mean([without_replacement(q, rng.random(6)) for _ in range(trials)], axis=0)
    deviation = np.sqrt(q * (1 - q) / trials)
    assert (np.abs(share - q) <= 4.5 * deviation + 1e-12).all()


def test_equal_chances_make_every_set_equally_likely():
    rng = np.random.default_rng(1)
    sets = [tuple(without_replacement(np.full(5, 0.4), rng.random(5))) for _ in range(10_000)]
    _, counts = np.unique(sets, axis=0, return_counts=True)
    assert len(counts) == 10
    assert counts == pytest.approx(np.full(10, 1000), abs=150)
