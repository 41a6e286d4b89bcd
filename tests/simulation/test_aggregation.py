"""What the server makes of updates, in whole runs."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from tests.strategy.conftest import observation
from wirelessfl.errors import InputError
from wirelessfl.learning.methods.base import Method as Base
from wirelessfl.learning.methods.build import build_method
from wirelessfl.scenario.adapter import SUMS, FixedAdapter, Method
from wirelessfl.scenario.describe import list_text
from wirelessfl.scenario.sharing import WorkConserving
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.strategy.round_model import expected_ready_s, round_model


def strategy(options: str, adapter: str = "") -> str:
    return f"strategy={{kind: uniform, participation: {{expected: 3}}, {options} {adapter}}}"


SERVERS = {
    "plain": "server: {}",
    "momentum": "server: {optimizer: momentum, momentum: 0.5}",
    "adam": "server: {optimizer: adam, step: 0.01}",
    "fedvarp": "server: {variance_reduction: fedvarp}",
    "int8": "adapter: {uplink_dtype: int8}",
    "bfloat16": "adapter: {uplink_dtype: bfloat16}",
}


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "plain"])
def test_every_option_matters_and_a_run_is_repeatable(small, name: str):
    run, again, plain = (
        simulate(small("stop={rounds: 4}", strategy(SERVERS[n]))) for n in (name, name, "plain")
    )
    assert_frame_equal(run.rounds, again.rounds)
    assert run.adapter == again.adapter
    assert np.isfinite(run.rounds["loss"]).all()
    assert run.rounds["loss"].iloc[-1] != plain.rounds["loss"].iloc[-1]


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 16), ("bfloat16", 16), ("int8", 8)])
def test_uploads_shrink_and_downloads_do_not(small, dtype: str, bits: int):
    scenario = small(strategy(f"adapter: {{uplink_dtype: {dtype}}}"))
    run, whole = simulate(scenario), simulate(small())
    workload = shared_learner(scenario).workload
    scales = 32 * (2 * len(workload.d_in) * 4 + workload.head_tensors) * (dtype == "int8")
    sent = bits * (4 * workload.component_size + workload.head_size) + scales
    assert run.clients["uplink_bits"].to_numpy() == pytest.approx(sent)
    assert_frame_equal(run.clients[["downlink_bits"]], whole.clients[["downlink_bits"]])
    first = whole.clients["round"] == 1  # later rounds meet another channel
    assert (run.clients["upload_s"][first] < whole.clients["upload_s"][first]).all()


def test_timing_is_that_of_a_run_that_trains(small):
    scenario = small(strategy("adapter: {uplink_dtype: int8}, server: {optimizer: momentum}"))
    timed = simulate(scenario.timing_only())
    assert_frame_equal(
        timed.rounds[["uplink_bits"]], simulate(scenario).rounds[["uplink_bits"]], rtol=1e-9
    )


def test_planners_know_both_payloads():
    seen = observation(clients=3, upload_bits_per_rank=1e6, download_bits_per_rank=1e6)
    ranks, who = np.full((3, 1), 4), np.arange(3)
    model = round_model(seen, WorkConserving(), ranks)
    light = replace(seen, upload_fixed_bits=0.0, upload_bits_per_rank=0.25e6)
    lighter = round_model(light, WorkConserving(), ranks)
    np.testing.assert_array_equal(lighter.download_s, model.download_s)
    np.testing.assert_allclose(lighter.upload_s, model.upload_s * 1.0e6 / 4.1e6)
    ready_s = expected_ready_s(seen, who, ranks[:, 0])
    np.testing.assert_array_equal(expected_ready_s(light, who, ranks[:, 0]), ready_s)


@pytest.mark.slow
def test_a_private_run_says_what_it_cost(small):
    pytest.importorskip("opacus")
    options = ("stop={rounds: 5}", "learning.privacy={epsilon: 6, clip_norm: 0.1}")
    run, again, plain = (simulate(small(*o)) for o in (options, options, options[:1]))
    cost = run.summary["privacy"]
    assert 5.7 < cost["epsilon"] <= 6
    assert cost["rounds"] == 5
    assert cost["largest_probability"] == pytest.approx(0.5)
    assert run.adapter == again.adapter != plain.adapter
    assert "privacy" not in plain.summary
    clock = ["start_s", "end_s", "uplink_bits"]
    assert_frame_equal(run.rounds[clock], plain.rounds[clock])


def test_privacy_without_noise_and_with_room_changes_nothing(small):
    pytest.importorskip("opacus")
    off = simulate(small("learning.privacy={noise_multiplier: 0, clip_norm: 1e6}"))
    plain = simulate(small())
    assert off.adapter == plain.adapter
    assert_frame_equal(off.rounds, plain.rounds)


def test_a_round_that_the_time_limit_cuts_short_releases_nothing(small):
    pytest.importorskip("opacus")
    options = ("strategy={kind: full}", "learning.privacy={noise_multiplier: 1}")
    end_s, overhead_s = simulate(small(*options)).rounds["end_s"], small().server.overhead_s
    half_s = (end_s.iloc[2] + end_s.iloc[1] + overhead_s) / 2
    run = simulate(small(*options, f"stop={{rounds: 3, time: {half_s} s}}"))
    assert run.rounds["round"].tolist() == [0, 1, 2]
    assert run.rounds["server_version"].tolist() == [0, 1, 1]
    assert run.summary["privacy"]["rounds"] == 1


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("strategy={kind: adaptive}", "plans from the norms"),
        (strategy("server: {variance_reduction: fedvarp}"), "remembers updates"),
        (strategy("adapter: {method: fedsa}"), "gives away more"),
    ],
)
def test_privacy_refuses_what_its_accountant_does_not_cover(small, override: str, complaint: str):
    private = "learning.privacy={noise_multiplier: 1}"
    with pytest.raises(InputError, match=complaint):
        small(override, private)


@pytest.mark.parametrize("method", ["fslora", "fedit", "ffa"])
def test_privacy_goes_with_the_methods_that_its_message_names(small, method: str):
    adapter = f"adapter: {{method: {method}, sketch: fixed, rank: 2}}"
    run = simulate(small("learning.privacy={noise_multiplier: 1}", strategy("", adapter)))
    assert np.isfinite(run.rounds["loss"]).all()
    assert run.summary["privacy"]["rounds"] == 3


def test_privacy_refuses_a_strategy_chosen_later(small):
    with pytest.raises(InputError, match="plans from the norms"):
        small("learning.privacy={noise_multiplier: 1}").with_strategy("adaptive")


@pytest.mark.parametrize("field", ["optimizer: momentum", "variance_reduction: fedvarp"])
def test_only_sums_have_server_optimisers_and_memories(small, field: str):
    with pytest.raises(InputError, match=r"works on a sum of updates.*'flora'"):
        small(strategy(f"server: {{{field}}},", "adapter: {method: flora}"))


def test_the_methods_called_sums_are_those_that_are(small):
    layout = shared_learner(small()).layout
    methods = {
        name: build_method(FixedAdapter(method=name), layout, 0, np.ones(1))
        for name in get_args(Method)
    }
    first = np.zeros(layout.size, np.float32)
    plain = {
        name
        for name, method in methods.items()
        if type(method).combine is Base.combine and len(method.initial(first)) == layout.size
    }
    assert plain == set(SUMS)


def test_the_options_are_listed():
    text = list_text("strategy")
    for option in ("server.optimizer", "server.variance_reduction", "adapter.uplink_dtype"):
        assert option in text
