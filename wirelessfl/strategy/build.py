"""From the scenario's words to a strategy."""

from __future__ import annotations

from wirelessfl.errors import InputError
from wirelessfl.scenario.asynchronous import FedAsync, FedBuff
from wirelessfl.scenario.strategy import Adaptive, AdaptivePaper, Full, StrategyConfig
from wirelessfl.strategy.adaptive import AdaptiveStrategy
from wirelessfl.strategy.asynchronous import build_asynchronous
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import FixedParticipation


def build_strategy(config: StrategyConfig, clients: int) -> Strategy:
    """The strategy that `config` describes, for a population of `clients`.

    Raises:
        InputError: More participants expected than there are clients.
    """
    if isinstance(config, FedAsync | FedBuff):
        return build_asynchronous(config, clients)
    if isinstance(config, Adaptive | AdaptivePaper):
        return AdaptiveStrategy(config, clients)
    expected = float(clients) if isinstance(config, Full) else config.participation.expected
    if expected > clients:
        raise InputError(
            f"strategy.participation.expected is {expected:g}, but there are {clients} clients"
        )
    return FixedParticipation(
        shape=config.kind,
        expected=expected,
        adapter=config.adapter,
        bandwidth=config.bandwidth,
        step=config.server.step,
    )
