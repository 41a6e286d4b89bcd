"""Several base stations: who serves, at what rate, and what the others add to the noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirelessfl.errors import InputError
from wirelessfl.network.channel import ModelledChannel, build_channel
from wirelessfl.scenario.mobility import (
    GaussMarkovMobility,
    LoadInterference,
    RandomWaypointMobility,
    TraceMobility,
)
from wirelessfl.scenario.network import Downlink, NetworkConfig, Replay, Uplink
from wirelessfl.scenario.place import Cells, FixedPlacement
from wirelessfl.scenario.radio import (
    FreeSpacePathLoss,
    Jakes,
    LogDistancePathLoss,
    LognormalShadowing,
    NoFading,
    NoShadowing,
    RayleighBlock,
    Rician,
    ShannonRate,
    Tr38901PathLoss,
)

STATIONS = np.array([[0.0, 0.0], [1000.0, 0.0], [400.0, 900.0]])
BARE = {
    "path_loss": LogDistancePathLoss(),
    "shadowing": NoShadowing(),
    "fading": NoFading(),
    "rate": ShannonRate(),
}
MOVING = {"mobility": GaussMarkovMobility(mean_speed_mps=20.0)}
N0_W_HZ = 10 ** ((-174 - 30) / 10)


def channel(
    clients: int = 60, seed: int = 1, stations: np.ndarray | None = STATIONS, **changes
) -> ModelledChannel:
    built = build_channel(NetworkConfig(**changes), clients, seed, stations)
    assert isinstance(built, ModelledChannel)
    return built


def place(tmp_path, *xy: tuple[float, float]) -> TraceMobility:
    """Clients at written places."""
    file = tmp_path / "places.csv"
    rows = "".join(f"0,{n},{x},{y}\n" for n, (x, y) in enumerate(xy))
    file.write_text("time_s,client,x_m,y_m\n" + rows, encoding="utf-8")
    return TraceMobility(file=str(file))


def gain(distance_m: float) -> float:
    return 10 ** -((128.1 + 37.6 * math.log10(distance_m / 1000)) / 10)


def one(chan: ModelledChannel, cell: int, direction, client: int, share_hz: float) -> float:
    slot, share = np.zeros(1, int), np.array([share_hz])
    return float(chan.at(cell).rate_bps(direction, np.array([client]), slot, share)[0, 0])


# --- placement and association -------------------------------------------------------------------


def test_uniform_clients_fill_all_cells_evenly():
    chan = channel(clients=9000)
    who = np.arange(9000)
    xy = chan.positions_m(who, 0.0)
    distance = np.hypot(*(xy[:, None] - STATIONS).transpose(2, 0, 1))
    assert (distance.min(axis=1) <= 500.0).all()
    near = np.bincount(distance.argmin(axis=1))
    assert near / 9000 == pytest.approx(np.full(3, 1 / 3), abs=0.02)  # cells barely overlap


def test_fixed_clients_are_dealt_to_the_cells_in_turn():
    chan = channel(clients=6, placement=FixedPlacement(distances_m=(50, 60, 70, 80, 90, 100)))
    who = np.arange(6)
    assert chan.serving(who, 0.0).tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(chan.distances_m(who, 0.0), [50, 60, 70, 80, 90, 100])


def test_the_nearest_station_serves_and_the_first_of_equals(tmp_path):
    places = place(tmp_path, (100, 0), (800, -50), (400, 600), (500, 0))
    chan = channel(4, **BARE, mobility=places)
    assert chan.serving(np.array([3, 2, 1, 0]), 0.0).tolist() == [0, 2, 1, 0]
    np.testing.assert_allclose(
        chan.distances_m(np.arange(4), 0.0), [100, math.hypot(200, 50), 300, 500]
    )


def test_the_strongest_station_serves_whatever_its_distance():
    air = {"shadowing": LognormalShadowing(sigma_db=12.0), "path_loss": LogDistancePathLoss()}
    strong = channel(400, **air, association="strongest")
    near = channel(400, **air)
    who, slot = np.arange(400), np.zeros(1, int)
    budget = [
        10 * np.log10(strong.at(cell).gain("uplink", who, slot) / fading)[:, 0]
        for cell in range(3)
        for fading in [strong._stations[cell]._fading.gain("uplink", who, slot)]
    ]
    serving = strong.serving(who, 0.0)
    np.testing.assert_array_equal(serving, np.argmax(budget, axis=0))
    elsewhere = serving != near.serving(who, 0.0)
    assert 0.1 < elsewhere.mean() < 0.7
    assert (strong.mean_gain(who)[elsewhere] > near.mean_gain(who)[elsewhere]).all()
    assert (strong.mean_gain(who) >= near.mean_gain(who)).all()
    assert (strong.distances_m(who, 0.0) >= near.distances_m(who, 0.0)).all()


def test_without_shadowing_the_strongest_is_the_nearest():
    who = np.arange(60)
    cells = [channel(**BARE, association=how).serving(who, 0.0) for how in ("strongest", "nearest")]
    np.testing.assert_array_equal(*cells)


# --- stations are worlds of their own ------------------------------------------------------------


@pytest.mark.parametrize("fading", [RayleighBlock(), Jakes(), Rician()])
def test_the_first_station_is_the_only_one_of_before(fading):
    air = {"fading": fading, "placement": FixedPlacement(distances_m=(120.0,))}
    alone = channel(1, stations=None, **air)
    among = channel(1, **air)
    who, slots, share = np.zeros(1, int), np.arange(-9, 30), np.array([1e5])
    for link in ("uplink", "downlink"):
        np.testing.assert_array_equal(
            alone.rate_bps(link, who, slots, share), among.at(0).rate_bps(link, who, slots, share)
        )


def test_stations_have_fading_and_shadowing_of_their_own():
    chan = channel(2000, path_loss=FreeSpacePathLoss(), shadowing=LognormalShadowing())
    who, slots = np.arange(2000), np.arange(4)
    gains = np.array([chan.at(cell).gain("uplink", who, slots) for cell in range(3)])
    xy = chan.positions_m(who, 0.0)
    for cell in range(3):
        gains[cell] *= np.hypot(*(xy - STATIONS[cell]).T)[:, None] ** 2
    decibels = np.log10(gains)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        small = [(decibels[cell] - decibels[cell][:, :1])[:, 1:].ravel() for cell in (a, b)]
        assert abs(np.corrcoef(*small)[0, 1]) < 0.06
        large = [decibels[cell].mean(axis=1) for cell in (a, b)]
        assert abs(np.corrcoef(*large)[0, 1]) < 0.25  # one realisation of two fields


@pytest.mark.parametrize("los", ["never", "always", "auto"])
def test_masts_at_one_place_have_their_own_shadowing_and_line_of_sight(los: str):
    masts = np.zeros((2, 2))
    if los == "auto":  # without shadowing, what differs is the line of sight
        air = {"path_loss": Tr38901PathLoss(), "shadowing": NoShadowing()}
    else:
        air = {"path_loss": Tr38901PathLoss(los=los)}
    chan = channel(300, stations=masts, fading=NoFading(), **air)
    who, slot = np.arange(300), np.zeros(1, int)
    one_db, other_db = (10 * np.log10(chan.at(cell).gain("uplink", who, slot)) for cell in (0, 1))
    differ = ~np.isclose(one_db, other_db)
    assert differ.mean() > (0.05 if los == "auto" else 0.99)
    if los != "auto":
        sigma_db = 4.0 if los == "always" else 6.0  # of each, so that of the difference is wider
        assert np.std(one_db - other_db) == pytest.approx(sigma_db * math.sqrt(2), rel=0.35)


@pytest.mark.parametrize("stations", [None, STATIONS])
def test_a_client_has_its_k_factor_whoever_else_is_asked_about(stations):
    clear = {"path_loss": Tr38901PathLoss(los="always"), "fading": Rician()}
    who, slots = np.array([17, 4, 11]), np.arange(5)
    together = channel(20, stations=stations, **clear).gain("uplink", who, slots)
    for row, client in enumerate(who):
        alone = channel(20, stations=stations, **clear)
        gain_ = alone.gain("uplink", np.array([client]), slots)
        np.testing.assert_array_equal(gain_[0], together[row])


def test_rates_of_the_channel_are_those_to_the_serving_station():
    chan = channel(**MOVING, fading=RayleighBlock(coherence_time_s=0.3))
    who, slots, share = np.arange(60), np.array([400, -3, 7, 401, 60]), np.linspace(1e4, 1e6, 60)
    bps = chan.rate_bps("downlink", who, slots, share)
    moved = 0
    for column, slot in enumerate(slots):
        serving = chan.serving(who, max(math.floor((slot + 0.5) * 0.3), 0))
        moved += int((serving != chan.serving(who, 0.0)).sum())
        for cell in range(3):
            rows = np.flatnonzero(serving == cell)
            there = chan.at(cell).rate_bps(
                "downlink", rows, slots[column : column + 1], share[rows]
            )
            np.testing.assert_array_equal(bps[rows, column], there[:, 0])
    assert moved > 5
    serving = chan.serving(who, 90.0)
    reports = chan.reported_rate_bps("uplink", who, 90.0, share)
    for cell in range(3):
        rows = np.flatnonzero(serving == cell)
        there = chan.at(cell).reported_rate_bps("uplink", rows, 90.0, share[rows])
        np.testing.assert_array_equal(reports[rows], there)


def test_measured_rates_belong_to_one_cell(tmp_path):
    file = tmp_path / "rates.csv"
    file.write_text("time_s,client,dl_mbps,ul_mbps\n0,0,10,1\n1,0,5,2\n", encoding="utf-8")
    replay = NetworkConfig(replay=Replay(file=str(file)))
    with pytest.raises(InputError, match="belong to one cell, the topology has 3"):
        build_channel(replay, 1, 1, STATIONS)
    driving = NetworkConfig(replay=Replay(file=str(file)), **MOVING)
    who, slots, share = np.zeros(1, int), np.arange(-3, 9), np.array([1e6])
    rates = [
        build_channel(config, 1, 1).rate_bps("uplink", who, slots, share)
        for config in (replay, driving)
    ]
    np.testing.assert_array_equal(*rates)
    chan = build_channel(driving, 1, 1)
    assert (chan.cells, chan.serving(who, 5.0).tolist()) == (1, [0])
    assert chan.at(0) is chan
    assert np.isnan(chan.positions_m(who, 5.0)).all()


# --- interference --------------------------------------------------------------------------------


def test_downlink_sinr_by_hand(tmp_path):
    chan = channel(
        1, **BARE, mobility=place(tmp_path, (300, 0)), interference=LoadInterference(load=0.25)
    )
    watts_hz = 10 ** ((46 - 30) / 10) / 20e6
    g = [gain(300), gain(700), gain(math.hypot(100, 900))]
    noise_w_hz = N0_W_HZ * 10**0.7
    for cell in range(3):
        others = sum(g) - g[cell]
        sinr = watts_hz * g[cell] / (noise_w_hz + 0.25 * watts_hz * others)
        expected = 4e6 * math.log2(1 + sinr)
        assert one(chan, cell, "downlink", 0, 4e6) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mode", ["total", "per_rb"])
def test_uplink_sinr_by_hand(tmp_path, mode):
    xy = [(300, 0), (900, 0), (1200, 0), (400, 700)]  # served by 0, 1, 1, 2
    chan = channel(
        4,
        **BARE,
        mobility=place(tmp_path, *xy),
        interference=LoadInterference(load=0.5),
        uplink=Uplink(power_mode=mode),
    )
    watts = 10 ** ((23 - 30) / 10)
    far = (gain(900) + gain(1200)) / 2 + gain(math.hypot(400, 700))  # at station 0
    noise_w_hz = N0_W_HZ * 10**0.5 + 0.5 * watts / 5e6 * far
    width_hz = 2e5 if mode == "total" else 5e6
    sinr = watts * gain(300) / (noise_w_hz * width_hz)
    expected = 2e5 * math.log2(1 + sinr)
    assert one(chan, 0, "uplink", 0, 2e5) == pytest.approx(expected, rel=1e-9)


def test_cells_without_clients_are_silent_in_the_uplink(tmp_path):
    at = {"mobility": place(tmp_path, (300, 0)), **BARE}
    quiet, loud = channel(1, **at), channel(1, **at, interference=LoadInterference(load=1.0))
    assert one(loud, 0, "uplink", 0, 1e5) == one(quiet, 0, "uplink", 0, 1e5)
    assert one(loud, 0, "downlink", 0, 1e5) < 0.9 * one(quiet, 0, "downlink", 0, 1e5)


def test_more_load_means_less_rate_and_none_means_nothing():
    who, slots, share = np.arange(60), np.arange(3), np.full(60, 1e5)
    rates = [
        channel(interference=LoadInterference(load=load)).rate_bps(link, who, slots, share)
        for link in ("uplink", "downlink")
        for load in (0.0, 0.3, 1.0)
    ]
    for idle, some, full in (rates[:3], rates[3:]):
        assert (full <= some).all()
        assert (some <= idle).all()
        assert full.sum() < some.sum() < idle.sum()
    np.testing.assert_array_equal(rates[0], channel().rate_bps("uplink", who, slots, share))


def test_a_single_cell_has_no_interference():
    who, slots, share = np.arange(60), np.arange(3), np.full(60, 1e5)
    loud = channel(stations=None, interference=LoadInterference(load=1.0))
    np.testing.assert_array_equal(
        loud.rate_bps("downlink", who, slots, share),
        channel(stations=None).rate_bps("downlink", who, slots, share),
    )


# --- movement ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_shadowing_along_a_path_decorrelates_over_its_distance():
    products = []
    for seed in range(60):
        chan = channel(
            100,
            seed,
            stations=None,
            path_loss=Tr38901PathLoss(los="never"),
            mobility=GaussMarkovMobility(
                mean_speed_mps=5.0, speed_sigma_mps=0.0, direction_sigma_rad=0.0, update_s=0.5
            ),
        )
        who = np.arange(100)
        fields = []
        for t_s in (100.0, 105.0, 110.0, 120.0):
            d = np.hypot(np.maximum(chan.distances_m(who, t_s), 35.0), 23.5)
            loss_db = 13.54 + 39.08 * np.log10(d) + 20 * math.log10(3.5)
            fields.append((10 * np.log10(chan.mean_gain(who, t_s)) + loss_db) / 6.0)
        moved = np.hypot(*(chan.positions_m(who, 110.0) - chan.positions_m(who, 100.0)).T)
        straight = np.isclose(moved, 50.0)
        products.append([np.mean((fields[0] * f)[straight]) for f in fields[:3]])
    np.testing.assert_allclose(
        np.mean(products, axis=0), np.exp([0.0, -25 / 50, -50 / 50]), atol=0.06
    )


def test_slots_take_the_place_of_the_step_their_middle_is_in():
    slow = channel(3, stations=None, **MOVING, fading=RayleighBlock(coherence_time_s=4.0))
    who = np.arange(3)
    fading = slow._stations[0]._fading
    for slot, t_s in ((0, 2.0), (1, 6.0), (-5, 0.0), (9, 38.0)):
        gain_ = slow.gain("uplink", who, np.array([slot])) / fading.gain(
            "uplink", who, np.array([slot])
        )
        np.testing.assert_allclose(gain_[:, 0], slow.mean_gain(who, t_s))
    fast = channel(3, stations=None, **MOVING, fading=RayleighBlock(coherence_time_s=0.25))
    means = fast.gain("uplink", who, np.arange(12)) / fast._stations[0]._fading.gain(
        "uplink", who, np.arange(12)
    )
    for slot in range(12):
        np.testing.assert_allclose(means[:, slot], fast.mean_gain(who, slot // 4))


def test_without_fading_a_moving_client_has_the_updates_as_slots():
    walk = RandomWaypointMobility(update_s=2.0)
    per_rb = Uplink(power_mode="per_rb")
    chan = channel(stations=None, fading=NoFading(), mobility=walk, uplink=per_rb)
    assert chan.slot_s == chan.at(0).slot_s == 2.0
    assert not chan.linear("uplink")
    assert chan.proportional("uplink")
    still = channel(stations=None, fading=NoFading(), uplink=per_rb)
    assert still.slot_s == math.inf
    assert still.linear("uplink")
    rates = chan.rate_bps("uplink", np.arange(60), np.array([-1, 0, 400]), np.full(60, 1e5))
    np.testing.assert_array_equal(rates[:, 0], rates[:, 1])
    assert (rates[:, 1] != rates[:, 2]).mean() > 0.5


def test_fading_follows_the_speed_of_the_clients():
    walk = RandomWaypointMobility(min_speed_mps=2.0, max_speed_mps=2.0)
    still, walking = channel(stations=None), channel(stations=None, mobility=walk)
    told = channel(stations=None, mobility=walk, fading=RayleighBlock(speed_mps=1.0))
    assert walking.slot_s == pytest.approx(still.slot_s / 2)
    assert told.slot_s == pytest.approx(still.slot_s)


def test_a_client_under_the_mast_is_as_loud_as_at_the_least_distance(tmp_path):
    places = place(tmp_path, (0, 0), (20, 0), (35, 0), (36, 0))
    chan = channel(4, stations=None, **BARE, mobility=places)
    near = chan.mean_gain(np.arange(4))
    np.testing.assert_allclose(near, [gain(35)] * 3 + [gain(36)])
    np.testing.assert_allclose(chan.distances_m(np.arange(4), 0.0), [0, 20, 35, 36])


def test_a_roaming_area_outside_the_path_loss_is_refused():
    office = {"path_loss": Tr38901PathLoss(environment="inh-open"), "cells": Cells(radius_m=200.0)}
    with pytest.raises(InputError, match="inh-open covers"):
        channel(stations=None, **office, mobility=RandomWaypointMobility())
    near = FixedPlacement(distances_m=(40.0,))
    channel(1, stations=None, **office, placement=near)
    with pytest.raises(InputError, match="inh-open covers"):
        channel(1, stations=None, **office, placement=near, **MOVING)


AIR = {
    "waypoint": {
        "mobility": RandomWaypointMobility(max_speed_mps=20.0),
        "association": "strongest",
    },
    "drive": {**MOVING, "fading": Rician(), "interference": LoadInterference(load=0.5)},
    "still": {"interference": LoadInterference(), "downlink": Downlink(power_dbm=30.0)},
}
ASKED = {name: channel(20, **air) for name, air in AIR.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(AIR)),
    st.sampled_from(["uplink", "downlink"]),
    st.lists(st.integers(0, 19), min_size=1, max_size=6),
    st.lists(st.integers(-100, 3000), min_size=1, max_size=6),
)
def test_a_rate_is_the_same_in_any_batch_and_order(name, direction, clients, slots):
    who, when = np.array(clients), np.array(slots)
    share = 1e4 * (1.0 + who)
    together = ASKED[name].rate_bps(direction, who, when, share)
    fresh = channel(20, **AIR[name])
    alone = fresh.rate_bps(direction, who[-1:], when[-1:], share[-1:])
    assert alone[0, 0] == together[-1, -1]
    reports = ASKED[name].reported_rate_bps(direction, who, float(when[0]) / 10, share)
    again = fresh.reported_rate_bps(direction, who[:1], float(when[0]) / 10, share[:1])
    assert reports[0] == again[0]


def test_forgotten_gains_come_back_the_same(monkeypatch):
    monkeypatch.setattr("wirelessfl.network.mean_gains._MOST_BYTES", 0)
    forgetful, who = channel(20, **AIR["drive"]), np.arange(20)
    monkeypatch.undo()
    share = np.full(20, 1e5)
    for slots in (np.arange(0, 40_000, 999), np.array([5])):
        np.testing.assert_array_equal(
            forgetful.rate_bps("downlink", who, slots, share),
            ASKED["drive"].rate_bps("downlink", who, slots, share),
        )
    assert len(forgetful._gains._places._rows) == 3


def test_nobody_is_computed_before_being_asked_about():
    chan = build_channel(NetworkConfig(), 1_000_000, 1)
    chan.rate_bps("uplink", np.array([3, 999_999]), np.arange(2), np.full(2, 1e4))
    (row,) = chan._gains._places._rows.values()
    assert np.isfinite(row.values[0]).sum() == 2


def test_still_clients_are_associated_once(monkeypatch):
    chan, who = channel(60), np.arange(60)
    asked = []
    best = chan._gains._best
    monkeypatch.setattr(
        chan._gains, "_best", lambda some, step: asked.extend(some) or best(some, step)
    )
    again = [chan.serving(some, t_s) for some, t_s in ((who[10:], 0.0), (who, 50.0), (who, 99.0))]
    assert sorted(asked) == who.tolist()
    np.testing.assert_array_equal(again[0], again[1][10:])
    np.testing.assert_array_equal(again[1], again[2])


def test_of_many_cells_only_what_is_asked_about_is_kept():
    stations = np.stack([1000.0 * np.arange(127), np.zeros(127)], axis=1)
    chan = build_channel(NetworkConfig(), 1_000_000, 1, stations)
    assert isinstance(chan, ModelledChannel)
    who = np.arange(0, 1_000_000, 1000)
    chan.rate_bps("uplink", who, np.arange(2), np.full(1000, 1e4))
    rows = chan._gains._places._rows.values()
    assert sum(row.values.nbytes for row in rows) == 1000 * 2 * 8
    assert chan._gains._places._bytes == 1000 * 2 * 8
