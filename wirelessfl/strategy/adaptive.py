"""Adaptive participation: learn from rounds, then plan q, ranks and the server step together.

Pilot rounds (on the clock) -> estimates -> plan -> again as they sharpen and channels move. The
step follows the noise, step_max / (1 + NSR): the law "rounds grow as 1 + NSR" holds at the step
that suits it. Pilots are plans too, for updates that are equally long and unrelated.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.scenario.adapter import PlannedAdapter
from wirelessfl.scenario.strategy import Planned as Config
from wirelessfl.strategy.base import Strategy
from wirelessfl.strategy.baselines import fixed_rank
from wirelessfl.strategy.bound import bound_terms
from wirelessfl.strategy.budgets import budgets
from wirelessfl.strategy.estimator import unrelated
from wirelessfl.strategy.in_time import Pace, Planned, check_deadline, plan_in_time, ranks_in_time
from wirelessfl.strategy.knowledge import Knowledge
from wirelessfl.strategy.mean_field import mean_field
from wirelessfl.strategy.observation import Floats, Ints, Observation, Plan, RoundFeedback
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import expected_round_s, round_model
from wirelessfl.strategy.step_limit import BOLDEST

# Ranks the planner weighs per client, evenly spaced in log scale from k_min to the full rank.
RANK_OPTIONS = 6
# Rounds lost to training few ranks, 1 + DRIFT (rho - 1) with rho = gamma/k. Measured with LoRA of
# rank 16 on the tiny ViT and digits, 20 clients all taking part, five settings of local rate,
# clipping and server step: ranks 8 and 4 took 1.2 to 1.6 and 2.1 to 3 times the rounds of rank 16
# to the same test loss (this law: 1.5 and 2.5).
DRIFT = 0.5
# Part of a round's length by which a clock may be off.
ROUNDING = 1e-6


class AdaptiveStrategy(Strategy):
    """Plans participation, ranks and step from measured noise and predicted round times."""

    def __init__(self, config: Config, clients: int) -> None:
        self.bandwidth = config.bandwidth
        self.oracle = config.participation.oracle
        self._config = config
        plain = config.participation.estimates == "plain"
        self._knowledge = Knowledge(clients, config.server.step_max, plain)
        self._plan: Plan | None = None
        self._planned_round = 0
        self._pace = Pace()
        self._seen: Observation | None = None

    def plan(self, observation: Observation) -> Plan:
        """A pilot plan, the current plan, or the next one.

        When a plan is over the search begins from scratch; where it only follows the channel of a
        round, or is a pilot's, from the plan of the round before.
        """
        opportunistic = self._config.participation.opportunistic
        seen = self._knowledge.correct(observation, now=opportunistic)
        self._seen = seen
        if self._plan is None or self._over(seen, self._plan):
            self._plan, self._planned_round = self._new_plan(seen, None), seen.round
        elif opportunistic or self._plan.phase == "pilot":
            self._plan = self._new_plan(seen, self._plan)
        return self._plan

    def _over(self, seen: Observation, plan: Plan) -> bool:
        """Whether a plan is too old, the last pilot's, or promises something else by now."""
        participation = self._config.participation
        old = seen.round - self._planned_round >= participation.replan_every
        if plan.phase == "pilot":
            return old or seen.round >= participation.pilot_rounds
        if old or participation.opportunistic:
            return old
        now = self._promise(seen, plan)
        before = plan.expected_round_s * plan.relative_rounds
        after = now.expected_round_s * now.relative_rounds
        return not abs(after - before) <= participation.replan_change * before

    def weights(self, plan: Plan, observation: Observation, clients: Ints, counts: Ints) -> Floats:
        """a_n / (q_n s_n): unbiased if updates arrive as often as they did so far. [m]"""
        arriving = plan.q * self._knowledge.survival
        return np.asarray(counts * observation.weights[clients] / arriving[clients])

    def observe(self, feedback: RoundFeedback) -> None:
        """Sharpen the estimates.

        Whose update was late because the round was too full is no less likely to send the next one:
        of a round that the deadline cut, only those that arrived count for survival.
        """
        assert self._plan is not None and self._seen is not None, "a round begins with a plan"
        overhead_s = self._seen.server_overhead_s
        lasted_s = feedback.duration_s - overhead_s
        if feedback.round == self._seen.round:  # `wirelessfl plan --from` shows others' rounds
            self._pace.observe(lasted_s, self._plan.expected_round_s - overhead_s)
        cut = lasted_s >= self._seen.deadline_s * (1 - ROUNDING)
        asked = feedback.clients if cut else feedback.asked
        self._knowledge.learn(replace(feedback, asked=asked), self._plan.server_step)

    def _new_plan(self, seen: Observation, last: Plan | None) -> Plan:
        """Plan who is reachable and can be in time; the others stay out until the next plan."""
        pilot = seen.round < self._config.participation.pilot_rounds
        q = np.zeros(seen.clients)
        k = fixed_rank(self._config.adapter, seen)
        if seen.round == 0:
            check_deadline(seen, rank_options(self._config.adapter, seen)[:, 0])
        rows = np.flatnonzero(seen.reachable() & seen.included)
        ranks = rank_options(self._config.adapter, seen.only(rows))
        deadline_s = self._pace.planned_s(seen.deadline_s)
        in_time, ranks = ranks_in_time(seen.only(rows), ranks, deadline_s)
        if in_time.any():
            rows, ranks = rows[in_time], ranks[in_time]
            some, survival = seen.only(rows), self._knowledge.survival[rows]
            noise = unrelated(seen.weights)
            if not pilot:
                noise = self._knowledge.noise.noise(seen.weights)
            start = None if last is None else (last.q[rows], last.k[rows])
            q[rows], k[rows] = self._optimise(
                some, ranks, survival, noise[rows], start, pilot, deadline_s
            )
        bare = Plan(q=q, k=k, server_step=0.0, expected_round_s=0.0)
        return self._promise(seen, replace(bare, phase="pilot" if pilot else "planned"))

    def _promise(self, seen: Observation, plan: Plan) -> Plan:
        """A plan with the step that suits it, and what is to be expected of it by now."""
        noise, arriving = self._knowledge.noise, plan.q * self._knowledge.survival
        terms = bound_terms(
            arriving, plan.k, seen.rank, seen.weights, noise.noise(seen.weights), drift=DRIFT
        )
        server = self._config.server
        coupled = server.step_max * terms.step_ratio
        if server.measures_smoothness:
            largest = self._knowledge.largest_step(seen.weights)
            coupled = largest * min(terms.step_ratio, BOLDEST)
        return replace(
            plan,
            server_step=coupled if server.step == "coupled" else server.step,
            expected_round_s=expected_round_s(seen, self.bandwidth, plan.q, plan.k),
            relative_rounds=terms.relative_rounds,
            noise_to_signal=terms.noise_to_signal,
            noise_to_signal_error=noise.error(seen.weights, arriving * plan.k / seen.rank),
        )

    def _floor(self, seen: Observation, survival: Floats) -> Floats:
        """Smallest q_n: q_min, or what keeps the weight within max_weight. [clients]"""
        participation = self._config.participation
        capped = seen.weights / (participation.max_weight * survival)
        return np.clip(capped, participation.q_min, 1.0)

    def _optimise(
        self,
        seen: Observation,
        ranks: Ints,
        survival: Floats,
        noise: Floats,
        start: Planned | None,
        pilot: bool,
        deadline_s: float,
    ) -> tuple[Floats, Ints]:
        """The planner's q and k, searched for from `start` if that is given."""
        floor = self._floor(seen, survival)
        participation = self._config.participation
        most = participation.expected_max or np.inf
        if pilot:
            most = min(most, max(participation.pilot_expected, floor.sum()))
        rho = seen.rank / ranks
        problem = Problem(
            model=round_model(replace(seen, deadline_s=np.inf), self.bandwidth, ranks),
            weights=seen.weights,
            noise=noise[:, None] * rho / survival[:, None],
            constant=1.0 - float(noise.sum()),
            drift=DRIFT * seen.weights[:, None] * (rho - 1.0),
            floor=floor,
            expected_max=most,
            budgets=budgets(seen, participation, self.bandwidth, ranks),
        )
        near = start and (start[0], np.abs(ranks - start[1][:, None]).argmin(axis=1))
        q, option = plan_in_time(problem, deadline_s, self._search, near)
        return q, ranks[np.arange(len(q)), option]

    def _search(self, problem: Problem, near: Planned | None) -> Planned:
        if self._config.participation.planner == "mean_field":
            return mean_field(problem)
        return marginal_price(problem, near)


def rank_options(adapter: PlannedAdapter, observation: Observation) -> Ints:
    """Ranks each client may train, rising. [clients, options]

    Raises:
        InputError: A smallest rank above the adapter's.
    """
    if adapter.sketch != "planned":
        return fixed_rank(adapter, observation)[:, None]
    low = max(1, observation.rank // 4) if adapter.k_min is None else adapter.k_min
    if low > observation.rank:
        raise InputError(
            f"strategy.adapter.k_min is {low}, but the adapter has rank {observation.rank}"
        )
    ranks = np.unique(np.geomspace(low, observation.rank, RANK_OPTIONS).round().astype(int))
    return np.asarray(np.minimum(ranks, observation.max_rank[:, None]))
