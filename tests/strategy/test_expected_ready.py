"""When the server expects the chosen participants to begin their uploads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategy.conftest import observation
from wirelessfl.strategy.round_model import expected_ready_s


def two_clients(rate_bps: list[float]):
    return observation(
        clients=2,
        download_fixed_bits=0.0,
        upload_fixed_bits=0.0,
        download_bits_per_rank=1e6,
        upload_bits_per_rank=1e6,
        downlink_hz=4e6,
        downlink_share_hz=1e6,
        downlink_rate_bps=np.array(rate_bps),
        compute_fixed_s=np.array([1.0, 2.0]),
        compute_per_rank_s=np.array([0.5, 0.25]),
    )


def test_downloads_share_the_link_and_computing_follows():
    """Alone, 4 Mbit take 1 s and 2 s; together the shorter ends after 2 s, the longer after 3 s."""
    ready_s = expected_ready_s(two_clients([1e6, 0.5e6]), np.array([0, 1]), np.array([4, 4]))
    assert ready_s == pytest.approx([2 + 1 + 2, 3 + 2 + 1])


def test_a_client_in_an_outage_is_expected_like_the_slowest_that_reports():
    chosen, ranks = np.array([0, 1]), np.array([4, 4])
    silent = expected_ready_s(two_clients([1e6, 0.0]), chosen, ranks)
    assert silent == pytest.approx(expected_ready_s(two_clients([1e6, 1e6]), chosen, ranks))
    assert np.isfinite(expected_ready_s(two_clients([0.0, 0.0]), chosen, ranks)).all()
