"""Every way of sharing the adapter, in whole runs on digits."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from safetensors.numpy import load as read

from tests.examples import FILES
from tests.strategy.conftest import observation
from wirelessfl.errors import InputError
from wirelessfl.scenario import load
from wirelessfl.scenario.adapter import Method
from wirelessfl.scenario.describe import list_text
from wirelessfl.scenario.sharing import WorkConserving
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.strategy.round_model import expected_ready_s, round_model

METHODS = get_args(Method)
WHOLE = "strategy={{kind: full, adapter: {{method: {}}}}}"
SOME = "strategy={{kind: uniform, participation: {{expected: 3}}, adapter: {{{}}}}}"
LEARNS = (
    "learning.model.pretrain_steps=60",
    "learning.partition={kind: iid}",
    "learning.local={steps: 10, batch: 16, lr: 0.3}",
)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.slow
def test_every_method_learns_and_a_run_is_repeatable(small, name: str):
    scenario = small("stop={rounds: 4}", WHOLE.format(name), *LEARNS)
    run, again = simulate(scenario), simulate(scenario)
    assert_frame_equal(run.rounds, again.rounds)
    assert run.adapter == again.adapter
    loss = run.rounds["loss"].to_numpy()
    assert np.isfinite(loss).all()
    assert loss[-1] < loss[0] - 0.2


def test_runs_of_one_learner_do_not_share_what_a_method_remembers(small):
    alone = simulate(small(WHOLE.format("fedsa"))).rounds
    for other in ("flora", "fedsa", "fedex"):
        simulate(small(WHOLE.format(other), "stop={rounds: 2}"))
    assert_frame_equal(simulate(small(WHOLE.format("fedsa"))).rounds, alone)


@pytest.mark.slow
def test_methods_differ(small):
    adapters = {name: WHOLE.format(name) for name in METHODS} | {
        "update": SOME.format("sketch: fixed, rank: 2, sketch_mode: update"),
        "forward": SOME.format("sketch: fixed, rank: 2"),
    }
    last = {
        name: simulate(small(adapter, *LEARNS)).rounds["loss"].iloc[-1]
        for name, adapter in adapters.items()
    }
    same = {"hetlora", "rbla"}  # at equal ranks rbla is fedit, and hetlora nearly so
    values = sorted({value for name, value in last.items() if name not in same})
    assert len(values) == len(last) - 2 - 1
    assert np.diff(values).min() > 1e-6  # rounding does not make the difference
    assert last["rbla"] == last["fedit"] == last["fslora"]  # all ranks: plain averaging


@pytest.mark.parametrize("name", METHODS)
def test_the_clock_of_a_method_is_that_of_timing_only(small, name: str):
    clock = ["start_s", "participants", "completed", "uplink_bits", "downlink_bits"]
    chip = "{effective_flops: 1 GFLOP/s, memory_bandwidth: 900 TB/s, memory: 8 GiB}"
    scenario = small(
        SOME.format(f"method: {name}"),
        f"devices.profiles={{chip: {chip}}}",
        "devices.mix={chip: 1}",
    )
    real, timed = simulate(scenario), simulate(scenario.timing_only())
    assert_frame_equal(real.rounds[clock], timed.rounds[clock], rtol=1e-9)


@pytest.mark.parametrize("name", ["flora", "fedex"])
def test_clients_download_what_was_merged_while_they_were_away(small, name: str):
    scenario = small("stop={rounds: 8}", SOME.format(f"method: {name}, sketch: fixed, rank: 3"))
    trace, workload = simulate(scenario), shared_learner(scenario).workload
    size, own = workload.d_in + workload.d_out, 4 if name == "fedex" else 0
    merged, known, seen = 0, dict.fromkeys(range(6), 0), set()
    for _, round in trace.clients.groupby("round"):
        for client, bits in zip(round["client"], round["downlink_bits"], strict=True):
            stacks = (merged - known[client]) * size
            missed = np.minimum(stacks, workload.d_in * workload.d_out + own * size).sum()
            assert bits == pytest.approx(32 * (workload.head_size + missed))
            known[client] = merged
            seen.add(missed)
        merged += 3 * len(round) + own
    assert len(seen) > 2


def test_planners_know_what_clients_have_missed():
    seen = observation(clients=5)
    missed = np.array([0.0, 4e6, 0.0, 0.0, 0.0])
    behind = observation(clients=5, download_missed_bits=missed)
    ranks = np.full((5, 1), 4)
    late = round_model(behind, WorkConserving(), ranks).download_s[:, 0]
    usual = round_model(seen, WorkConserving(), ranks).download_s[:, 0]
    rate = seen.downlink_rate_bps[1] * seen.downlink_hz / seen.downlink_share_hz
    np.testing.assert_allclose(late - usual, missed / rate, atol=1e-12)
    who = np.array([1, 3])
    ready = [expected_ready_s(o, who, np.full(5, 4)) for o in (behind, seen)]
    assert ready[0][0] > ready[1][0]
    assert ready[0][1] >= ready[1][1]  # they share the downlink
    np.testing.assert_array_equal(behind.only(who).download_missed_bits, missed[who])


@pytest.mark.parametrize("kind", ["full", "adaptive"])
def test_pruned_clients_send_less(small, kind: str):
    """Also where a strategy goes on with a plan that was made before they pruned."""
    options = {
        "full": "",
        "adaptive": "participation: {pilot_rounds: 1, "
        "replan_every: 4, replan_change: 99, opportunistic: false}, "
        "server: {variance_reduction: none, step_max: 2},",
    }[kind]
    adapter = "adapter: {method: hetlora, pruning: 0.5, sketch: off}"
    scenario = small("stop={rounds: 8}", f"strategy={{kind: {kind}, {options} {adapter}}}")
    run, workload = simulate(scenario), shared_learner(scenario).workload
    clients = run.clients
    ranks = clients.groupby("client")["rank"]
    assert (ranks.first() == 4).any()
    assert ranks.min().min() < 4
    assert (ranks.diff().dropna() <= 0).all()  # a pruned client stays pruned
    assert set(clients["rank"]) <= {4, 2, 1}
    assert clients["uplink_bits"].to_numpy() == pytest.approx(workload.upload_bits(clients["rank"]))
    mean = clients.groupby("round")["rank"].mean()
    np.testing.assert_allclose(run.rounds["mean_rank"].dropna(), mean)
    new = [True] * 8 if kind == "full" else [True, True, False, False, False, True, False, False]
    assert run.rounds["planned"].tolist() == [False, *new]


def test_pruning_is_refused_where_it_means_nothing(small):
    with pytest.raises(InputError, match="pruning is for method: hetlora"):
        small(SOME.format("method: fedit, pruning: 0.5"))
    with pytest.raises(InputError, match="prunes ranks by the updates of real training"):
        small(SOME.format("method: hetlora, pruning: 0.5")).timing_only()


@pytest.mark.parametrize("name", METHODS)
def test_what_clients_have_learnt_is_in_the_saved_adapter(small, name: str):
    run = simulate(small("stop={rounds: 2}", WHOLE.format(name)))
    tensors = read(run.adapter["adapter_model.safetensors"])
    for tensor_name, tensor in tensors.items():
        if "lora_B" in tensor_name:
            assert np.abs(tensor).max() > 0  # B began at zero


def test_every_method_is_listed_and_shown():
    text = list_text("strategy")
    shown = set()
    for path in FILES:
        scenario = load(path)
        strategies = [scenario.strategy, *scenario.strategies.values()]
        shown |= {strategy.adapter.method for strategy in strategies}
    assert shown == set(METHODS)
    assert all(name in text for name in METHODS)
