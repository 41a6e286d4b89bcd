from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.learning.local import local_batches

OWNED = np.arange(100, 110)


def test_no_sample_repeats_within_an_epoch():
    rows = local_batches(OWNED, seed=0, client=1, round=2, steps=6, batch=3)
    assert rows.shape == (6, 3)
    for epoch in (rows[:3], rows[3:]):
        assert len(set(epoch.ravel())) == 9
    assert set(rows.ravel()) <= set(OWNED)


@pytest.mark.parametrize("batch", [10, 16])
def test_a_client_with_fewer_samples_than_the_batch_uses_all_of_them(batch: int):
    for row in local_batches(OWNED, seed=0, client=1, round=2, steps=3, batch=batch):
        assert sorted(row) == OWNED.tolist()


def test_batches_depend_on_seed_client_and_round_only():
    def draw(seed: int, client: int, round: int) -> list[list[int]]:
        return local_batches(OWNED, seed, client, round, steps=2, batch=4).tolist()

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({str(draw(*key)) for key in [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3)]}) == 4
