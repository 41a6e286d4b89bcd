"""Asynchronous strategies: who is sent out next, and what a stale update is worth.

Client n is drawn with probability p_n. A model update is made of K updates, so K p_n of them are
expected to be n's: that is its q_n, and a_n / q_n its weight, as in every other strategy. A stale
update's weight is multiplied by s(tau).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.asynchronous import (
    Concurrency,
    Discount,
    FedAsync,
    FedBuff,
    HingeDiscount,
    PolynomialDiscount,
)
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank
from wirelessfl.strategy.observation import AsyncPlan, Floats, Ints, Observation, Plan


class Asynchronous(Strategy):
    """Base of asynchronous strategies.

    For every model update the server calls `plan` and, for everybody it sends out, `choose` and
    `weights`; an update counts by that weight times the `discount` of its staleness; then
    `observe`.
    """

    @abstractmethod
    def plan(self, observation: Observation) -> AsyncPlan:
        """Who is to be at work, ranks, buffer and server step until the next model update."""

    def choose(self, plan: AsyncPlan, idle: Ints, draw: float) -> int:
        """Which of the idle clients, at least one, is sent out; `draw` is uniform on (0, 1)."""
        reached = plan.odds[idle].cumsum()
        return int(idle[np.searchsorted(reached, draw * reached[-1])])

    def discount(self, staleness: Ints) -> Floats:
        """s(tau) of updates that are so many versions old. [m]"""
        return np.ones(len(staleness))


@dataclass(frozen=True)
class Buffered(Asynchronous):
    """FedAsync and FedBuff (`wirelessfl.scenario.asynchronous`).

    Attributes:
        participation: How many clients are at work, and how the next one is drawn.
        buffer: Updates K that make a model update.
        staleness: What a stale update is worth.
        weighs_data: Whether weights are a_n / q_n; else 1, as FedAsync's mixing has it.
        mixes_models: Whether updates pull the model to where they started from.
        adapter: Ranks trained and sent.
        step: Server step; FedAsync's alpha.
    """

    participation: Concurrency
    buffer: int
    staleness: Discount
    weighs_data: bool
    mixes_models: bool
    adapter: FixedAdapter
    bandwidth: SharingConfig
    step: float

    def plan(self, observation: Observation) -> AsyncPlan:
        """The same for the whole run, with q = K p."""
        uniform = self.participation.choice == "uniform"
        score = np.where(observation.included, 1.0 if uniform else observation.weights, 0.0)
        return AsyncPlan(
            at_work=self.participation.concurrency,
            buffer=self.buffer,
            odds=score,
            q=self.buffer * score / score.sum(),
            k=fixed_rank(self.adapter, observation),
            server_step=self.step,
            expected_round_s=math.nan,
        )

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / q_n, or 1. [m]"""
        if not self.weighs_data:
            return np.ones(len(clients))
        return super().weights(plan, observation, clients, counts)

    def discount(self, staleness: Ints) -> Floats:
        """s(tau) of updates that are so many versions old. [m]"""
        tau = staleness.astype(np.float64)
        match self.staleness:
            case PolynomialDiscount(a=a):
                return np.asarray((1.0 + tau) ** -a)
            case HingeDiscount(a=a, b=b):
                return 1.0 / (1.0 + a * np.maximum(tau - b, 0.0))
            case _:
                return np.ones(len(tau))


def build_asynchronous(config: FedAsync | FedBuff, clients: int) -> Buffered:
    """The strategy that `config` describes, for a population of `clients`.

    Raises:
        InputError: More clients at work than there are.
    """
    at_work = config.participation.concurrency
    if at_work > clients:
        raise InputError(
            f"strategy.participation.concurrency is {at_work}, but there are {clients} clients"
        )
    mixes = isinstance(config, FedAsync)
    return Buffered(
        participation=config.participation,
        buffer=1 if isinstance(config, FedAsync) else config.buffer,
        staleness=config.staleness,
        weighs_data=not mixes,
        mixes_models=isinstance(config, FedAsync) and config.mixing.of == "models",
        adapter=config.adapter,
        bandwidth=config.bandwidth,
        step=config.server.step,
    )
