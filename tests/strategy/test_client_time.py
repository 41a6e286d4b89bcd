"""What a round would take one client is what the planner's model and the simulator say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.strategy.conftest import observation
from wirelessfl.scenario.sharing import WorkConserving
from wirelessfl.strategy.client_time import client_time_s
from wirelessfl.strategy.round_model import expected_round_s


@pytest.mark.parametrize("latency_s", [0.0, 3.0])
def test_alone_a_client_takes_what_its_round_takes(latency_s: float) -> None:
    """Latency counts for its download and for its upload, and the wire's rate for both."""
    seen = observation(
        1, 4, latency_s=np.full(4, latency_s), backhaul_bps=np.array([np.inf, 1e6, 5e5, 2e6])
    )
    k = np.array([16, 8, 4, 2])
    alone_s = client_time_s(seen, k, participants=1)
    for client in range(4):
        q = np.where(np.arange(4) == client, 1.0, 0.0)
        round_s = expected_round_s(seen, WorkConserving(), q, k) - seen.server_overhead_s
        assert alone_s[client] == pytest.approx(round_s, rel=1e-12)
