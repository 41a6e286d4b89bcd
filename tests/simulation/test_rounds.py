"""A whole round by hand: two clients, no fading, every bandwidth rule, to a nanosecond."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner

# Fixed loss, no shadowing, no fading, no jitter; power per resource block, so that rates are
# linear in the share and everything below is arithmetic.
TWO = """
name: two
stop: {rounds: 1}
server: {overhead: 250 ms}
network:
  path_loss: {kind: fixed, loss: 100 dB}
  shadowing: {kind: none}
  fading: {kind: none}
  rate: {kind: shannon}
  uplink: {bandwidth: 20 kHz, power: 20 dBm, noise_figure: 5 dB, power_mode: per_rb}
  downlink: {bandwidth: 2 MHz, power: 30 dBm, noise_figure: 7 dB}
devices:
  count: 2
  mix: {slow: 0.5, fast: 0.5}
  jitter: {kind: none}
  profiles:
    slow: {effective_flops: 8 MFLOP/s, memory_bandwidth: 1 TB/s, memory: 4 GB, source: a test}
    fast: {effective_flops: 40 MFLOP/s, memory_bandwidth: 1 TB/s, memory: 4 GB, source: a test}
learning:
  model: {kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}
  lora: {rank: 4, alpha: 8}
  local: {steps: 1, batch: 4}
