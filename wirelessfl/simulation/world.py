"""What a run meets: network, devices and who is there, built before anything is learnt.

It is cheap beside learning and opens every file that a scenario names, so it comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy

from wirelessfl.device.build import build_presence, build_queue
from wirelessfl.device.fleet import Fleet, build_fleet
from wirelessfl.device.presence import Presence
from wirelessfl.errors import InputError
from wirelessfl.learning.model_size import adapted_layers, sized_workload, tiny_size
from wirelessfl.learning.source import DataSource
from wirelessfl.network.access import Access
from wirelessfl.network.channel import Channel, build_channel
from wirelessfl.network.sharing import sharing_rule
from wirelessfl.network.topology import Topology, build_topology
from wirelessfl.scenario import Scenario
from wirelessfl.scenario.base_model import TinyLm, TinyVit
from wirelessfl.scenario.custom import build_custom
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.scenario.tasks import CustomTask, DigitsTask, NoTask
from wirelessfl.simulation.client import Hardware
from wirelessfl.simulation.energy import EnergyMeter
from wirelessfl.simulation.memory import memory_gate
from wirelessfl.strategy import Strategy, build_strategy
from wirelessfl.strategy.asynchronous import Asynchronous


@dataclass(frozen=True)
class World:
    """A scenario's network and devices at time 0, whatever is learnt and decided."""

    scenario: Scenario
    topology: Topology
    channel: Channel
    fleet: Fleet
    presence: Presence

    def hardware(self, env: simpy.Environment, strategy: Strategy) -> Hardware:
        """What a round's work passes through, if `strategy` shares the uplinks.

        Raises:
            InputError: If the engine of a link does not apply to the channel and the rule.
        """
        network, devices, seed = self.scenario.network, self.scenario.devices, self.scenario.seed
        rule = sharing_rule(strategy.bandwidth)
        return Hardware(
            access=Access(
                env,
                self.channel,
                self.topology,
                network,
                rule,
                one_by_one=isinstance(strategy, Asynchronous),
            ),
            fleet=self.fleet,
            queue=build_queue(devices, self.fleet, seed),
            presence=self.presence,
            meter=EnergyMeter(self.fleet, self.channel, network.uplink),
        )


def build_world(scenario: Scenario) -> World:
    """The world of a scenario.

    Raises:
        InputError: If a file cannot be used, or network or devices cannot be as they are described.
    """
    devices, seed = scenario.devices, scenario.seed
    topology = build_topology(scenario.network, seed)
    channel = build_channel(scenario.network, devices.count, seed, topology.xy_m)
    return World(
        scenario, topology, channel, build_fleet(devices, seed), build_presence(devices, seed)
    )


def check(scenario: Scenario, strategies: Sequence[tuple[str, StrategyConfig]] = ()) -> None:
    """Find what would keep a scenario from running, as far as it shows without torch.

    Args:
        scenario: What would run.
        strategies: Name and options of the strategies it would run with; its own and all under
            `strategies` if empty.

    Raises:
        InputError: As `build_world`, or if a strategy, or what is learnt, does not fit the world.
    """
    world, learning, clients = build_world(scenario), scenario.learning, scenario.devices.count
    own = (scenario.strategy.kind, scenario.strategy)
    strategies = strategies or (own, *scenario.strategies.items())
    for name, config in strategies:
        try:
            world.hardware(simpy.Environment(), build_strategy(config, clients))
        except InputError as error:
            if len(strategies) == 1:
                raise
            raise InputError(f"with strategy {name}: {error}") from None
    if isinstance(learning.task, NoTask):
        memory_gate(world.fleet, sized_workload(learning, clients, scenario.seed))
    elif isinstance(learning.task, CustomTask):
        build_custom(learning.task, DataSource, "learning.task")  # its data need torch
    elif isinstance(learning.task, DigitsTask) and isinstance(learning.model, TinyVit):
        # What a real model takes is not known yet, but its layers and the samples are.
        named = learning.model_copy(update={"task": NoTask()})
        sized_workload(named, clients, scenario.seed)
    elif isinstance(learning.model, TinyLm):  # its layers are known before its samples are
        adapted_layers(learning.lora, tiny_size(learning.model))
