from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.learning.sketch import active_components, sketch_diagonal

GAMMA, MODULES = 8, 3


def draw(k: int, round: int = 0, client: int = 0, per_module: bool = False) -> np.ndarray:
    return active_components(1, client, round, k, GAMMA, MODULES, per_module)


@pytest.mark.parametrize("per_module", [False, True])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_expected_sketch_is_the_identity(k: int, per_module: bool):
    rounds = 3000
    mean = np.mean(
        [sketch_diagonal(draw(k, round, per_module=per_module), GAMMA) for round in range(rounds)],
        axis=0,
    )
    deviation = np.sqrt((GAMMA / k - 1) / rounds)
    assert np.abs(mean - 1).max() <= 4.5 * deviation


@pytest.mark.parametrize("k", range(1, GAMMA + 1))
def test_k_different_components_are_active(k: int):
    active = draw(k, per_module=True)
    assert active.shape == (MODULES, k)
    assert all(len(set(row)) == k for row in active.tolist())
    diagonal = sketch_diagonal(active, GAMMA)
    assert np.array_equal((diagonal > 0).sum(1), [k] * MODULES)
    assert np.array_equal(np.unique(diagonal[diagonal > 0]), [np.float32(GAMMA / k)])


def test_modules_share_a_set_unless_each_draws_its_own():
    assert (draw(3) == draw(3)[0]).all()
    own = draw(3, per_module=True)
    assert not (own == own[0]).all()


def test_clients_and_rounds_draw_their_own_sets_and_always_the_same():
    sets = {tuple(draw(4, round, client)[0]) for round in range(10) for client in range(10)}
    assert len(sets) > 40  # of 70 possible
    assert np.array_equal(draw(4, 2, 3), draw(4, 2, 3))


def test_a_smaller_set_is_part_of_a_larger_one():
    for k in range(1, GAMMA):
        assert set(draw(k)[0]) < set(draw(k + 1)[0])
