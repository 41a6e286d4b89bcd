from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.network.converters import g_nettrack_trace, mahimahi_trace
from wirelessfl.network.trace_replay import read_traces, write_traces

G_NETTRACK = "Timestamp,Longitude,Latitude,NetworkMode,SNR,DL_bitrate,UL_bitrate,State\n"


def g_nettrack(folder: Path, *samples: str) -> Path:
    """A log with samples like '58 1000 20 D': second, kbit/s down and up, state."""
    path = folder / "drive.csv"
    lines = []
    for sample in samples:
        second, down, up, state = sample.split()
        clock = f"13.{40 + int(second) // 60}.{int(second) % 60:02d}"
        lines.append(f"2019.12.16_{clock},-8.5,51.9,5G,9,{down},{up},{state}")
    path.write_text(G_NETTRACK + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def schedule(folder: Path, name: str, *stamps_ms: int) -> Path:
    path = folder / name
    path.write_text("\n".join(map(str, stamps_ms)) + "\n", encoding="utf-8")
    return path


def test_g_nettrack_samples_of_a_second_are_averaged_and_short_holes_bridged(tmp_path: Path):
    path = g_nettrack(
        tmp_path, "58 1000 20 D", "58 3000 40 D", "59 500 10 D", "62 8000 80 D", "63 0 1 D"
    )
    trace = g_nettrack_trace(path)
    assert trace.step_s == 1.0
    np.testing.assert_allclose(trace.downlink_mbps, [2.0, 0.5, 0.5, 0.5, 8.0, 0.0])
    np.testing.assert_allclose(trace.uplink_mbps, [0.03, 0.01, 0.01, 0.01, 0.08, 0.001])


def test_g_nettrack_idle_and_missing_samples_are_left_out(tmp_path: Path):
    path = g_nettrack(tmp_path, "0 9 9 I", "1 1000 20 D", "2 - 20 D", "3 2000 40 D")
    np.testing.assert_allclose(g_nettrack_trace(path).downlink_mbps, [1.0, 1.0, 2.0])


def test_g_nettrack_holes_of_five_seconds_are_bridged_and_of_six_are_not(tmp_path: Path):
    trace = g_nettrack_trace(g_nettrack(tmp_path, "0 1000 20 D", "6 2000 20 D"))
    np.testing.assert_allclose(trace.downlink_mbps, [1.0] * 6 + [2.0])
    with pytest.raises(InputError, match="7 s after the sample before it"):
        g_nettrack_trace(g_nettrack(tmp_path, "0 1000 20 D", "7 2000 20 D"))


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (
            ("0 1 1 D", "30 1 1 D"),
            r"drive\.csv:3: 30 s after the sample before it, must be 0 to 6 s; cut the file there",
        ),
        (("9 1 1 D", "8 1 1 D"), r"drive\.csv:3: -1 s after the sample before it, must be 0"),
        (("0 1 1 D", *["9 9 9 I"] * 3, "12 1 1 D"), r"drive\.csv:6: 12 s after the sample"),
        (("0 1e13 1 D",), r"drive\.csv:2: bit rates 1e\+13 and 1 must be"),
        (("0 fast 1 D",), r"drive\.csv:2: not a G-NetTrack sample"),
        (("0 nan 1 D",), r"drive\.csv:2: bit rates nan and 1 must be"),
        (("0 1 -3 D",), r"drive\.csv:2: bit rates 1 and -3 must be"),
        (("0 1 1 I",), r"drive\.csv:1: has no samples"),
    ],
)
def test_bad_g_nettrack_files_are_refused(tmp_path: Path, samples, complaint: str):
    with pytest.raises(InputError, match=complaint):
        g_nettrack_trace(g_nettrack(tmp_path, *samples))


def test_other_csv_files_are_no_g_nettrack(tmp_path: Path):
    path = tmp_path / "other.csv"
    path.write_text("time_s,client,dl_mbps,ul_mbps\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no column DL_bitrate, Timestamp, UL_bitrate"):
        g_nettrack_trace(path)


def test_a_mahimahi_line_is_1500_bytes(tmp_path: Path):
    """12 Mbit/s is a packet a millisecond; the uplink's schedule is shorter and repeats."""
    down = schedule(tmp_path, "down", *range(1, 3001))
    up = schedule(tmp_path, "up", *range(10, 501, 10))
    trace = mahimahi_trace(down, up)
    np.testing.assert_allclose(trace.downlink_mbps, [12.0, 12.0, 12.0])
    np.testing.assert_allclose(trace.uplink_mbps, [1.2, 1.2, 1.2])


def test_a_mahimahi_schedule_repeats_after_its_last_line(tmp_path: Path):
    """Packets at 0.3 and 1.5 s, then at 1.8 and 3.0: three within two steps of a second."""
    lonely = schedule(tmp_path, "lonely", 300, 1500)
    trace = mahimahi_trace(lonely, lonely)
    np.testing.assert_allclose(trace.downlink_mbps, [0.012, 0.024])


def test_packets_of_one_millisecond_and_of_time_zero_all_count(tmp_path: Path):
    path = schedule(tmp_path, "burst", 0, 0, 400, 400, 1000)
    assert mahimahi_trace(path, path).uplink_mbps == pytest.approx([5 * 0.012])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "m:1: has no time after 0 ms"),
        ("0\n0\n", "m:1: has no time after 0 ms"),
        ("5\nsix\n", "m:2: 'six' is not a whole number of ms"),
        ("5\n-6\n", "m:2: '-6' is not a whole number of ms"),
        ("5\n4\n", "m:2: 4 ms comes after 5 ms"),
        ("1\n\n2\n\nx\n", "m:5: 'x' is not a whole number of ms"),
        ("1 2\n", "m:1: '1 2' is not a whole number of ms"),
        ("5\n999999999999999\n", "m: is 1e\\+12 steps long, at most 10,000,000 can be converted"),
    ],
)
def test_bad_mahimahi_files_are_refused(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "m"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        mahimahi_trace(path, path)


@pytest.mark.parametrize("step_s", [0.0, -1.0, math.nan, math.inf, 1e-9])
def test_steps_no_trace_can_have_are_refused(tmp_path: Path, step_s: float):
    drive, cell = g_nettrack(tmp_path, "0 1000 20 D"), schedule(tmp_path, "m", 1, 2)
    with pytest.raises(InputError, match=r"step_s is .*, must be a time of at least 0\.001 s"):
        g_nettrack_trace(drive, step_s)
    with pytest.raises(InputError, match=r"step_s is .*, must be a time of at least 0\.001 s"):
        mahimahi_trace(cell, cell, step_s)


def test_a_g_nettrack_line_that_ends_too_early_is_refused(tmp_path: Path):
    path = g_nettrack(tmp_path, "0 1000 20 D")
    path.write_text(path.read_text(encoding="utf-8") + "2019.12.16_13.40.01,-8.4\n", "utf-8")
    with pytest.raises(InputError, match=r"drive\.csv:3: .* the line ends too early"):
        g_nettrack_trace(path)


def test_converted_traces_can_be_replayed(tmp_path: Path):
    drive = g_nettrack_trace(g_nettrack(tmp_path, "0 1000 20 D", "1 3000 40 D"))
    cell = mahimahi_trace(*[schedule(tmp_path, "m", *range(1, 2001))] * 2)
    write_traces(tmp_path / "rates.csv", [drive, cell])
    assert [len(t.uplink_mbps) for t in read_traces(tmp_path / "rates.csv", 5)] == [2, 2]
