"""Draws from the compiled loop are those of `randomness`, whatever is asked for at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wirelessfl import randomness
from wirelessfl.network import draws

MANY = st.integers(-(2**62), 2**62)


@given(
    seed=st.integers(0, 2**70),
    clients=arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 10**6)),
    slots=arrays(np.int64, st.integers(0, 20), elements=MANY),
)
def test_a_table_of_draws_is_the_same_bit_for_bit(seed: int, clients, slots) -> None:
    one_by_one = randomness.uniform(seed, "fading.uplink", clients[:, None], slots)
    assert np.array_equal(draws.uniform(seed, "fading.uplink", clients, slots), one_by_one)
    one_by_one = randomness.exponential(seed, "fading.uplink", clients[:, None], slots)
    assert np.array_equal(draws.exponential(seed, "fading.uplink", clients, slots), one_by_one)


@pytest.mark.parametrize("slots", [np.arange(40)[::-2], np.arange(20, dtype=np.int32)])
def test_slots_may_be_any_integers(slots) -> None:
    table = draws.uniform(1, "x", np.arange(3), slots)
    assert np.array_equal(table, randomness.uniform(1, "x", np.arange(3)[:, None], slots))


def test_draws_never_change_from_version_to_version() -> None:
    bits = randomness.bits(1, "fading.uplink", 0, [-1, 0, 1])
    assert bits.tolist() == [
        8402123594298808146,
        10715143242168126484,
        10712442359620748581,
    ]
