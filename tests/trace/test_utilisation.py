"""Counters add up: as many bits as were transferred, however finely or coarsely they are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.trace import utilisation
from wirelessfl.trace.utilisation import MOST_CELLS, MOST_STEPS, Counter, counters


def clients(n: int, cells: int = 1, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    begin_s, lengths_s = rng.uniform(0, 1000, n), rng.uniform(0.1, 20, (2, n))
    return pd.DataFrame(
        {
            "cell": rng.integers(cells, size=n),
            "download_start_s": begin_s,
            "download_s": lengths_s[0],
            "upload_start_s": begin_s + 30.0,
            "upload_s": lengths_s[1],
            "downlink_bits": rng.uniform(1e6, 1e7, n),
            "uplink_bits": rng.uniform(1e6, 1e7, n),
        }
    )


def integrals(counter: Counter) -> np.ndarray:
    return (counter.values[:-1] * np.diff(counter.times_s)[:, None]).sum(axis=0)


@given(n=st.integers(1, 2000), cells=st.integers(1, 40), seed=st.integers(0, 99))
def test_integrals_are_bits_and_seconds_and_steps_are_bounded(n: int, cells: int, seed: int):
    table = clients(n, cells, seed)
    active, *throughput = counters(table)
    seconds = table[["download_s", "upload_s"]].sum().to_numpy()
    np.testing.assert_allclose(integrals(active), seconds, rtol=1e-9)
    megabits = table[["downlink_bits", "uplink_bits"]].sum().to_numpy() / 1e6
    np.testing.assert_allclose(sum(map(integrals, throughput)), megabits, rtol=1e-9)
    assert len(throughput) <= MOST_CELLS + 1
    for counter in (active, *throughput):
        assert len(counter.times_s) <= max(MOST_STEPS + 1, 4)
        assert (np.diff(counter.times_s) > 0).all()
        assert (counter.values >= 0).all()
        assert not counter.values[-1].any()


def test_cells_with_most_bits_have_a_counter_of_their_own():
    table = clients(3 * 40, cells=1)
    table["cell"] = np.arange(120) % 40
    table["uplink_bits"] = np.where(table["cell"] >= 40 - MOST_CELLS, 1e9, 1e6)
    _, *throughput = counters(table)
    own = [f"cell {cell} (Mbit/s)" for cell in range(40 - MOST_CELLS, 40)]
    assert [counter.name for counter in throughput] == [*own, "other cells (Mbit/s)"]


def test_a_coarse_counter_has_the_means_of_the_fine_one(monkeypatch: pytest.MonkeyPatch):
    table = clients(30)
    fine = next(counters(table))
    monkeypatch.setattr(utilisation, "MOST_STEPS", 10)
    coarse = next(counters(table))
    edges_s = np.linspace(fine.times_s[0], fine.times_s[-1], 11)
    np.testing.assert_allclose(coarse.times_s, edges_s)
    moments_s = np.linspace(edges_s[0], edges_s[1], 200_001)[:-1]
    there = fine.values[np.searchsorted(fine.times_s, moments_s, side="right") - 1]
    np.testing.assert_allclose(coarse.values[0], there.mean(axis=0), atol=1e-3)


def test_transfers_that_never_began_do_not_count():
    table = clients(4)
    table.loc[1:, "upload_s"] = 0.0
    table.loc[1:, "upload_start_s"] = np.nan
    active = next(counters(table))
    np.testing.assert_allclose(integrals(active)[1], table["upload_s"][0])
    assert list(counters(table[:0])) == []
