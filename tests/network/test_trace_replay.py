from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.network.links import run, start
from wirelessfl.errors import InputError
from wirelessfl.network.channel import Channel, build_channel
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.sharing import EqualShareRule
from wirelessfl.network.trace_replay import RateTrace, read_traces, write_traces
from wirelessfl.scenario.network import Downlink, NetworkConfig, Replay, Uplink

HEADER = "time_s,client,dl_mbps,ul_mbps\n"
TWO = HEADER + "0,0,10,1\n0,1,40,4\n0.5,0,20,2\n0.5,1,50,5\n1,0,30,3\n"  # 3 steps and 2
UPLINK_HZ, DOWNLINK_HZ = 5e6, 20e6


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rates.csv"
    path.write_text(TWO, encoding="utf-8")
    return path


def channel(file: Path, clients: int = 2, seed: int = 1) -> Channel:
    network = NetworkConfig(
        uplink=Uplink(bandwidth_hz=UPLINK_HZ),
        downlink=Downlink(bandwidth_hz=DOWNLINK_HZ),
        replay=Replay(file=str(file)),
    )
    return build_channel(network, clients, seed)


def uplink_mbps(chan: Channel, slots) -> np.ndarray:
    who = np.arange(chan.clients)
    share = np.full(chan.clients, UPLINK_HZ)
    return chan.rate_bps("uplink", who, np.asarray(slots), share) / 1e6


def test_rates_hold_for_a_step_and_repeat_in_both_directions_of_time(file: Path):
    chan = channel(file)
    assert chan.slot_s == 0.5
    expected = [[2, 3, 1, 2, 3, 1, 2], [4, 5, 4, 5, 4, 5, 4]]
    np.testing.assert_allclose(uplink_mbps(chan, np.arange(-2, 5)), expected, rtol=1e-15)
    whole = np.full(2, DOWNLINK_HZ)
    down = chan.rate_bps("downlink", np.arange(2), np.array([0, 1]), whole)
    np.testing.assert_allclose(down, [[10e6, 20e6], [40e6, 50e6]], rtol=1e-15)


def test_a_share_carries_its_share_of_the_measured_rate(file: Path):
    share = np.array([0.0, UPLINK_HZ / 4])
    bps = channel(file).rate_bps("uplink", np.arange(2), np.array([0]), share)
    np.testing.assert_allclose(bps[:, 0], [0.0, 1e6], rtol=1e-15)


def test_distances_are_unknown(file: Path):
    assert np.isnan(channel(file).distances_m(np.arange(2), 0.0)).all()


def test_traces_are_dealt_out_in_turn_and_later_clients_start_elsewhere(tmp_path: Path):
    rng = np.random.default_rng(0)
    traces = [RateTrace(1.0, rng.random(500), rng.random(500)) for _ in range(3)]
    write_traces(tmp_path / "t.csv", traces)
    chan = channel(tmp_path / "t.csv", clients=30)
    rates = uplink_mbps(chan, np.arange(500))
    for client in range(30):
        trace = traces[client % 3].uplink_mbps
        shift = int(np.argmin(np.abs(trace - rates[client, 0])))
        np.testing.assert_allclose(rates[client], np.roll(trace, -shift), rtol=1e-12)
        assert client >= 3 or shift == 0
    assert len({tuple(row) for row in rates.round(9).tolist()}) == 30
    np.testing.assert_array_equal(
        rates[:9], uplink_mbps(channel(tmp_path / "t.csv", 9), np.arange(500))
    )
    other = uplink_mbps(channel(tmp_path / "t.csv", 30, seed=2), np.arange(500))
    assert (other[:3] == rates[:3]).all()
    assert (other[3:] != rates[3:]).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(-9999, 9999), min_size=1))
def test_a_rate_is_the_same_in_any_batch_and_order(tmp_path_factory, clients, slots):
    path = tmp_path_factory.getbasetemp() / "batch.csv"
    path.write_text(TWO, encoding="utf-8")
    chan = channel(path, clients=6)
    who, when, share = np.array(clients), np.array(slots), np.full(len(clients), 1e6)
    together = chan.rate_bps("uplink", who, when, share)
    for i in range(len(who)):
        alone = chan.rate_bps("uplink", who[i : i + 1], when[::-1], share[:1])
        np.testing.assert_array_equal(alone[0, ::-1], together[i])


def test_the_reported_rate_is_the_mean_of_the_last_second(file: Path):
    share = np.full(2, UPLINK_HZ)
    reported = channel(file).reported_rate_bps("uplink", np.arange(2), 1.7, share)
    np.testing.assert_allclose(reported, [2.5e6, 4.5e6])  # steps 1 and 2; the third still lasts


def test_one_row_is_a_rate_that_never_changes(tmp_path: Path):
    path = tmp_path / "one.csv"
    path.write_text(HEADER + "7,0,10,1\n", encoding="utf-8")
    chan = channel(path, clients=3)
    assert chan.slot_s == math.inf
    np.testing.assert_allclose(uplink_mbps(chan, [0]), 1.0)


def test_a_transfer_waits_through_an_outage_of_the_trace(tmp_path: Path):
    path = tmp_path / "tunnel.csv"
    path.write_text(HEADER + "0,0,1,2\n1,0,1,0\n2,0,1,0\n3,0,1,1\n", encoding="utf-8")
    fluid = Fluid(channel(path, clients=1), "uplink", UPLINK_HZ, EqualShareRule())
    state = run(fluid, *start(fluid, [2.25e6]))
    assert state.finish_s[0] == pytest.approx(3.25)


