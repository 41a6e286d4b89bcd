"""What is true of every run, whatever the scenario."""

from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.network.access import Access
from wirelessfl.network.channel import build_channel
from wirelessfl.simulation import engine, simulate, world

VARIANTS = [
    (),
    ("strategy.kind=full", "devices.failures.drop_probability=0.3"),
    ("strategy.kind=adaptive-paper", "stop.rounds=8"),
    ("strategy.kind=adaptive-async", "stop.rounds=20"),
    ("strategy.kind=adaptive", "stop.rounds=8", "network.fading.kind=jakes"),
    ("strategy.kind=full", "server.deadline=3 s", "network.fading.kind=none"),
    (
        "strategy.kind=full",
        "stop.rounds=10",
        "devices.availability={kind: on_off, mean_on: 6 s, mean_off: 2 s}",
        "devices.failures={crash_probability: 0.2, reboot: 2 s, upload_loss_probability: 0.3}",
        "devices.background={jobs_per_hour: 1200, duration: 1 s}",
    ),
    (
        "strategy.kind=full",
        "devices.count=20",
        "devices.availability={kind: on_off, mean_on: 6 s, mean_off: 2 s}",
        "devices.failures={drop_probability: 0.3, crash_probability: 0.2, reboot: 2 s}",
        "server.deadline=6 s",
        "network.topology={kind: hex_grid, rings: 1}",
        "network.backhaul={latency: 50 ms, rate: 2 Mbit/s}",
    ),
    (
        "strategy={kind: fedasync, participation: {concurrency: 4}}",
        "stop.rounds=20",
        "devices.availability={kind: on_off, mean_on: 6 s, mean_off: 2 s}",
        "devices.failures={crash_probability: 0.2, reboot: 2 s, upload_loss_probability: 0.3}",
        "devices.background={jobs_per_hour: 1200, duration: 1 s}",
    ),
    (
        "strategy={kind: fedbuff, buffer: 4, participation: {concurrency: 12}}",
        "stop.rounds=6",
        "devices.count=20",
        "devices.availability={kind: on_off, mean_on: 6 s, mean_off: 2 s}",
        "devices.failures={drop_probability: 0.3, crash_probability: 0.2, reboot: 2 s}",
        "server.deadline=6 s",
        "network.topology={kind: hex_grid, rings: 1}",
        "network.backhaul={latency: 50 ms, rate: 2 Mbit/s}",
    ),
    *(
        (
            "strategy={kind: fedbuff, buffer: 2, participation: {concurrency: 5}, "
            f"bandwidth: {{kind: {rule}}}}}",
        )
        for rule in ("work_conserving", "max_min", "tdma_fifo", "proportional_fair")
    ),
]


@pytest.fixture
def accesses(monkeypatch) -> list[Access]:
    """The networks of the runs that follow."""
    made: list[Access] = []

    class Watched(Access):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(world, "Access", Watched)
    return made


@pytest.mark.parametrize("overrides", VARIANTS, ids=lambda o: " ".join(o) or "plain")
@pytest.mark.slow
def test_time_goes_forward_and_bits_and_bandwidth_are_conserved(small, accesses, overrides):
    if any("fading.kind" in override for override in overrides):
        kind = next(o for o in overrides if "fading.kind" in o).partition("=")[2]
        overrides = tuple(o for o in overrides if "fading.kind" not in o)
        overrides += (f"network.fading={{kind: {kind}}}",)
    scenario = small(*overrides)
    trace = simulate(scenario)
    rounds, clients, events = trace.rounds, trace.clients, trace.events

    assert (rounds["start_s"].iloc[1:].to_numpy() >= rounds["end_s"].iloc[:-1].to_numpy()).all()
    assert events["time_s"].is_monotonic_increasing
    steps = ["download_start_s", "download_end_s", "compute_start_s", "compute_end_s"]
    times = clients[[*steps, "upload_start_s", "upload_end_s"]].to_numpy()
    reached = ~np.isnan(times)
    assert (np.diff(times, axis=1)[reached[:, 1:] & reached[:, :-1]] >= 0).all()

    for _, own in clients.groupby("client"):
        work = own[["compute_start_s", "compute_s"]].dropna().sort_values("compute_start_s")
        ends = (work["compute_start_s"] + work["compute_s"]).to_numpy()
        assert (work["compute_start_s"].to_numpy()[1:] >= ends[:-1] - 1e-9).all()

    payload = engine.shared_learner(scenario).workload.download_bits(clients["rank"])
    delivered = (clients["outcome"] == "completed").to_numpy()
    assert np.allclose(clients["uplink_bits"][delivered], payload[delivered], rtol=1e-9)
    assert (clients["uplink_bits"] <= payload * (1 + 1e-9)).all()
    (access,) = accesses
    network = scenario.network
    for links, column, section in (
        (access.downlinks, "downlink_bits", network.downlink),
        (access.uplinks, "uplink_bits", network.uplink),
    ):
        assert len(links) == clients["cell"].max() + 1
        for cell, link in enumerate(links):
            bits = clients[column][clients["cell"] == cell].sum()
            assert link.bits_sent == pytest.approx(bits, rel=1e-9)
            _, used_hz = link.utilisation()
            assert used_hz.max() <= section.bandwidth_hz * (1 + 1e-9)


def test_strategies_meet_the_same_world(small):
    """Same seed: same places, devices and speeds, whoever asks and whatever ran before."""
    first = simulate(small("strategy.kind=full")).clients
    other = simulate(small("strategy.kind=uniform", "seed=0")).clients
    both = first.merge(other, on=["round", "client"], suffixes=("", "_other"))
    assert len(both) > 0
    assert (both["distance_m"] == both["distance_m_other"]).all()
    assert (both["profile"] == both["profile_other"]).all()
    assert np.allclose(both["compute_s"], both["compute_s_other"])  # same jitter

    scenario = small()
    channels = [build_channel(scenario.network, 6, scenario.seed) for _ in range(2)]
    slots, share = np.arange(-5, 50), np.full(6, 1e5)
    rates = [c.rate_bps("uplink", np.arange(6), slots, share) for c in channels]
    one_by_one = channels[1].rate_bps("uplink", np.array([4]), slots[[7]], share[:1])
    assert (rates[0] == rates[1]).all()
    assert one_by_one[0, 0] == rates[0][4, 7]


def test_the_seed_changes_the_world(small):
    a, b = (simulate(small("strategy.kind=full", f"seed={seed}")) for seed in (0, 1))
    assert not np.allclose(a.clients["distance_m"], b.clients["distance_m"])


def test_a_run_stops_at_its_target(small):
    trace = simulate(small("stop.target={metric: loss, below: 100}", "stop.rounds=5"))
    assert trace.summary["target_reached"]
    assert trace.rounds["round"].tolist() == [0, 1]
