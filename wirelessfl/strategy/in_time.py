"""Plans for a server with a deadline: of a round that lasts longer, little arrives.

Uploads that share a link end at about the same time, so a round that the deadline D cuts loses most
of its updates, and more participants only make that likelier. Plans are therefore made with the
time T that rounds would take without a deadline, and hurry as much as it takes: of the minima of

    E[T]^haste R

(haste 1: the plan without a deadline; the excess is the multiplier of a limit on E[T]) the one of
least haste is chosen with which P(T > D | somebody takes part) is at most `LATE`. Where jitter
allows none, it is the one of least E[min(T, D)] / P(T <= D) R, the time that rounds which count
take with those that do not. Own derivation, `reconstructed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.strategy.observation import Bools, Floats, Ints, Observation
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import (
    SENDERS,
    compute_times,
    download_times,
    upload_times,
)
from wirelessfl.strategy.sampled_model import RoundModel

Planned = tuple[Floats, Ints]
"""q and the option of each client, each [clients]."""

# Largest planned share of rounds that last too long. Measured, see `docs/decisions.md`.
LATE = 0.1
# With the most a plan takes half the time for 2^64 times the rounds.
HASTES = 2.0 ** np.arange(7)
BISECTIONS = 4
# Weight of the past in how long rounds take.
MEMORY = 0.9


class Pace:
    """How long rounds take, over what was expected of them: a running mean, at least 1.

    What reports do not show (queues, fading) would otherwise be cut again and again: times are only
    learnt from updates that arrive.
    """

    def __init__(self) -> None:
        self._ratio = 1.0

    def observe(self, duration_s: float, expected_s: float) -> None:
        """Take in a round, both times without overhead; one of nobody took what was expected."""
        ratio = duration_s / expected_s if 0 < expected_s < np.inf else 1.0
        self._ratio = MEMORY * self._ratio + (1 - MEMORY) * ratio

    def planned_s(self, deadline_s: float) -> float:
        """The deadline that a plan must keep for its rounds to keep the real one."""
        return deadline_s / max(self._ratio, 1.0)


def check_deadline(observation: Observation, least: Ints) -> None:
    """Refuse a deadline that nobody can keep on any channel, with the least ranks. [clients]

    Raises:
        InputError: Everybody trains for longer than that.
    """
    training_s = observation.compute_s(np.arange(observation.clients), least)
    fastest_s = float((training_s + 2.0 * observation.latency_s)[observation.included].min())
    if fastest_s > observation.deadline_s:
        raise InputError(
            f"server.deadline is {observation.deadline_s:g} s, but even the fastest client is "
            f"expected to train for {fastest_s:.3g} s; raise the deadline, or lower "
            "learning.local.steps or strategy.adapter.k_min"
        )


def ranks_in_time(observation: Observation, ranks: Ints, deadline_s: float) -> tuple[Bools, Ints]:
    """Who can be in time if it is alone, and the ranks with which it can.

    Args:
        observation: Of clients with a channel.
        ranks: Of every client, rising. [clients, options]
        deadline_s: After which a round must have ended; infinity if it need not.

    Returns:
        Whether the smallest rank is in time [clients], and each rank, or the largest that is in
        time instead [clients, options].
    """
    if np.isinf(deadline_s):
        return np.ones(observation.clients, dtype=bool), ranks
    in_time = alone_s(observation, ranks) <= deadline_s
    most = np.where(in_time, ranks, ranks[:, :1]).max(axis=1, keepdims=True)
    return in_time[:, 0], np.minimum(ranks, most)


def alone_s(observation: Observation, ranks: Ints) -> Floats:
    """Expected time of a round of one client alone, without overhead. [clients, options]"""
    compute_s = compute_times(observation, ranks) + 2.0 * observation.latency_s[:, None]
    uploads = upload_times(observation, ranks, SENDERS[:1])
    upload_s = uploads.delay_s[0] + uploads.band_s[0]
    return np.asarray(download_times(observation, ranks) + compute_s + upload_s)


def plan_in_time(
    problem: Problem,
    deadline_s: float,
    planner: Callable[[Problem, Planned | None], Planned],
    start: Planned | None,
) -> Planned:
    """The plan of least cost that keeps to the deadline, see the module.

    Args:
        problem: With a model that knows no deadline.
        deadline_s: After which the server ends a round; infinity if never.
        planner: Minimises a problem's cost, from a plan near the minimum if one is given.
        start: Such a plan.
    """
    plan = planner(problem, start)
    if np.isinf(deadline_s):
        return plan
    tried = [plan]
    for haste in HASTES:
        if haste > 1.0:
            tried.append(plan := planner(replace(problem, haste=haste), plan))
        if late_share(problem.model, plan, deadline_s) <= LATE:
            break
    else:
        # Where each costs infinitely much, the one of most haste.
        return min(tried[::-1], key=lambda plan: lossy_cost(problem, plan, deadline_s))
    low, high = haste / 2.0, haste
    for _ in range(BISECTIONS if haste > 1.0 else 0):
        middle = np.sqrt(low * high)
        found = planner(replace(problem, haste=middle), plan)
        if late_share(problem.model, found, deadline_s) <= LATE:
            plan, high = found, middle
        else:
            low = middle
    return plan


def late_share(model: RoundModel, plan: Planned, deadline_s: float) -> float:
    """P(T > D | somebody takes part), for a model that knows no deadline."""
    times_s, weight = model.durations_s(*plan)
    lasted_s = times_s - model.overhead_s
    late, some = weight @ (lasted_s > deadline_s), weight @ (lasted_s > 0)
    return float(late / some) if some > 0 else 0.0


def lossy_cost(problem: Problem, plan: Planned, deadline_s: float) -> float:
    """E[min(T, D)] / P(T <= D) R, overhead included; infinity if no round ends in time."""
    times_s, weight = problem.model.durations_s(*plan)
    end_s = problem.model.overhead_s + deadline_s
    in_time = float(weight @ (times_s <= end_s))
    if in_time == 0:
        return np.inf
    return float(weight @ np.minimum(times_s, end_s)) / in_time * problem.rounds(*plan)
