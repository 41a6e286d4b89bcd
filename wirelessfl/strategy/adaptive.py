"""Adaptive participation: measure update norms, then plan q, ranks and the server step together.

Pilot rounds (on the clock) -> noise estimate -> plan -> again every few rounds. The step follows
the noise, step_max / (1 + NSR): the law "rounds grow as 1 + NSR" holds at the step that suits it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.scenario.strategy import Adaptive, AdaptivePaper
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank, proportional_q
from wirelessfl.strategy.budgets import budgets
from wirelessfl.strategy.estimator import NoiseEstimator
from wirelessfl.strategy.mean_field import mean_field
from wirelessfl.strategy.observation import Floats, Ints, Observation, Plan, RoundFeedback
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import expected_round_s, round_model

PLANNERS = {"marginal_price": marginal_price, "mean_field": mean_field}
# Ranks the planner weighs per client, evenly spaced in log scale from k_min to the full rank.
RANK_OPTIONS = 6
# Rounds lost to training few ranks, 1 + DRIFT (rho - 1) with rho = gamma/k. Measured with LoRA of
# rank 16 on the tiny ViT and digits, 20 clients all taking part, five settings of local rate,
# clipping and server step: ranks 8 and 4 took 1.2 to 1.6 and 2.1 to 3 times the rounds of rank 16
# to the same test loss (this law: 1.5 and 2.5).
DRIFT = 0.5


class AdaptiveStrategy(Strategy):
    """Plans participation, ranks and step from measured noise and predicted round times."""

    needs_norms = True

    def __init__(self, config: Adaptive | AdaptivePaper, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self._config = config
        self._noise = NoiseEstimator(clients)
        self._rank = 0
        self._plan: Plan | None = None

    def plan(self, observation: Observation) -> Plan:
        """A pilot plan (anew every round), the current plan, or a new one when it is due."""
        self._rank = observation.rank
        participation = self._config.participation
        since_pilot = observation.round - participation.pilot_rounds
        if self._plan is None or since_pilot < 0 or since_pilot % participation.replan_every == 0:
            self._plan = self._new_plan(observation, pilot=since_pilot < 0)
        return self._plan

    def observe(self, feedback: RoundFeedback) -> None:
        """Sharpen the noise estimate."""
        self._noise.observe(feedback, self._rank)

    def state(self) -> dict[str, Any]:
        """Estimates and the current plan."""
        plan = self._plan
        return {
            "rank": self._rank,
            "noise": self._noise.state(),
            "plan": plan and {**vars(plan), "q": plan.q.tolist(), "k": plan.k.tolist()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with the estimates and the plan of `state`."""
        self._rank = state["rank"]
        self._noise.restore(state["noise"])
        plan = state["plan"]
        self._plan = plan and Plan(**{**plan, "q": np.array(plan["q"]), "k": np.array(plan["k"])})

    def _new_plan(self, observation: Observation, pilot: bool) -> Plan:
        """Plan the reachable clients; the others stay out until the next plan."""
        reachable = observation.reachable() & observation.included
        q = np.zeros(observation.clients)
        k = fixed_rank(self._config.adapter, observation)
        noise = self._noise.noise(observation.weights)[reachable]
        nsr = penalty = 0.0
        if reachable.any():
            decide = self._pilot if pilot else self._optimise
            q[reachable], k[reachable] = decide(observation.only(np.flatnonzero(reachable)), noise)
            rho = observation.rank / k[reachable]
            nsr = float(np.sum(noise * (rho / q[reachable] - 1.0)))
            penalty = float(np.sum(_drift(observation.weights[reachable], rho)))
        server = self._config.server
        step = server.step_max / (1.0 + nsr) if server.step == "coupled" else server.step
        return Plan(
            q=q,
            k=k,
            server_step=step,
            expected_round_s=expected_round_s(observation, self.bandwidth, q, k),
            relative_rounds=1.0 + nsr + penalty,
            noise_to_signal=nsr,
            phase="pilot" if pilot else "planned",
        )

    def _floor(self, observation: Observation) -> Floats:
        """Smallest q_n: q_min, or what keeps the weight a_n/q_n within max_weight. [clients]"""
        participation = self._config.participation
        capped = observation.weights / participation.max_weight
        return np.clip(capped, participation.q_min, 1.0)

    def _pilot(self, observation: Observation, _: Floats) -> tuple[Floats, Ints]:
        """Data-proportional participation at the largest rank."""
        expected = min(self._config.participation.pilot_expected, observation.clients)
        q = proportional_q(observation.weights, expected)
        return np.maximum(q, self._floor(observation)), fixed_rank(
            self._config.adapter, observation
        )

    def _optimise(self, observation: Observation, noise: Floats) -> tuple[Floats, Ints]:
        """The planner's q and k."""
        ranks = self._rank_options(observation)
        rho = observation.rank / ranks
        problem = Problem(
            model=round_model(observation, self.bandwidth, ranks),
            weights=observation.weights,
            noise=noise[:, None] * rho,
            constant=1.0 - float(noise.sum()),
            drift=_drift(observation.weights[:, None], rho),
            floor=self._floor(observation),
            expected_max=self._config.participation.expected_max or np.inf,
            budgets=budgets(observation, self._config.participation, self.bandwidth, ranks),
        )
        q, option = PLANNERS[self._config.participation.planner](problem)
        return q, ranks[np.arange(len(q)), option]

    def _rank_options(self, observation: Observation) -> Ints:
        """Ranks each client may train, rising. [clients, options]"""
        adapter = self._config.adapter
        if adapter.sketch != "planned":
            return fixed_rank(adapter, observation)[:, None]
        low = max(1, observation.rank // 4) if adapter.k_min is None else adapter.k_min
        if low > observation.rank:
            raise InputError(
                f"strategy.adapter.k_min is {low}, but the adapter has rank {observation.rank}"
            )
        ranks = np.unique(np.geomspace(low, observation.rank, RANK_OPTIONS).round().astype(int))
        return np.asarray(np.minimum(ranks, observation.max_rank[:, None]))


def _drift(weights: Floats, rho: Floats) -> Floats:
    """Rounds lost to training k = gamma/rho ranks, for each client's share of the data."""
    return np.asarray(weights * DRIFT * (rho - 1.0), dtype=np.float64)
