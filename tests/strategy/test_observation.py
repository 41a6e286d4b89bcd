"""What a strategy is shown of some clients is complete."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from tests.strategy.conftest import observation
from wirelessfl.strategy.observation import Observation, Powers, TrueUpdates

CLIENTS, ROWS = 7, np.array([5, 1])


def full() -> Observation:
    """Every field of clients differs from client to client."""
    each = np.arange(1.0, CLIENTS + 1)
    return replace(
        observation(3, CLIENTS),
        max_rank=np.arange(CLIENTS),
        available=np.arange(CLIENTS) % 2 == 0,
        download_missed_bits=7 * each,
        cell=np.arange(CLIENTS),
        backhaul_bps=8 * each,
        latency_s=9 * each,
        uplink_efficiency_of=lambda clients, share_hz: share_hz * each[clients],
        powers=Powers(each, 2 * each, 3 * each, 0.5, 0.25),
        true_updates=lambda: TrueUpdates(each, 1.0),
    )


def test_some_clients_keep_everything_that_is_theirs() -> None:
    whole = full()
    some, two = whole.only(ROWS), np.arange(2)
    for owner, part in ((whole, some), (whole.powers, some.powers)):
        for field in fields(owner):
            value = getattr(owner, field.name)
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(part, field.name), value[ROWS], field.name)
            elif not callable(value) and field.name != "powers":
                assert getattr(part, field.name) == value
    np.testing.assert_array_equal(some.uplink_rate_of(two), whole.uplink_rate_of(ROWS))
    np.testing.assert_array_equal(some.downlink_rate_of(two), whole.downlink_rate_of(ROWS))
    np.testing.assert_array_equal(
        some.uplink_efficiency_of(two, 2.0), whole.uplink_efficiency_of(ROWS, 2.0)
    )


def test_the_total_of_all_true_updates_is_not_that_of_some() -> None:
    assert full().only(ROWS).true_updates is None
