from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.network.channel import build_channel
from wirelessfl.network.position_trace import PositionTrace
from wirelessfl.scenario import loads
from wirelessfl.scenario.mobility import TraceMobility
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.radio import FixedPathLoss, NoFading, NoShadowing

HEADER = "time_s,client,x_m,y_m\n"
TWO = HEADER + "0,0,100,0\n10,0,200,50\n5,1,0,-80\n30,0,200,50\n"


def trace(
    tmp_path: Path, text: str, clients: int = 2, max_gap_s: float = 60.0, sha256: str | None = None
) -> PositionTrace:
    file = tmp_path / "places.csv"
    file.write_text(text, encoding="utf-8")
    return PositionTrace(file, clients, max_gap_s, sha256)


def test_clients_go_straight_between_rows_and_stand_before_and_after(tmp_path: Path):
    places = trace(tmp_path, TWO)
    both = np.arange(2)
    for t_s, first in ((0.0, [100, 0]), (2.5, [125, 12.5]), (10.0, [200, 50]), (99.0, [200, 50])):
        np.testing.assert_allclose(places.positions_m(both, t_s), [first, [0, -80]])
    late = trace(tmp_path, TWO.replace("0,0,100,0\n", "7,0,100,0\n"))
    np.testing.assert_allclose(late.positions_m(both, 3.0)[0], [100, 0])
    np.testing.assert_allclose(late.positions_m(both, 8.0)[0], [100 + 100 / 3, 50 / 3])


def test_any_client_is_found_among_many_rows(tmp_path: Path):
    rng = np.random.default_rng(1)
    times = [np.cumsum(rng.uniform(0.5, 9, count)) for count in (1, 40, 7, 100)]
    rows = [(t, n, 10 * t + n, -t) for n, mine in enumerate(times) for t in mine]
    rows.sort()
    text = HEADER + "".join(f"{t!r},{n},{x!r},{y!r}\n" for t, n, x, y in rows)
    places = trace(tmp_path, text.replace("np.float64(", "").replace(")", ""), clients=4)
    for t_s in (0.0, 3.0, 33.3, 200.0, 1e4):
        who = np.array([3, 1, 0, 2, 1])
        held = np.array([np.clip(t_s, times[n][0], times[n][-1]) for n in who])
        expected = np.stack([10 * held + who, -held], axis=1)
        np.testing.assert_allclose(places.positions_m(who, t_s), expected, atol=1e-9)


def test_mean_speed_is_that_of_moving_clients_while_they_move(tmp_path: Path):
    assert trace(tmp_path, TWO).mean_speed_mps == pytest.approx(np.hypot(100, 50) / 10)
    assert trace(tmp_path, HEADER + "0,0,1,1\n", clients=1).mean_speed_mps == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "places.csv:1: is empty; needs time_s,client,x_m,y_m"),
        ("time_s,client,x,y\n", "places.csv:1: has columns time_s,client,x,y; needs"),
        (HEADER, "places.csv:1: has a header but no rows"),
        (HEADER + "0,0,1\n", "places.csv:2: has 3 values for 4 columns"),
        (HEADER + "0,0,1,1\n0,2,1,1\n", "places.csv:3: unknown client 2; the scenario has 0 to 1"),
        (HEADER + "0,0.5,1,1\n", "places.csv:2: client is '0.5', must be a whole number"),
        (HEADER + "0,0,nan,1\n", "places.csv:2: x_m is 'nan', must be a number"),
        (HEADER + "0,0,1,\n", "places.csv:2: y_m is '', must be a number"),
        (HEADER + "0,0,1,1e9\n", "places.csv:2: y_m is '1e9', must be a number"),
        (HEADER + "inf,0,1,1\n", "places.csv:2: time_s is 'inf', must be a number"),
        (HEADER + "0,0,1,1\n", "places.csv:1: has no rows for client 1; the scenario has clients"),
        (
            HEADER + "5,0,1,1\n0,1,1,1\n4,0,1,1\n",
            "places.csv:4: time_s 4 is not after the last of client 0, 5",
        ),
        (
            HEADER + "0,0,1,1\n0,1,1,1\n60,0,1,1\n121,0,1,1\n",
            "places.csv:5: a gap: client 0 was last seen at 60 s, 61 s before; fill it or raise "
            "network.mobility.max_gap, 60 s",
        ),
        (HEADER + '0,0,"1,1\n', "places.csv:2: is not CSV"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_their_line(
    tmp_path: Path, text: str, message: str
):
    with pytest.raises(InputError) as error:
        trace(tmp_path, text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_how_many_clients_are_missing_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="no rows for client 1 and 3 more"):
        trace(tmp_path, HEADER + "0,0,1,1\n", clients=5)


def test_a_wider_gap_may_be_allowed(tmp_path: Path):
    text = HEADER + "0,0,0,0\n600,0,600,0\n"
    places = trace(tmp_path, text, clients=1, max_gap_s=600.0)
    np.testing.assert_allclose(places.positions_m(np.zeros(1, int), 150.0), [[150, 0]])


def test_a_missing_or_changed_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        PositionTrace(tmp_path / "no.csv", 1, 60.0, None)
    with pytest.raises(InputError, match="has changed"):
        trace(tmp_path, TWO, sha256="0" * 64)


def test_a_scenario_finds_its_trace_and_notes_its_hash(tmp_path: Path):
    (tmp_path / "places.csv").write_text(TWO, encoding="utf-8")
    text = (
        "name: x\nnetwork: {mobility: {kind: trace, file: places.csv}}\n"
        "devices: {count: 2, mix: {jetson-nano: 1}}\nstrategy: {kind: full}\n"
    )
    moves = loads(text, str(tmp_path / "x.yaml")).network.mobility
    assert isinstance(moves, TraceMobility)
    assert moves.file == str(tmp_path / "places.csv")
    assert moves.sha256 is not None


def test_the_distance_to_the_station_follows_the_trace(tmp_path: Path):
    (tmp_path / "places.csv").write_text(TWO, encoding="utf-8")
    moves = TraceMobility(file=str(tmp_path / "places.csv"))
    air = {"path_loss": FixedPathLoss(), "shadowing": NoShadowing(), "fading": NoFading()}
    channel = build_channel(NetworkConfig(mobility=moves, **air), 2, 1)
    at = [channel.distances_m(np.arange(2), t_s) for t_s in (-4.0, 2.9, 50.0)]
    expected = [[100, 80], [np.hypot(120, 10), 80], [np.hypot(200, 50), 80]]
    np.testing.assert_allclose(at, expected)
    np.testing.assert_allclose(channel.positions_m(np.arange(2), 2.9), [[120, 10], [0, -80]])


def test_a_trace_that_leaves_the_range_of_the_path_loss_is_refused(tmp_path: Path):
    (tmp_path / "places.csv").write_text(TWO.replace("200,50", "9000,0"), encoding="utf-8")
    moves = TraceMobility(file=str(tmp_path / "places.csv"))
    with pytest.raises(InputError, match=r"to 9000 m from the base station.*uma covers"):
        build_channel(NetworkConfig(mobility=moves), 2, 1)
    stations = np.array([[0.0, 0.0], [8000.0, 0.0]])
    assert build_channel(NetworkConfig(mobility=moves), 2, 1, stations).cells == 2
