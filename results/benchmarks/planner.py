"""Cost of a plan: probabilities and ranks of everybody, for up to a million clients.

One cell; the uplink grows with the clients (125 kHz for each), rates differ by 1:20 and computing
times by 1:10, six ranks to choose from, everybody's noise and data lognormal. Counted is what a
server computes between its observation and the plan, with `marginal_price` unless the case says
otherwise. `cost` is the expected length of a round times the relative rounds that the plan needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import harness
import numpy as np
from harness import Case

from wirelessfl.scenario.asynchronous import AdaptiveAsync
from wirelessfl.scenario.sharing import EqualFinish, SharingConfig, WorkConserving
from wirelessfl.strategy.adaptive_async import AdaptiveAsyncStrategy
from wirelessfl.strategy.mean_field import mean_field
from wirelessfl.strategy.observation import Floats, Ints, Observation
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.problem import Problem
from wirelessfl.strategy.round_model import round_model

RANK, OPTIONS = 16, 6
Planner = Callable[[Problem], tuple[Floats, Ints]]


def observed(clients: int) -> Observation:
    """Random clients, always the same."""
    rng = np.random.default_rng(0)
    weights = rng.lognormal(0, 1, clients)
    uplink = 5e5 * np.exp(rng.uniform(np.log(0.3), np.log(6), clients))
    downlink = 2e6 * np.exp(rng.uniform(np.log(1), np.log(6), clients))
    return Observation(
        round=0,
        time_s=0.0,
        weights=weights / weights.sum(),
        rank=RANK,
        max_rank=np.full(clients, RANK),
        available=np.ones(clients, dtype=bool),
        download_fixed_bits=1e5,
        download_bits_per_rank=1e6,
        upload_fixed_bits=1e5,
        upload_bits_per_rank=1e6,
        download_missed_bits=np.zeros(clients),
        cell=np.zeros(clients, dtype=np.int64),
        backhaul_bps=np.full(clients, np.inf),
        uplink_hz=125e3 * clients,
        uplink_share_hz=5e5,
        uplink_rate_of=uplink.__getitem__,
        downlink_hz=500e3 * clients,
        downlink_share_hz=2e6,
        downlink_rate_of=downlink.__getitem__,
        compute_fixed_s=np.exp(rng.uniform(np.log(2), np.log(20), clients)),
        compute_per_rank_s=np.exp(rng.uniform(np.log(0.02), np.log(0.2), clients)),
        latency_s=np.zeros(clients),
        server_overhead_s=0.5,
    )


def plan(clients: int, planner: Planner, rule: SharingConfig) -> Callable[[float], Mapping]:
    """One plan for so many clients."""

    def measure(scale: float) -> Mapping[str, float]:
        seen = observed(max(2, round(clients * scale)))
        count = seen.clients
        own = seen.weights**2 * np.random.default_rng(1).lognormal(0, 0.7, count)
        noise = own / (4.0 * own.sum())
        started = time.perf_counter()
        ranks = np.unique(np.geomspace(4, RANK, OPTIONS).round().astype(int))
        rho = RANK / ranks
        problem = Problem(
            model=round_model(seen, rule, np.tile(ranks, (count, 1))),
            weights=seen.weights,
            noise=noise[:, None] * rho,
            constant=1.0 - float(noise.sum()),
            drift=0.5 * seen.weights[:, None] * (rho - 1.0),
            floor=np.full(count, min(0.01, 1.0 / count)),
        )
        q, option = planner(problem)
        elapsed_s = time.perf_counter() - started
        return {
            "value": elapsed_s,
            "elapsed_s": elapsed_s,
            "participants": float(q.sum()),
            "mean_rank": float(ranks[option].mean()),
            "cost": problem.cost(q, option),
        }

    return measure


def stream(clients: int) -> Callable[[float], Mapping]:
    """One plan of `adaptive-async`, for a stream of updates."""

    def measure(scale: float) -> Mapping[str, float]:
        seen = observed(max(2, round(clients * scale)))
        strategy = AdaptiveAsyncStrategy(AdaptiveAsync(), seen.clients)
        started = time.perf_counter()
        found = strategy.plan(seen)
        elapsed_s = time.perf_counter() - started
        return {
            "value": elapsed_s,
            "elapsed_s": elapsed_s,
            "at_work": float(found.at_work),
            "mean_rank": float(found.k.mean()),
        }

    return measure


CASES = {
    "100": Case("100 clients", plan(100, marginal_price, WorkConserving()), target=0.2),
    "1e4": Case("10,000 clients", plan(10_000, marginal_price, WorkConserving()), target=3.0),
    "1e6": Case(
        "1,000,000 clients",
        plan(1_000_000, marginal_price, WorkConserving()),
        target=60.0,
        most_mib=4096.0,
    ),
    "100-equal-finish": Case("100 clients, equal_finish", plan(100, marginal_price, EqualFinish())),
    "1e4-equal-finish": Case(
        "10,000 clients, equal_finish", plan(10_000, marginal_price, EqualFinish())
    ),
    "100-mean-field": Case("100 clients, mean_field", plan(100, mean_field, EqualFinish())),
    "1e4-mean-field": Case("10,000 clients, mean_field", plan(10_000, mean_field, EqualFinish())),
    "1e6-mean-field": Case(
        "1,000,000 clients, mean_field", plan(1_000_000, mean_field, EqualFinish())
    ),
    "100-stream": Case("100 clients, adaptive-async", stream(100)),
    "1e4-stream": Case("10,000 clients, adaptive-async", stream(10_000)),
    "1e6-stream": Case("1,000,000 clients, adaptive-async", stream(1_000_000)),
}


def main(arguments: list[str] | None = None) -> None:
    """See `harness`."""
    harness.main(__file__, CASES, arguments)


if __name__ == "__main__":
    main()
