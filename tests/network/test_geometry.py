from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.network.geometry import positions
from wirelessfl.scenario.place import Cells, FixedPlacement, UniformPlacement

CELL = Cells(radius_m=500.0, min_distance_m=35.0)


def distances(xy: np.ndarray) -> np.ndarray:
    return np.hypot(xy[:, 0], xy[:, 1])


def test_uniform_clients_fill_the_ring_in_proportion_to_area():
    xy = positions(UniformPlacement(), CELL, 20_000, seed=1)
    distance = distances(xy)
    assert distance.min() >= 35.0
    assert distance.max() <= 500.0
    for radius in (100.0, 250.0, 400.0):
        area = (radius**2 - 35.0**2) / (500.0**2 - 35.0**2)
        assert np.mean(distance < radius) == pytest.approx(area, abs=0.012)
    assert np.abs(xy.mean(axis=0)).max() < 8.0


def test_a_client_stays_put_when_others_join():
    few = positions(UniformPlacement(), CELL, 7, seed=3)
    many = positions(UniformPlacement(), CELL, 700, seed=3)
    np.testing.assert_array_equal(few, many[:7])
    assert not np.array_equal(few, positions(UniformPlacement(), CELL, 7, seed=4))


def test_fixed_distances_are_kept():
    each = positions(FixedPlacement(distances_m=(50.0, 100.0, 300.0)), CELL, 3, seed=1)
    np.testing.assert_allclose(distances(each), [50.0, 100.0, 300.0])
    same = positions(FixedPlacement(distances_m=(80.0,)), CELL, 4, seed=1)
    np.testing.assert_allclose(distances(same), 80.0)


def test_fixed_distances_must_fit_the_clients():
    with pytest.raises(InputError, match="2 values for 3 clients"):
        positions(FixedPlacement(distances_m=(50.0, 60.0)), CELL, 3, seed=1)