def test_what_is_written_is_read_back(tmp_path: Path):
    rng = np.random.default_rng(1)
    traces = [RateTrace(0.1, rng.random(n), rng.random(n)) for n in (70, 30)]
    write_traces(tmp_path / "t.csv", traces)
    for ours, theirs in zip(traces, read_traces(tmp_path / "t.csv", 2), strict=True):
        assert theirs.step_s == ours.step_s
        np.testing.assert_array_equal(theirs.downlink_mbps, ours.downlink_mbps)
        np.testing.assert_array_equal(theirs.uplink_mbps, ours.uplink_mbps)
    with pytest.raises(InputError, match="need the same step"):
        write_traces(tmp_path / "t.csv", [*traces, RateTrace(1.0, np.ones(1), np.ones(1))])


def test_snr_and_blank_lines_may_be_there(tmp_path: Path):
    path = tmp_path / "snr.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER[:-1].encode() + b",snr_db\r\n\r\n3,0,5,1,-4\r\n\r\n")
    (trace,) = read_traces(path, 1)
    assert (trace.downlink_mbps, trace.uplink_mbps) == ([5.0], [1.0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ":1: is empty; needs time_s,client,dl_mbps,ul_mbps[,snr_db]"),
        (HEADER, ":1: has a header but no rows"),
        ("time,client,dl_mbps\n1,0,1\n", ":1: has columns time,client,dl_mbps; needs time_s,"),
        (HEADER + "0,0,1,1\n1,0,1\n", ":3: has 3 values for 4 columns"),
        (HEADER + "0,0,1,1,9\n", ":2: has 5 values for 4 columns"),
        (HEADER + "0,0,1,-1\n", ":2: ul_mbps is '-1', must be a number of at least 0"),
        (HEADER + "0,0,nan,1\n", ":2: dl_mbps is 'nan', must be a number of at least 0"),
        (HEADER + "0,0,inf,1\n", ":2: dl_mbps is 'inf', must be"),
        (HEADER + "0,0,1e305,1\n", ":2: dl_mbps is '1e305', must be"),
        (HEADER + "soon,0,1,1\n", ":2: time_s is 'soon', must be a number"),
        (HEADER + "0,0,,1\n", ":2: dl_mbps is '', must be"),
        (HEADER[:-1] + ",snr_db\n0,0,1,1,nan\n", ":2: snr_db is 'nan', must be a number"),
        (HEADER + "0,0,1,1\n1,0,1,1\n3,0,1,1\n", ":4: a gap: time_s is 3, must be 2; rows of a"),
        (HEADER + "0,0,1,1\n1,0,1,1\n1.5,0,1,1\n", ":4: time_s is 1.5, must be 2; rows of a"),
        (HEADER + "0,0,1,1\n1,0,1,1\n0,1,1,1\n2,1,1,1\n", ":5: a gap: time_s is 2, must be 1;"),
        (HEADER + "0,0,1,1\n2,0,1,1\n1,0,1,1\n", ":4: time_s 1 is not after the client's last, 2"),
        (HEADER + "0,0,1,1\n0,0,1,1\n", ":3: time_s 0 is not after the client's last, 0"),
        (HEADER + "0,0,1,1\n0,2,1,1\n", ":3: unknown client 2; the scenario has 0 to 1"),
        (HEADER + f"0,{'9' * 30},1,1\n", ":2: unknown client 999999999999999999; the"),
        (HEADER + "0,1,1,1\n", ":2: client 1 without a client 0; number them 0, 1, 2, ..."),
        (HEADER + "0,-1,1,1\n", ":2: client is '-1', must be a whole number from 0 on"),
        (HEADER + "0,phone,1,1\n", ":2: client is 'phone', must be a whole number from 0 on"),
        (HEADER + "0,0,1,0\n1,0,1,0\n", ":2: ul_mbps of client 0 is 0 throughout"),
        (HEADER + '0,0,1,"1\n', ":2: is not CSV: unexpected end of data"),
    ],
)
def test_a_bad_trace_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_traces(path, clients=2)
    assert str(caught.value).startswith(f"{path}{complaint}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("last", "fits"), [("2.009", True), ("1.991", True), ("2.012", False)])
def test_printed_times_may_be_off_by_a_hundredth_of_a_step(tmp_path: Path, last: str, fits: bool):
    path = tmp_path / "rounded.csv"
    path.write_text(HEADER + f"0,0,1,1\n1,0,1,1\n{last},0,1,1\n", encoding="utf-8")
    if fits:
        assert len(read_traces(path, 1)[0].uplink_mbps) == 3
    else:
        with pytest.raises(InputError, match=r":4: a gap: time_s is 2\.012, must be 2;"):
            read_traces(path, 1)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path):
    path = tmp_path / "bad.csv"
    path.write_bytes(HEADER.encode() + b"0,0,\xff,1\n")
    with pytest.raises(InputError, match=r"bad\.csv:2: is not UTF-8 text"):
        read_traces(path, 1)
    with pytest.raises(InputError, match="cannot be read"):
        read_traces(tmp_path / "none.csv", 1)


def test_a_file_that_changed_since_is_refused(file: Path):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(read_traces(file, 2, digest)) == 2
    file.write_text(TWO + "1.5,0,1,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="has changed since the scenario noted its SHA-256"):
        read_traces(file, 2, digest)
