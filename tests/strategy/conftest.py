"""Random planning problems and observations of plausible size."""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.observation import Observation


def observation(
    seed: int = 0, clients: int = 40, rank: int = 16, round: int = 0, **changes: object
) -> Observation:
    """Clients with lognormal data, rates over 1:20 and compute times over 1:10."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0, 1, clients)
    values: dict[str, object] = {
        "round": round,
        "time_s": 0.0,
        "weights": weights / weights.sum(),
        "rank": rank,
        "max_rank": np.full(clients, rank),
        "available": np.ones(clients, dtype=bool),
        "download_fixed_bits": 1e5,
        "download_bits_per_rank": 1e6,
        "download_missed_bits": np.zeros(clients),
        "upload_fixed_bits": 1e5,
        "upload_bits_per_rank": 1e6,
        "cell": np.zeros(clients, dtype=np.int64),
        "backhaul_bps": np.full(clients, np.inf),
        "uplink_hz": 5e6,
        "uplink_share_hz": 5e5,
        "uplink_rate_bps": 5e5 * np.exp(rng.uniform(np.log(0.3), np.log(6), clients)),
        "downlink_hz": 20e6,
        "downlink_share_hz": 2e6,
        "downlink_rate_bps": 2e6 * np.exp(rng.uniform(np.log(1), np.log(6), clients)),
        "compute_fixed_s": np.exp(rng.uniform(np.log(2), np.log(20), clients)),
        "compute_per_rank_s": np.exp(rng.uniform(np.log(0.02), np.log(0.2), clients)),
        "latency_s": np.zeros(clients),
        "server_overhead_s": 0.5,
    }
    values |= changes
    for link in ("uplink", "downlink"):
        values[f"{link}_rate_of"] = values.pop(f"{link}_rate_bps").__getitem__  # type: ignore
    return Observation(**values)  # type: ignore[arg-type]
