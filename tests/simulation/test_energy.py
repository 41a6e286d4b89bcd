"""What a round costs in energy, by hand: receiving, waiting, computing and sending."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.simulation.test_presence import clients_of, two
from tests.simulation.test_rounds import rate_bps
from wirelessfl.device.fleet import build_fleet
from wirelessfl.network.channel import build_channel
from wirelessfl.scenario import loads
from wirelessfl.scenario.network import Uplink
from wirelessfl.simulation import simulate
from wirelessfl.simulation.energy import Activity, EnergyMeter
from wirelessfl.simulation.engine import shared_learner

MEMORY = "memory_bandwidth: 1 TB/s, memory: 4 GB"
DEVICES = (
    "devices.profiles={slow: {effective_flops: 8 MFLOP/s, compute_power: 5 W, receive_power: 1 W, "
    f"idle_power: 300 mW, {MEMORY}}}, fast: {{cpu: {{frequency: 20 MHz, cycles_per_flop: 0.5, "
    f"kappa: 1e-22}}, {MEMORY}}}}}"
)
RADIO = "devices.radio={pa_efficiency: 0.5, circuit_power: 200 mW}"
RADIATED_W = 0.1  # 20 dBm


def test_each_part_is_its_power_times_its_time():
    scenario = two(DEVICES, RADIO, "network.uplink.power_mode=total")
    trace = simulate(scenario)
    own = clients_of(trace)
    slow = own[own["profile"] == "slow"].iloc[0]
    fast = own[own["profile"] == "fast"].iloc[0]
    assert slow["receive_j"] == pytest.approx(1.0 * slow["download_s"])
    assert slow["compute_j"] == pytest.approx(5.0 * slow["compute_s"])
    flops = float(shared_learner(scenario).workload.local_flops(np.array([0]), np.array([4]))[0])
    assert fast["compute_s"] == pytest.approx(flops / 40e6)
    assert fast["compute_j"] == pytest.approx(1e-22 * 0.5 * flops * (20e6) ** 2)
    assert fast["receive_j"] == fast["idle_j"] == 0
    for client in (slow, fast):
        assert client["transmit_j"] == pytest.approx((RADIATED_W / 0.5 + 0.2) * client["upload_s"])
        parts = client[["receive_j", "idle_j", "compute_j", "transmit_j"]].sum()
        assert client["energy_j"] == pytest.approx(parts)
    assert trace.rounds["energy_j"].iloc[-1] == pytest.approx(own["energy_j"].sum())


def test_waiting_for_the_processor_costs_idle_power():
    busy = "devices.background={jobs_per_hour: 30000, duration: 100 ms}"
    clients = simulate(two(DEVICES, busy, "stop.rounds=6")).clients
    slow = clients[clients["profile"] == "slow"]
    assert (slow["queue_s"] > 0).any()
    assert np.allclose(slow["idle_j"], 0.3 * slow["queue_s"])


@pytest.mark.parametrize("rule", ["equal_share", "work_conserving", "equal_finish"])
def test_power_per_resource_block_radiates_only_on_the_share_held(rule: str):
    """However the band is shared, P for as long as the upload would take with all of it."""
    scenario = two(DEVICES, RADIO, f"strategy.bandwidth.kind={rule}")
    own = clients_of(simulate(scenario))
    alone_s = float(shared_learner(scenario).workload.download_bits(4)) / rate_bps(2e4, 20, 5)
    expected = RADIATED_W / 0.5 * alone_s + 0.2 * own["upload_s"]
    assert (own["upload_s"] > 1.05 * alone_s).any()
    assert np.allclose(own["transmit_j"], expected)


def test_in_fading_the_share_held_is_found_within_a_few_percent():
    """A third of a band that fades, for 40 s: bits are what really went through it."""
    scenario = loads(
        "name: x\ndevices: {count: 200, mix: {jetson-nano: 1}}\nnetwork:\n"
        "  uplink: {power_mode: per_rb}\n  fading: {kind: rayleigh_block, coherence_time: 20 ms}\n"
    )
    channel = build_channel(scenario.network, 200, 0)
    meter = EnergyMeter(build_fleet(scenario.devices, 0), channel, scenario.network.uplink)
    clients, start_s, length_s = np.arange(200), np.linspace(0, 30, 200), 40.0
    share_hz = np.full(200, scenario.network.uplink.bandwidth_hz / 3)
    slots = np.arange(0, 3501)
    rate_bps = channel.rate_bps("uplink", clients, slots, share_hz)
    sending = (slots * 0.02 >= start_s[:, None]) & (slots * 0.02 < start_s[:, None] + length_s)
    did = Activity(
        clients=clients,
        cell=np.zeros(200, int),
        receiving_s=np.zeros(200),
        waiting_s=np.zeros(200),
        computing_s=np.zeros(200),
        flops=np.zeros(200),
        sending_from_s=start_s,
        sending_s=np.full(200, length_s),
        sent_bits=(rate_bps * sending).sum(axis=1) * 0.02,
    )
    occupancy = meter._occupancy(did)
    assert occupancy.mean() == pytest.approx(1 / 3, rel=0.02)
    assert np.abs(occupancy * 3 - 1).max() < 0.4  # one draw of 150 slots each


def test_a_meter_without_power_modes_of_its_own_bounds_what_batteries_reckon_with():
    scenario = two(RADIO)
    channel = build_channel(scenario.network, 2, 0)
    meter = EnergyMeter(build_fleet(scenario.devices, 0), channel, Uplink(power_dbm=30.0))
    assert meter.sending_w == pytest.approx(1.0 / 0.5 + 0.2)


def test_nobody_sending_costs_nothing_and_unknown_power_is_missing():
    own = clients_of(simulate(two("devices.failures.drop_probability=0.999")))
    assert (own["transmit_j"] == 0).all()
    assert own["compute_j"].isna().all()
    assert all(math.isnan(joules) for joules in own["energy_j"])