strategy: {kind: full}
"""


def rate_bps(bandwidth_hz: float, power_dbm: float, noise_figure_db: float) -> float:
    noise_dbm = -174 + 10 * math.log10(bandwidth_hz) + noise_figure_db
    return bandwidth_hz * math.log2(1 + 10 ** ((power_dbm - 100 - noise_dbm) / 10))


def finishes(rule: str, ready: np.ndarray, alone_s: float) -> np.ndarray:
    """Upload ends of two equal uploads that take `alone_s` with the whole link. [2]"""
    first, last = np.sort(ready)
    if rule == "equal_finish":
        end = brentq(
            lambda t: alone_s / (t - first) + alone_s / (t - last) - 1,
            last + 1e-6,
            last + 10 * alone_s,
            xtol=1e-14,
        )
        ends = np.array([end, end])
    elif last >= first + alone_s:
        ends = np.array([first + alone_s, last + alone_s])
    elif rule == "equal_share":
        left = alone_s - (last - first)  # of the first, when the second joins
        ends = np.array([last + 2 * left, last + left + alone_s])
    else:  # work conserving, shares such that both are predicted to finish together
        end = first + 2 * alone_s
        ends = np.array([end, end])
    return ends[np.argsort(np.argsort(ready))]


@pytest.mark.parametrize("rule", ["equal_share", "work_conserving", "equal_finish"])
def test_a_round_of_two_clients_is_what_one_computes_by_hand(rule: str):
    scenario = loads(TWO, "two.yaml", [f"strategy.bandwidth.kind={rule}"])
    trace = simulate(scenario)
    learner = shared_learner(scenario)
    bits = float(learner.workload.download_bits(4))
    both = np.arange(2)

    clients = trace.clients.sort_values("client")
    flops_per_s = np.where(clients["profile"] == "slow", 8e6, 40e6)
    downloaded = np.full(2, 2 * bits / rate_bps(2e6, 30, 7))  # together, each half of the link
    ready = downloaded + learner.workload.local_flops(both, np.full(2, 4)) / flops_per_s
    uploaded = finishes(rule, ready, bits / rate_bps(2e4, 20, 5))

    assert 0 < np.ptp(ready) < 2 * bits / rate_bps(2e4, 20, 5)  # the uploads really overlap
    assert np.allclose(clients["download_end_s"], downloaded, rtol=0, atol=1e-9)
    assert np.allclose(clients["compute_end_s"], ready, rtol=0, atol=1e-9)
    assert np.allclose(clients["upload_end_s"], uploaded, rtol=0, atol=1e-9)
    assert trace.rounds["end_s"].iloc[-1] == pytest.approx(uploaded.max() + 0.25, abs=1e-9)


def test_clients_that_drop_out_are_waited_for_and_never_trained(small, monkeypatch):
    scenario = small("devices.failures.drop_probability=0.5", "strategy.kind=full")
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    outcomes = trace.clients["outcome"].value_counts()
    assert outcomes["dropped"] > 0
    assert len(trained) == outcomes["completed"] == trace.summary["gradient_jobs"]
    done = trace.clients[trace.clients["outcome"] == "completed"]
    assert set(trained) == set(zip(done["round"], done["client"], strict=True))
    lost = trace.clients[trace.clients["outcome"] == "dropped"]
    assert lost["upload_end_s"].isna().all()
    assert (lost["uplink_bits"] == 0).all()


def test_a_deadline_ends_the_round_and_cancels_the_late(small, monkeypatch):
    whole = simulate(small("strategy.kind=full"))
    ends = whole.clients[whole.clients["round"] == 1]["upload_end_s"]
    deadline_s = float(ends.min() + ends.max()) / 2
    in_time = int((ends <= deadline_s).sum())
    assert 0 < in_time < 6
    scenario = small("strategy.kind=full", "stop.rounds=1", f"server.deadline={deadline_s!r} s")
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    assert len(trained) == in_time
    outcomes = trace.clients["outcome"].value_counts().to_dict()
    assert outcomes == {"completed": in_time, "cancelled": 6 - in_time}
    assert trace.rounds["end_s"].iloc[-1] == pytest.approx(deadline_s + 0.1)
    late = trace.clients[trace.clients["outcome"] == "cancelled"]
    assert (late["upload_s"] <= deadline_s).all()  # the server's overhead is not theirs
    assert (late["uplink_bits"] < trace.clients["uplink_bits"].max()).all()


def test_the_time_limit_cuts_the_last_round_and_nothing_of_it_is_learnt(small, monkeypatch):
    whole = simulate(small())
    overhead_s = small().server.overhead_s
    working_s = whole.rounds["duration_s"].iloc[3] - overhead_s
    limit_s = float(whole.rounds["end_s"].iloc[2] + working_s / 2 + overhead_s)
    scenario = small(f"stop.time={limit_s!r} s")
    trained = count_trained(scenario, monkeypatch)
    trace = simulate(scenario)
    last = trace.rounds.iloc[-1]
    assert (last["round"], last["server_version"]) == (3, 2)
    assert last["end_s"] <= limit_s
    assert {round for round, _ in trained} == {1, 2}


def test_rounds_without_participants_stop_at_the_time_limit_too(small):
    trace = simulate(
        small("strategy.participation.expected=0.001", "stop.time=1 s", "stop.rounds=30")
    )
    assert trace.rounds["participants"].sum() == 0
    assert 0.8 < trace.rounds["end_s"].iloc[-1] < 1.0


def count_trained(scenario, monkeypatch) -> list[tuple[int, int]]:
    """(round, client) of every job whose gradients are really computed."""
    learner = shared_learner(scenario)
    trained: list[tuple[int, int]] = []
    train = type(learner).train

    def counting(self, jobs, models, method):
        trained.extend((job.round, job.client) for job in jobs)
        return train(self, jobs, models, method)

    monkeypatch.setattr(type(learner), "train", counting)
    return trained


OUT_OF_REACH = (
    "network.path_loss={kind: log_distance, loss_at_1km: 110 dB, slope: 400 dB}",
    "network.placement={kind: fixed, distances: [900 m, 100 km]}",
    "learning.task={kind: none, samples: 100, classes: 2}",
    "devices.mix={fast: 1}",
)


@pytest.mark.parametrize("fading", ["none", "rayleigh_block"])
@pytest.mark.parametrize("cut", ["server.deadline=2 h", "stop.time=2 h"])
def test_who_nothing_gets_through_to_is_waited_for_until_the_round_is_cut(cut: str, fading: str):
    overrides = (*OUT_OF_REACH, f"network.fading={{kind: {fading}}}")
    scenario = loads(TWO, "two.yaml", (*overrides, cut))
    trace = simulate(scenario)
    one, other = (rows for _, rows in trace.clients.groupby("client"))
    assert one["upload_end_s"].iloc[0] < 7200
    assert other["outcome"].tolist() == ["cancelled"]
    assert math.isnan(other["download_end_s"].iloc[0])
    overhead_s = 0.25  # of the server, after a deadline and within a time limit
    end_s = 7200 + (overhead_s if "deadline" in cut else -overhead_s)
    assert trace.rounds["end_s"].iloc[-1] == pytest.approx(end_s)
    with pytest.raises(InputError, match=r"client 1 got as good as nothing through"):
        simulate(loads(TWO, "two.yaml", overrides))
