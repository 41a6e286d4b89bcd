"""The air is a function of (seed, client, time): not of who else is asked about, when, or how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelessfl.network.channel import Channel, build_channel
from wirelessfl.scenario.network import NetworkConfig, Replay, Uplink
from wirelessfl.scenario.radio import (
    CqiRate,
    FixedPathLoss,
    GilbertElliott,
    Jakes,
    LognormalShadowing,
    Nakagami,
    NoFading,
    RayleighBlock,
    Rician,
    ShannonRate,
    Tr38901PathLoss,
)

CLIENTS = 12
TRACES = Path(__file__).parents[2] / "scenarios" / "traces" / "commute.csv"
NETWORKS = {
    "none": NetworkConfig(fading=NoFading()),
    "rayleigh_block": NetworkConfig(fading=RayleighBlock(), rate=CqiRate()),
    "rician": NetworkConfig(
        path_loss=Tr38901PathLoss(environment="rma"), fading=Rician(), rate=ShannonRate()
    ),
    "nakagami": NetworkConfig(fading=Nakagami(m=0.7), uplink=Uplink(power_mode="per_rb")),
    "jakes": NetworkConfig(fading=Jakes(), rate=ShannonRate()),
    "gilbert_elliott": NetworkConfig(
        path_loss=FixedPathLoss(), shadowing=LognormalShadowing(), fading=GilbertElliott()
    ),
    "replay": NetworkConfig(replay=Replay(file=str(TRACES))),
}
CHANNELS = {name: build_channel(network, CLIENTS, 1) for name, network in NETWORKS.items()}
DIRECTIONS = st.sampled_from(["uplink", "downlink"])


def rates(channel: Channel, direction, clients: list[int], slots: list[int]) -> np.ndarray:
    who = np.array(clients)
    return channel.rate_bps(direction, who, np.array(slots), 4e5 * (1.0 + who))


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=25, deadline=None)
@given(
    clients=st.lists(st.integers(0, CLIENTS - 1), min_size=1, max_size=5),
    slots=st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=5),
    direction=DIRECTIONS,
    data=st.data(),
)
def test_a_rate_is_the_same_in_any_batch_and_order(name, clients, slots, direction, data):
    channel = CHANNELS[name]
    together = rates(channel, direction, clients, slots)
    assert together.shape == (len(clients), len(slots))
    rows = data.draw(st.permutations(range(len(clients))))
    columns = data.draw(st.permutations(range(len(slots))))
    shuffled = rates(channel, direction, [clients[i] for i in rows], [slots[j] for j in columns])
    np.testing.assert_array_equal(shuffled, together[np.ix_(rows, columns)])
    for i in rows:
        for j in columns:
            alone = rates(channel, direction, [clients[i]], [slots[j]])
            assert alone[0, 0] == together[i, j]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(
    clients=st.lists(st.integers(0, CLIENTS - 1), min_size=2, max_size=5),
    t_s=st.floats(-100.0, 1e5),
    direction=DIRECTIONS,
)
def test_a_report_is_the_same_in_any_batch(name, clients, t_s, direction):
    who = np.array(clients)
    share = 4e5 * (1.0 + who)
    together = CHANNELS[name].reported_rate_bps(direction, who, t_s, share)
    for i in range(len(who)):
        alone = CHANNELS[name].reported_rate_bps(direction, who[i : i + 1], t_s, share[i : i + 1])
        assert alone[0] == together[i]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_clients_air_does_not_depend_on_how_many_others_there_are(name: str):
    """Distances, shadowing, line of sight, K factors, phases and offsets included."""
    crowd = build_channel(NETWORKS[name], 40 * CLIENTS, 1)
    few, slots = list(range(CLIENTS)), list(range(-30, 30))
    for direction in ("uplink", "downlink"):
        np.testing.assert_array_equal(
            rates(CHANNELS[name], direction, few, slots), rates(crowd, direction, few, slots)
        )
    everyone = np.arange(CLIENTS)
    np.testing.assert_array_equal(
        CHANNELS[name].distances_m(everyone, 0.0), crowd.distances_m(everyone, 0.0)
    )


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "none"])
def test_asking_leaves_no_mark(name: str):
    """A channel that has been asked a thousand things answers like a new one, at any time."""
    asked = CHANNELS[name]
    for slot in range(0, 10**6, 50_000):
        rates(asked, "uplink", [slot % CLIENTS], [slot, -slot])
    fresh = build_channel(NETWORKS[name], CLIENTS, 1)
    everyone, slots = list(range(CLIENTS)), [-7, 12, 3, 10**6]
    np.testing.assert_array_equal(
        rates(asked, "uplink", everyone, slots), rates(fresh, "uplink", everyone, slots)
    )
    other = build_channel(NETWORKS[name], CLIENTS, 2)
    assert (
        rates(other, "uplink", everyone, slots) != rates(fresh, "uplink", everyone, slots)
    ).any()
