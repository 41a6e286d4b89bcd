"""The scenarios in scenarios/ show every kind of air there is, and each of them works."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.examples import FILES, OWN_CODE, tiny
from wirelessfl.network.channel import build_channel
from wirelessfl.network.topology import build_topology
from wirelessfl.scenario import dump, load, loads
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.scenario.radio import Tr38901PathLoss
from wirelessfl.scenario.sharing import EqualFinish, SharingConfig
from wirelessfl.simulation import simulate

SMALL = (
    "stop.rounds=2",
    "learning.lora={rank: 4, alpha: 8}",
    "learning.local={steps: 1, batch: 4, lr: 0.05}",
)


@pytest.mark.parametrize(
    "topic",
    [
        "path_loss",
        "shadowing",
        "fading",
        "rate",
        "placement",
        "mobility",
        "topology",
        "interference",
    ],
)
def test_every_kind_of_air_is_shown(topic: str):
    examples = [load(path, allow_custom=True) for path in (*FILES, *OWN_CODE)]
    shown = {getattr(scenario.network, topic).kind for scenario in examples}
    assert shown == {kind.name for kind in list_kinds(topic)}


def sharing(path: Path) -> list[SharingConfig]:
    scenario = load(path)
    return [scenario.network.downlink.sharing, scenario.strategy.bandwidth]


@pytest.mark.parametrize("kind", [kind.name for kind in list_kinds("bandwidth")])
def test_every_bandwidth_rule_is_shown(kind: str):
    assert any(kind == rule.kind for path in FILES for rule in sharing(path))


@pytest.mark.parametrize("resolve", get_args(EqualFinish.model_fields["resolve"].annotation))
def test_every_way_to_hold_to_a_plan_is_shown(resolve: str):
    rules = [rule for path in FILES for rule in sharing(path) if isinstance(rule, EqualFinish)]
    assert resolve in {rule.resolve for rule in rules}


@pytest.mark.parametrize(
    "environment", get_args(Tr38901PathLoss.model_fields["environment"].annotation)
)
def test_every_environment_is_shown(environment: str):
    models = [load(path).network.path_loss for path in FILES]
    assert environment in {m.environment for m in models if isinstance(m, Tr38901PathLoss)}


@pytest.mark.parametrize("association", ["nearest", "strongest"])
def test_every_association_is_shown_where_it_counts(association: str):
    networks = [load(path).network for path in FILES]
    several = [network for network in networks if network.topology.kind != "single"]
    assert association in {network.association for network in several}


@pytest.mark.parametrize("mode", ["total", "per_rb"])
def test_every_power_mode_is_shown(mode: str):
    assert mode in {load(path).network.uplink.power_mode for path in FILES}


@pytest.mark.parametrize("fidelity", ["exact", "ergodic"])
def test_every_fidelity_is_shown(fidelity: str):
    assert fidelity in {load(path).network.fidelity for path in FILES}


@pytest.mark.parametrize("mode", ["unicast", "multicast"])
def test_every_mode_of_the_downlink_is_shown(mode: str):
    assert mode in {load(path).network.downlink.mode for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_examples_are_named_like_their_files_and_resolve(path: Path):
    scenario = load(path)
    assert scenario.name == path.stem
    assert loads(dump(scenario)) == scenario


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_client_of_an_example_is_reached(path: Path):
    """Over 100 s, alone on the link: no example waits for ever for a client out of reach."""
    scenario = load(path)
    clients = np.arange(scenario.devices.count)
    stations_xy = build_topology(scenario.network, scenario.seed).xy_m
    channel = build_channel(scenario.network, len(clients), scenario.seed, stations_xy)
    slots = np.unique(np.linspace(0, 100 / min(channel.slot_s, 100), 2000).astype(int))
    for link in ("uplink", "downlink"):
        share = np.full(len(clients), getattr(scenario.network, link).bandwidth_hz)
        mean_bps = channel.rate_bps(link, clients, slots, share).mean(axis=1)
        assert mean_bps.min() > 20e3
        assert mean_bps.max() < 1e9


LONG = ("pydoc-packages", "help-desk", "private-classes")


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p.stem in LONG else p for p in FILES],
    ids=lambda path: path.stem,
)
def test_examples_run(path: Path):
    trace = simulate(load(path, (*tiny(path), *SMALL)))
    assert len(trace.rounds) == 3  # and the evaluation before the first
    assert 0 < trace.rounds["end_s"].iloc[-1] < 3600
