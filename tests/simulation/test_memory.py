"""Who cannot hold the model trains less of it, or nothing, and the rest learn without bias."""

from __future__ import annotations

import numpy as np
import pytest

from wirelessfl.console import print_warnings
from wirelessfl.device.fleet import Fleet, build_fleet
from wirelessfl.errors import InputError
from wirelessfl.scenario.devices import DevicesConfig
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.simulation.memory import memory_gate


class Linear:
    """Takes 100 bytes and 10 a rank."""

    rank = 8

    def memory_bytes(self, rank) -> np.ndarray:
        return 100.0 + 10.0 * np.asarray(rank, dtype=np.float64)


def fleet_of(*memory: float) -> Fleet:
    profiles = {
        f"d{i}": {"effective_flops": 1e9, "memory_bandwidth": 1e9, "memory": size}
        for i, size in enumerate(memory)
    }
    mix = dict.fromkeys(profiles, 1 / len(memory))
    config = DevicesConfig.model_validate({"count": len(memory), "mix": mix, "profiles": profiles})
    return build_fleet(config, seed=0)


def test_the_largest_rank_that_fits_by_hand():
    fleet = fleet_of(109.0, 110.0, 119.0, 155.0, 180.0, 1e6)
    gate = memory_gate(fleet, Linear())
    by_memory = dict(zip(fleet.memory_bytes.tolist(), gate.max_rank.tolist(), strict=True))
    assert by_memory == {109.0: 0, 110.0: 1, 119.0: 1, 155.0: 5, 180.0: 8, 1e6: 8}
    summary = gate.summary()
    assert (summary["capped"], summary["excluded"]) == (3, 1)
    assert summary["excluded_clients"] == np.flatnonzero(fleet.memory_bytes == 109.0).tolist()


def test_if_nobody_can_hold_it_one_message_says_how_much_is_missing():
    with pytest.raises(InputError) as caught:
        memory_gate(fleet_of(50.0, 90.0 * 2**20), LargeModel())
    message = str(caught.value)
    assert "takes 210 MiB, and the largest device has 90 MiB" in message
    assert "\n" not in message


def test_sizes_above_a_gibibyte_are_said_in_gibibytes():
    with pytest.raises(InputError, match=r"takes 210 GiB, and the largest device has 7\.45 GiB"):
        memory_gate(fleet_of(8e9), LargeModel(2**30))


class LargeModel(Linear):
    def __init__(self, unit: int = 2**20):
        self._unit = unit

    def memory_bytes(self, rank) -> np.ndarray:
        return super().memory_bytes(rank) * self._unit + 100 * self._unit


def small_memory(scenario, rank: float) -> str:
    """Half of the clients have just the memory that training `rank` components takes."""
    needed = float(shared_learner(scenario).workload.memory_bytes(rank))
    rest = "effective_flops: 5 GFLOP/s, memory_bandwidth: 10 GB/s"
    return (
        f"devices.profiles={{little: {{{rest}, memory: {needed + 1!r} B}}, "
        f"plenty: {{{rest}, memory: 1 GB}}}}"
    )


MIX = "devices.mix={little: 0.5, plenty: 0.5}"


@pytest.mark.parametrize(
    "strategy", ["full", "uniform", "data_proportional", "adaptive", "adaptive-paper"]
)
def test_excluded_clients_are_never_selected_and_the_others_share_the_weight(small, strategy):
    base = small(f"strategy={{kind: {strategy}}}", "stop.rounds=6", "devices.count=10")
    trace = simulate(
        small(
            f"strategy={{kind: {strategy}}}",
            "stop.rounds=6",
            "devices.count=10",
            small_memory(base, 0.5),
            MIX,
        )
    )
    assert trace.summary["memory"]["excluded"] == 5
    assert set(trace.clients["profile"]) == {"plenty"}
    included = np.setdiff1d(np.arange(10), trace.summary["memory"]["excluded_clients"])
    share = shared_learner(base).workload.weights
    share = share / share[included].sum()
    expected = share[trace.clients["client"]] / trace.clients["probability"]
    assert np.allclose(trace.clients["weight"], expected)
    assert (trace.rounds["available"] == 5).all()


@pytest.mark.parametrize("strategy", ["full", "adaptive", "adaptive-paper"])
def test_capped_clients_train_no_more_than_fits(small, strategy):
    base = small()
    trace = simulate(
        small(f"strategy={{kind: {strategy}}}", "stop.rounds=6", small_memory(base, 2), MIX)
    )
    assert trace.summary["memory"] == {"capped": 3, "excluded": 0}
    most = trace.clients.groupby("profile")["rank"].max()
    assert most["little"] <= 2
    if strategy == "full":
        assert most.to_dict() == {"little": 2, "plenty": 4}


def test_the_console_says_once_who_is_excluded_and_why(small, capsys):
    base = small("stop.rounds=1")
    excluding, capping = (
        simulate(small("stop.rounds=1", small_memory(base, rank), MIX)) for rank in (0.5, 2)
    )
    print_warnings(t.summary for t in (excluding, excluding, capping))
    said = capsys.readouterr().err
    assert said.count("warning: 3 clients are excluded: training one rank takes") == 1
    assert said.count("warning: 3 clients train fewer ranks") == 1
    print_warnings([simulate(base).summary])
    assert capsys.readouterr().err == ""
