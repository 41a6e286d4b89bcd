"""Compiled walks over participant sets agree with what their formulas say of each set alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.strategy.set_kernels import equal_finish, queue, queue_without


def random_sets(seed: int, clients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members, tau (some of them equal) and airtime of a few sets, one of them empty."""
    rng = np.random.default_rng(seed)
    members = (rng.random((clients, 6)) < 0.5).astype(float)
    members[:, 0] = 0.0
    tau = rng.integers(0, 6, (clients, 6)) / 2.0
    return members, tau, members * rng.exponential(1.0, (clients, 6))


def end_s(who: np.ndarray, tau: np.ndarray, airtime: np.ndarray) -> float:
    """max_j (tau_j + sum of airtime over tau_i >= tau_j); 0 without members."""
    return max(
        (tau[j] + airtime[who & (tau >= tau[j])].sum() for j in np.flatnonzero(who)), default=0.0
    )


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_a_queue_ends_as_its_formula_says_with_and_without_each_client(
    seed: int, clients: int
) -> None:
    members, tau, airtime = random_sets(seed, clients)
    end, first = queue(members, tau, airtime)
    before, later, without = queue_without(members, tau, airtime)
    for s in range(members.shape[1]):
        who = members[:, s] > 0
        assert end[s] == pytest.approx(end_s(who, tau[:, s], airtime[:, s]))
        if who.any():
            j = first[s]
            assert who[j]
            busy = airtime[who & (tau[:, s] >= tau[j, s]), s].sum()
            assert tau[j, s] + busy == pytest.approx(end[s])
        for n in range(clients):
            others = who & (np.arange(clients) != n)
            assert without[n, s] == pytest.approx(end_s(others, tau[:, s], airtime[:, s]))
            with_it = max(tau[n, s] + later[n, s], before[n, s]) + airtime[n, s]
            assert max(with_it, without[n, s]) == pytest.approx(
                end_s(who, tau[:, s], airtime[:, s]) if who[n] else max(with_it, without[n, s])
            )


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_uploads_that_end_together_fill_the_uplink(seed: int, clients: int) -> None:
    members, tau, airtime = random_sets(seed, clients)
    end = equal_finish(queue(members, tau, airtime)[0], tau, airtime)
    for s in range(members.shape[1]):
        who = members[:, s] > 0
        if not who.any():
            assert end[s] == 0.0
            continue
        assert end[s] > tau[who, s].max()
        assert (airtime[who, s] / (end[s] - tau[who, s])).sum() == pytest.approx(1.0)
