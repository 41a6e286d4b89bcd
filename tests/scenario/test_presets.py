"""Presets fill in what is not written, and nothing else."""

from __future__ import annotations

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, dump, loads

HETEROGENEOUS = ("fslora", "hetlora", "rbla", "flexlora", "flora")
METHODS = (*HETEROGENEOUS, "fedit", "ffa", "fedsa", "fedex")


def scenario(strategy: str) -> Scenario:
    return loads(f"name: x\nstrategy: {{{strategy}}}")


@pytest.mark.parametrize("kind", METHODS)
def test_a_preset_names_its_method_and_the_ranks_that_go_with_it(kind: str):
    adapter = scenario(f"kind: {kind}").strategy.adapter
    assert adapter.method == kind
    assert adapter.sketch == ("tiers" if kind in HETEROGENEOUS else "off")


@pytest.mark.parametrize(
    ("written", "method", "sketch"),
    [
        ("adapter: {ratios: [0.5, 1]}", "hetlora", "tiers"),
        ("adapter: {sketch: off}", "hetlora", "off"),
        ("adapter: {sketch: fixed, rank: 4}", "hetlora", "fixed"),
        ("adapter: {method: rbla}", "rbla", "tiers"),
        ("participation: {expected: 3}, server: {step: 2}", "hetlora", "tiers"),
    ],
)
def test_what_is_written_replaces_that_alone(written: str, method: str, sketch: str):
    chosen = scenario(f"kind: hetlora, {written}")
    assert (chosen.strategy.adapter.method, chosen.strategy.adapter.sketch) == (method, sketch)
    assert loads(dump(chosen)) == chosen


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("adapter: {ratios: [0.5, x]}", r"adapter.ratios.1: 'x' must be a number"),
        ("adapter: {ratios: 3}", "adapter.ratios: 3 must be a list"),
        ("adapter: {ratios: []}", "at least 1 item"),
        ("adapter: {ratios: [0.5, 2]}", "2 must be at most 1"),
        ("adapter: {sketch: off, ratios: [1]}", "only when adapter.sketch is tiers"),
        ("adapter: {rak: 3}", "did you mean 'rank'"),
        ("participation: 3", "participation: 3 must be a mapping"),
        ("server: {step: -1}", "-1 must be greater than 0"),
    ],
)
def test_mistakes_are_reported_where_they_are(written: str, complaint: str):
    with pytest.raises(InputError, match=complaint):
        scenario(f"kind: hetlora, {written}")


@pytest.mark.parametrize("kind", ["fixed_k", "deadline", "oort"])
def test_a_fixed_number_of_clients_is_whole(kind: str):
    with pytest.raises(InputError, match=r"expected: 2.5 must be a whole number"):
        scenario(f"kind: {kind}, participation: {{expected: 2.5}}")


def test_over_selection_shares_the_uplink_so_that_the_fast_arrive_first():
    assert scenario("kind: deadline").strategy.bandwidth.kind == "equal_share"
    assert scenario("kind: oort").strategy.bandwidth.kind == "work_conserving"


@pytest.mark.parametrize("kind", ["adaptive", "adaptive-paper"])
def test_an_oracle_sees_updates_and_not_what_memories_leave_of_them(kind: str):
    with pytest.raises(InputError, match=r"participation\.oracle"):
        scenario(f"kind: {kind}, participation: {{oracle: true}}, "
                 "server: {variance_reduction: fedvarp}")  # fmt: skip
    scenario(f"kind: {kind}, participation: {{oracle: true}}, server: {{variance_reduction: none}}")
