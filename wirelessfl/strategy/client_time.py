"""What a round among m participants would take a client: A_n = compute_n + 2 l_n + m (d_n + t_n).

d_n and t_n are download and upload with the whole bandwidth, of which each of m has a part; of the
m, those in other cells have bandwidth of their own. l_n is the latency behind its cell, there and
back. (`reconstructed`)
"""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.observation import Floats, Ints, Observation


def client_time_s(observation: Observation, k: Ints, participants: float) -> Floats:
    """A_n of every client in rounds of so many participants; infinite if it reports no rate.

    Args:
        observation: What the server knows.
        k: Ranks each client trains. [clients]
        participants: m.
    """
    seen = observation
    residents = np.bincount(seen.cell)[seen.cell]
    together = np.maximum(1.0, participants * residents / seen.clients)
    downloaded, uploaded = seen.download_bits(np.arange(seen.clients), k), seen.upload_bits(k)
    with np.errstate(divide="ignore"):
        air_s = downloaded / seen.downlink_rate_bps * (seen.downlink_share_hz / seen.downlink_hz)
        air_s += uploaded / seen.uplink_rate_bps * (seen.uplink_share_hz / seen.uplink_hz)
    wire_s = (downloaded + uploaded) / seen.backhaul_bps
    alone_s = seen.compute_s(np.arange(seen.clients), k) + 2.0 * seen.latency_s
    return np.asarray(alone_s + together * (air_s + wire_s), dtype=np.float64)
