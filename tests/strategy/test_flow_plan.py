"""Rates and ranks of a stream of updates: the formulas, and that nothing nearby is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelessfl.strategy import flow_plan as flow_plan_module
from wirelessfl.strategy.flow_plan import (
    DELAYED,
    DELAYS,
    LATE,
    MOST_BUSY,
    PUNCTUAL,
    STEPS,
    Flow,
    FlowPlan,
    flow_plan,
)
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.sampled_model import Uploads


def flow(seed: int, clients: int = 8, ranks: int = 1, cells: int = 1, load: float = 1.0) -> Flow:
    """Clients with times over 1:30; `load` multiplies all transfers."""
    rng = np.random.default_rng(seed)
    part = np.linspace(1.0 / ranks, 1.0, ranks)

    def times(low: float, high: float) -> Floats:
        return np.exp(rng.uniform(np.log(low), np.log(high), clients))[:, None] * part

    weights = rng.lognormal(0, 0.5, clients)
    weights /= weights.sum()
    noise = weights**2 / np.sum(weights**2) * rng.uniform(0.2, 1.0)
    return Flow(
        download_s=load * times(0.01, 0.1),
        compute_s=times(0.1, 1.0),
        uploads=Uploads(load * times(0.02, 0.6)[None], load * times(0.02, 0.6)[None], np.ones(1)),
        cell=np.arange(clients) % cells,
        weights=weights,
        noise=noise[:, None] / part,
        drift=0.5 * weights[:, None] * (1.0 / part - 1.0),
        least_s=0.2,
    )


def cycles_s(flow: Flow, rate: Floats, option: Ints) -> Floats:
    """Time at work of every client, cell by cell, written down once more. [clients]"""
    rows = np.arange(len(rate))
    down, delay, band = (
        x[rows, option] for x in (flow.download_s, flow.uploads.delay_s[0], flow.uploads.band_s[0])
    )
    cycle = flow.compute_s[rows, option].copy()
    for cell in np.unique(flow.cell):
        own = flow.cell == cell
        up = rate[own] @ band[own]
        senders = rate[own] @ (delay + band)[own] / (1 - up)
        cycle[own] += down[own] / (1 - rate[own] @ down[own])
        cycle[own] += delay[own] + (1 + senders) * band[own]
    return cycle


def cost(flow: Flow, rate: Floats, option: Ints) -> float:
    """J of the module without its constant T, at full rank."""
    noise = flow.noise[np.arange(len(rate)), option]
    return float(DELAYED * flow.weights @ cycles_s(flow, rate, option) + np.sum(noise / rate))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), cells=st.integers(1, 3), load=st.sampled_from([0.1, 1.0, 4.0]))
def test_no_rate_can_be_changed_to_advantage(seed: int, cells: int, load: float):
    problem = flow(seed, cells=cells, load=load)
    plan = flow_plan(problem)
    best = cost(problem, plan.rate_hz, plan.option)
    busy = plan.rate_hz * plan.cycle_s
    assert np.allclose(plan.cycle_s, cycles_s(problem, plan.rate_hz, plan.option))
    assert np.all(busy <= MOST_BUSY * (1 + 1e-3))
    for client in range(len(busy)):
        for factor in (0.9, 1.1):
            if factor > 1 and busy[client] > 0.99 * MOST_BUSY:
                continue
            rate = plan.rate_hz.copy()
            rate[client] *= factor
            assert cost(problem, rate, plan.option) >= best * (1 - 1e-4)


def test_with_transfers_that_take_no_time_everybody_is_as_busy_as_may_be():
    plan = flow_plan(flow(0, load=1e-9))
    assert plan.rate_hz * plan.cycle_s == pytest.approx(MOST_BUSY, rel=1e-3)
    assert plan.at_work == pytest.approx(8 * MOST_BUSY, rel=1e-3)


def test_equal_clients_get_the_closed_form():
    """N equal clients, no delays or downloads: r = sqrt(noise/price), price from the queue."""
    n, t = 50, 0.1
    one = np.ones((n, 1))
    problem = Flow(
        download_s=0 * one,
        compute_s=1e-6 * one,
        uploads=Uploads(0 * one[None], t * one[None], np.ones(1)),
        cell=np.zeros(n, np.int64),
        weights=one[:, 0] / n,
        noise=one / n,
        drift=0 * one,
        least_s=0.0,
    )
    plan = flow_plan(problem)
    # With load u = N r t: D = t/(1 - u), so J = DELAYED t/(1 - u) + N t / u.
    load = 1 / (1 + np.sqrt(DELAYED / n))
    assert n * t * plan.rate_hz == pytest.approx(load, rel=1e-3)
    assert plan.at_work == pytest.approx(load / (1 - load), rel=0.01)


def powers(seed: int, clients: int) -> Flow:
    """Clients of limited power: upload times depend on how many send."""
    problem, rng = flow(seed, clients=clients, ranks=2), np.random.default_rng(seed)
    snr, senders = 10 ** rng.uniform(-0.5, 2.5, clients), np.array([2, 4, 8, 16, 32, 64])
    whole = 1.0 / np.log2(1 + snr)
    even = np.stack([1.0 / np.log2(1 + snr * m) for m in senders])  # m shares, each a time of m
    band = np.clip((even * senders[:, None] - whole) / (senders[:, None] - 1), 0.0, whole)
    size = 0.3 * np.array([0.5, 1.0])
    uploads = Uploads((whole - band)[..., None] * size, band[..., None] * size, senders)
    return replace(problem, uploads=uploads, compute_s=0.1 * problem.compute_s)


@pytest.mark.parametrize("clients", [10, 40])
def test_plans_settle_where_upload_times_depend_on_how_many_send(clients: int, monkeypatch):
    for seed in range(12):
        problem = powers(seed, clients)
        plans = []
        for steps in (STEPS, STEPS + 1):
            monkeypatch.setattr(flow_plan_module, "STEPS", steps)
            plans.append(flow_plan(problem))
        one, other = plans
        assert one.at_work == pytest.approx(other.at_work, rel=0.03)
        assert np.all(one.rate_hz * one.cycle_s <= MOST_BUSY * 1.05)


def test_limits_on_places_and_time_are_kept():
    problem = powers(1, 40)
    free = flow_plan(problem)
    few = flow_plan(problem, most=3.0)
    assert free.at_work > 3.0
    assert few.at_work == pytest.approx(3.0, rel=1e-3)
    assert few.cycle_s.max() < free.cycle_s.max()
    deadline_s = float(np.median(free.cycle_s))
    quick = flow_plan(problem, deadline_s=deadline_s)
    late = quick.rate_hz @ (quick.cycle_s > PUNCTUAL * deadline_s)
    assert 0 < late + quick.at_work < free.at_work
    assert late <= LATE * quick.rate_hz.sum()


def test_few_ranks_are_trained_where_the_uplink_is_scarce():
    def ranks(load: float) -> Ints:
        problem = flow(3, ranks=4, load=load)
        alike = np.broadcast_to(problem.compute_s[:, -1:], problem.compute_s.shape)
        return flow_plan(replace(problem, compute_s=alike)).option

    assert (ranks(0.01) == 3).all()
    assert (ranks(20.0) < 3).any()


def test_no_single_rank_can_be_changed_to_advantage():
    for seed in range(6):
        problem = flow(seed, ranks=3, load=8.0)
        plan = flow_plan(problem)
        scale_s = (
            max(problem.least_s, DELAYS * plan.at_work / plan.rate_hz.sum())
            + DELAYED * plan.at_work / plan.rate_hz.sum()
        )

        def total(plan: FlowPlan, option: Ints, problem: Flow = problem, scale_s: float = scale_s):
            lost = problem.drift[np.arange(len(option)), option].sum()
            return cost(problem, plan.rate_hz, option) + scale_s * lost

        best = total(plan, plan.option)
        for client in range(len(plan.option)):
            for other in range(3):
                option = plan.option.copy()
                option[client] = other
                single = Flow(
                    **{
                        name: getattr(problem, name)[np.arange(len(option)), option][:, None]
                        for name in ("download_s", "compute_s", "noise", "drift")
                    },
                    uploads=Uploads(
                        problem.uploads.delay_s[:, np.arange(len(option)), option][..., None],
                        problem.uploads.band_s[:, np.arange(len(option)), option][..., None],
                        problem.uploads.senders,
                    ),
                    cell=problem.cell,
                    weights=problem.weights,
                    least_s=problem.least_s,
                )
                found = flow_plan(single)
                moved = replace(found, option=option)
                assert total(moved, option) >= best * (1 - 5e-3)


@pytest.mark.slow
def test_senders_and_times_are_those_of_a_link_shared_equally():
    """A simulated link with delays and Poisson uploads, against m = (D + B)/(1 - B)."""
    rate, delay, band, until_s = (
        np.array([0.9, 0.4]),
        np.array([0.1, 1.0]),
        np.array([0.5, 0.3]),
        2e4,
    )
    rng, env = np.random.default_rng(0), simpy.Environment()
    area = 0.0
    step_s, active = 0.02, []
    next_s = rng.exponential(1 / rate)
    while env.now < until_s:  # a share of 1/m: delay + m t seconds an upload
        for kind in (0, 1):
            while next_s[kind] <= env.now:
                active.append([kind, 1.0])
                next_s[kind] += rng.exponential(1 / rate[kind])
        senders = len(active)
        area += senders * step_s
        for upload in active:
            upload[1] -= step_s / (delay[upload[0]] + senders * band[upload[0]])
        active = [upload for upload in active if upload[1] > 0]
        env.run(env.now + step_s)
    load = rate @ band
    expected = rate @ (delay + band) / (1 - load)
    assert area / until_s == pytest.approx(expected, rel=0.06)
