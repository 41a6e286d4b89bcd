"""From the scenario's words to a strategy."""

from __future__ import annotations

from wirelessfl.errors import InputError
from wirelessfl.scenario.asynchronous import AdaptiveAsync, FedAsync, FedBuff
from wirelessfl.scenario.baselines import (
    DataProportional,
    Deadline,
    FixedK,
    Full,
    Oort,
    Statistical,
)
from wirelessfl.scenario.custom import build_custom
from wirelessfl.scenario.strategy import CustomStrategy, Planned, StrategyConfig
from wirelessfl.strategy.adaptive import AdaptiveStrategy
from wirelessfl.strategy.adaptive_async import AdaptiveAsyncStrategy
from wirelessfl.strategy.asynchronous import build_asynchronous
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import FixedParticipation
from wirelessfl.strategy.deadline import DeadlineStrategy
from wirelessfl.strategy.fixed_k import FixedKStrategy
from wirelessfl.strategy.oort import OortStrategy
from wirelessfl.strategy.statistical import StatisticalStrategy


def build_strategy(config: StrategyConfig, clients: int) -> Strategy:
    """The strategy that `config` describes, for a population of `clients`.

    Raises:
        InputError: More participants expected than there are clients, or code of the user's own
            is no strategy.
    """
    if isinstance(config, CustomStrategy):
        return build_custom(config, Strategy, "strategy", config=config, clients=clients)
    if isinstance(config, FedAsync | FedBuff):
        return build_asynchronous(config, clients)
    if isinstance(config, AdaptiveAsync):
        return AdaptiveAsyncStrategy(config, clients)
    if isinstance(config, Planned):
        return AdaptiveStrategy(config, clients)
    expected = float(clients) if isinstance(config, Full) else config.participation.expected
    if expected > clients:
        raise InputError(
            f"strategy.participation.expected is {expected:g}, but there are {clients} clients"
        )
    match config:
        case Statistical():
            return StatisticalStrategy(config, clients)
        case FixedK():
            return FixedKStrategy(config, clients)
        case Deadline():
            return DeadlineStrategy(config)
        case Oort():
            return OortStrategy(config, clients)
    return FixedParticipation(
        by_data=isinstance(config, DataProportional),
        expected=expected,
        adapter=config.adapter,
        bandwidth=config.bandwidth,
        step=config.server.step,
    )
