"""Round times and plans where several cells work side by side, by enumeration and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.strategy.conftest import observation
from tests.strategy.test_planner import problem
from wirelessfl.scenario.sharing import EqualFinish, WorkConserving
from wirelessfl.strategy.mean_field import mean_field, mean_field_s
from wirelessfl.strategy.planner import marginal_price
from wirelessfl.strategy.round_model import expected_ready_s, round_model
from wirelessfl.strategy.sampled_model import RoundModel

RULES = [WorkConserving(), EqualFinish()]
CELL = np.array([1, 0, 1, 0, 2])
OPTION = np.zeros(5, dtype=np.int64)
Q = np.array([0.3, 0.5, 0.7, 0.2, 0.9])


def model(rule: WorkConserving | EqualFinish, **changes: object) -> RoundModel:
    changes = {"downlink_hz": 1e15, "cell": CELL} | changes  # downloads take no time
    return round_model(observation(clients=5, **changes), rule, np.full((5, 1), 16))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_a_round_is_as_long_as_the_slowest_cells(rule):
    several = model(rule)
    expected = several.overhead_s
    for members in itertools.product([0.0, 1.0], repeat=5):
        inside = np.array(members) > 0
        probability = np.prod(np.where(inside, Q, 1 - Q))
        longest = 0.0
        for cell in range(3):
            rows = np.flatnonzero(inside & (cell == CELL))
            if rows.size:
                alone = several.only(rows)
                times = alone.round_s(np.ones(rows.size), OPTION[rows]) - alone.overhead_s
                longest = max(longest, times)
        expected += probability * longest
    assert several.round_s(Q, OPTION) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_prices_are_the_slopes_of_the_expected_time(rule):
    several = model(rule)
    result = several.prices(Q, OPTION)
    assert result.mean_s == pytest.approx(several.round_s(Q, OPTION), rel=1e-12)
    for n in range(5):
        chosen = np.arange(5) == n
        inside = several.round_s(np.where(chosen, 1.0, Q), OPTION)
        outside = several.round_s(np.where(chosen, 0.0, Q), OPTION)
        tolerance = 1e-9 if rule.kind == "work_conserving" else 0.05
        assert result.price_s[n, 0] == pytest.approx(inside - outside, rel=tolerance)


def test_a_client_in_a_cell_that_is_never_the_slowest_costs_nothing():
    slow = np.where(CELL == 1, 1000.0, 1.0)
    q = np.where(CELL == 1, 1.0, Q)  # cell 1 is there in every round
    result = model(WorkConserving(), compute_fixed_s=slow).prices(q, OPTION)
    assert (result.price_s[CELL != 1] == 0.0).all()
    assert (result.lateness[CELL != 1] == 0.0).all()
    assert result.lateness[CELL == 1].sum() == pytest.approx(1.0)


def test_downloads_wait_for_those_of_their_own_cell_only():
    seen = observation(
        clients=3,
        download_fixed_bits=0.0,
        upload_fixed_bits=0.0,
        download_bits_per_rank=1e6,
        upload_bits_per_rank=1e6,
        downlink_hz=4e6,
        downlink_share_hz=1e6,
        downlink_rate_bps=np.full(3, 1e6),
        compute_fixed_s=np.zeros(3),
        compute_per_rank_s=np.zeros(3),
        cell=np.array([0, 1, 0]),
        backhaul_bps=np.array([np.inf, 2e6, np.inf]),
    )
    # 4 Mbit: 1 s on the air alone, and 2 s more through the wire behind cell 1.
    ready_s = expected_ready_s(seen, np.arange(3), np.full(3, 4))
    assert ready_s == pytest.approx([2.0, 3.0, 2.0])
    one = round_model(seen, WorkConserving(), np.full((3, 1), 4))
    assert one.tau_s(np.ones(3), np.zeros(3, dtype=np.int64)) == pytest.approx([2.0, 3.0, 2.0])
    unwired = round_model(
        observation(clients=3, cell=seen.cell), WorkConserving(), np.full((3, 1), 4)
    )
    wired = observation(clients=3, cell=seen.cell, backhaul_bps=seen.backhaul_bps)
    wire_s = round_model(wired, WorkConserving(), np.full((3, 1), 4)).upload_s - unwired.upload_s
    assert wire_s[:, 0] == pytest.approx([0.0, (1e5 + 4e6) / 2e6, 0.0])


@pytest.mark.parametrize("planner", [marginal_price, mean_field])
def test_cells_that_are_copies_get_the_same_plan(planner):
    """Four clients twice over: two cells side by side. Nobody is favoured for his number."""
    single = observation(clients=4)
    twice = {
        name: np.tile(getattr(single, name), 2)
        for name in ("compute_fixed_s", "compute_per_rank_s", "uplink_rate_bps")
    }
    both = problem(
        0,
        8,
        cell=np.repeat([0, 1], 4),
        weights=np.full(8, 1 / 8),
        downlink_hz=1e15,
        **twice,
    )
    both = both.__class__(**{**vars(both), "noise": np.tile(both.noise[:4], (2, 1))})
    q, option = planner(both)
    np.testing.assert_allclose(q[:4], q[4:], rtol=0.02)
    assert option[:4].tolist() == option[4:].tolist()


def test_the_mean_field_fills_every_cells_uplink_in_the_same_time():
    task = problem(1, 6, floor=1e-6, cell=np.array([0, 0, 0, 0, 1, 1]), downlink_hz=1e15)
    q, option = mean_field(task)
    rows = np.arange(6)
    tau, upload = task.model.tau_s(q, option), task.model.upload_s[rows, option]
    times = [mean_field_s(q[own], tau[own], upload[own]) for own in task.model.cells]
    free = [(q[own] < 1).any() for own in task.model.cells]
    assert all(free)
    assert times[0] == pytest.approx(times[1], rel=1e-3)
