"""What happens to an asynchronous server's clients, and what its trace says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.simulation.test_async_schedule import REST, UP_BPS, timed, works
from tests.simulation.test_presence import EVERYTHING, POWERS, events_of, on_during
from tests.simulation.test_rounds import TWO
from wirelessfl.scenario import loads
from wirelessfl.simulation import Progress, simulate
from wirelessfl.trace import Trace

TWO_AT_WORK = "{kind: fedasync, participation: {concurrency: 2}}"


def check(trace: Trace, concurrency: int, buffer: int) -> None:
    """What is true of every asynchronous trace."""
    rounds, clients = trace.rounds, trace.clients
    assert rounds["round"].tolist() == list(range(len(rounds)))
    assert (rounds["start_s"][1:].to_numpy() == rounds["end_s"][:-1].to_numpy()).all()
    steps = np.diff(rounds["server_version"])
    assert (steps[:-1] == 1).all()  # and the last is cut short, or is one too
    assert steps.size == 0 or steps[-1] in (0, 1)
    made = rounds["server_version"].iloc[-1]

    outcomes = clients["outcome"].value_counts()
    for outcome in ("completed", "dropped", "crashed", "offline", "lost"):
        assert rounds[outcome].sum() == outcomes.get(outcome, 0)
    assert rounds["participants"].sum() == len(clients)
    assert not clients.duplicated(["client", "download_start_s"]).any()
    used = clients[clients["weight"].notna()]
    assert (used["outcome"] == "completed").all()
    assert len(used) == made * buffer
    assert (used.groupby("round").size() == buffer).all()

    assert (clients["staleness"] >= 0).all()
    aggregated_s = rounds["end_s"].to_numpy()[1 : made + 1]
    began = np.searchsorted(aggregated_s, clients["download_start_s"], side="right")
    met = np.minimum(clients["round"] - 1, made).to_numpy()
    late = (clients["weight"].isna() & (clients["round"] == len(rounds) - 1)).to_numpy()
    assert (clients["staleness"] == met - began)[~late].all()
    mean = used.groupby("round")["staleness"].mean()
    assert np.allclose(rounds["mean_staleness"].dropna(), mean)

    # At most so many are at work at once, and nobody twice: work ends when it is over or later.
    start_s = clients["download_start_s"].to_numpy()
    worked = clients[["download_s", "queue_s", "compute_s", "upload_s"]].sum(axis=1).to_numpy()
    moments = start_s[:, None]
    at_work = (start_s <= moments) & (moments < start_s + worked - 1e-9)
    assert at_work.sum(axis=1).max(initial=0) <= concurrency
    for _, own in clients.sort_values("download_start_s").groupby("client"):
        ends_s = (own["download_start_s"] + own["download_s"].fillna(0)).to_numpy()
        assert (own["download_start_s"].to_numpy()[1:] >= ends_s[:-1] - 1e-9).all()
    events = trace.events["event"].value_counts()
    for event, outcome in (("drop", "dropped"), ("crash", "crashed"), ("lost", "lost")):
        assert events.get(event, 0) == outcomes.get(outcome, 0)
    assert events.get("aggregate", 0) == made


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    concurrency=st.integers(1, 12),
    buffer=st.integers(1, 6),
    failures=st.tuples(*[st.sampled_from([0.0, 0.3])] * 3),
    flaky=st.booleans(),
    deadline=st.sampled_from(["null", "8 s"]),
    overhead=st.sampled_from(["0 s", "300 ms"]),
    limit=st.sampled_from(["null", "40 s"]),
    cells=st.booleans(),
)
def test_whatever_the_fleet_every_job_has_one_end(
    seed, concurrency, buffer, failures, flaky, deadline, overhead, limit, cells
):
    drop, crash, loss = failures
    overrides = [
        "stop.rounds=8",
        f"seed={seed}",
        f"stop.time={limit}",
        f"server={{overhead: {overhead}, deadline: {deadline}}}",
        "devices.count=12",
        f"devices.failures={{drop_probability: {drop}, crash_probability: {crash}, reboot: 3 s, "
        f"upload_loss_probability: {loss}}}",
        "network.uplink.bandwidth=100 kHz",
        "devices.jitter={kind: lognormal, sigma: 0.3}",
    ]
    if flaky:
        overrides.append("devices.availability={kind: on_off, mean_on: 20 s, mean_off: 9 s}")
    if cells:
        overrides.append("network.topology={kind: hex_grid, rings: 1}")
        overrides.append("network.backhaul={latency: 50 ms, rate: 200 kbit/s}")
    strategy = f"{{kind: fedbuff, buffer: {buffer}, participation: {{concurrency: {concurrency}}}}}"
    trace = simulate(timed(strategy, *overrides))
    check(trace, concurrency, buffer)


@pytest.mark.parametrize("buffer", [1, 3])
@pytest.mark.slow
def test_with_everything_switched_on_a_run_repeats_to_the_last_bit(small, buffer: int):
    kind = "fedasync" if buffer == 1 else "fedbuff, buffer: 3"
    strategy = f"strategy={{kind: {kind}, participation: {{concurrency: 8}}}}"
    first, trace = (simulate(small(*EVERYTHING, strategy, "stop.rounds=15")) for _ in range(2))
    for table in ("rounds", "clients", "events"):
        assert_frame_equal(getattr(first, table), getattr(trace, table), check_exact=True)
    check(trace, 8, buffer)
    assert set(trace.clients["outcome"]) >= {"completed", "dropped", "offline", "lost"}
    assert (trace.clients["queue_s"].dropna() > 0).any()


def test_who_goes_off_leaves_its_share_of_the_link_and_its_place(tmp_path: Path):
    """The slow one goes off 10 ms into its upload, beside that of the fast one."""
    alone = timed(TWO_AT_WORK, "stop.rounds=3", "server.overhead=0 s")
    whole = simulate(alone).clients
    slow, fast = (whole[whole["profile"] == kind].iloc[0] for kind in ("slow", "fast"))
    off_s = float(slow["upload_start_s"]) + 0.01
    assert off_s < fast["upload_end_s"]
    gone, stays = int(slow["client"]), int(fast["client"])
    on = on_during(tmp_path, (gone, 0.0, off_s), (stays, 0.0, 1e6))
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=3", "server.overhead=0 s", on))
    assert events_of(trace, "offline") == [(off_s, gone)]
    left = trace.clients[trace.clients["outcome"] == "offline"]
    assert left["client"].tolist() == [gone]
    assert left["uplink_bits"].tolist() == pytest.approx([0.01 * UP_BPS / 2])
    done = trace.clients[trace.clients["outcome"] == "completed"]
    assert done["client"].tolist() == [stays] * 3
    assert done["staleness"].tolist() == [0, 0, 0]
    alone_s = works(alone)[0] / UP_BPS
    assert done["upload_s"].tolist() == pytest.approx([alone_s + 0.005, alone_s, alone_s])


def test_a_place_that_nobody_can_take_is_taken_when_somebody_is_back(tmp_path: Path):
    on = on_during(tmp_path, (0, 0.0, 1e6), (1, 0.7, 1e6))
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=4", on))
    first = trace.clients.groupby("client")["download_start_s"].min()
    assert first.tolist() == [0.0, 0.7]
    assert events_of(trace, "wait") == []  # somebody was at work


def test_the_server_waits_while_nobody_is_on(tmp_path: Path):
    on = on_during(tmp_path, (0, 100.0, 1e6), (1, 40.0, 40.01))
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=2", on))
    assert events_of(trace, "wait")[0] == (0.0, -1)
    clients = trace.clients.sort_values("download_start_s")
    assert clients["download_start_s"].tolist()[:2] == [40.0, 100.0]
    assert clients["outcome"].tolist()[:2] == ["offline", "completed"]
    assert trace.rounds["server_version"].tolist() == [0, 1, 2]


def test_a_run_ends_when_nobody_will_ever_be_on_again(tmp_path: Path):
    on = on_during(tmp_path, (0, 0.0, 6.0), (1, 0.0, 6.0))
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=1000", on))
    assert trace.summary["nobody_left"]
    assert 1 < trace.rounds["server_version"].max() < 100
    assert trace.rounds["end_s"].max() <= 6.0 + 0.25
    check(trace, 2, 1)


def test_the_time_limit_cancels_who_is_at_work():
    overhead = "server.overhead=10 ms"
    whole = simulate(timed(TWO_AT_WORK, "stop.rounds=6", overhead))
    limit_s = float(whole.rounds["end_s"].iloc[4:6].mean())  # between two model updates
    limit = f"stop.time={limit_s!r} s"
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=60", overhead, limit))
    assert trace.rounds["server_version"].tolist() == [0, 1, 2, 3, 4, 4]
    last = trace.rounds.iloc[-1]
    assert last["end_s"] == pytest.approx(limit_s - 0.01)
    assert (last["completed"], last["participants"]) == (0, 2)
    cut = trace.clients[trace.clients["round"] == 5]
    assert cut["outcome"].tolist() == ["cancelled", "cancelled"]
    assert cut["weight"].isna().all()
    check(trace, 2, 1)


def test_no_time_at_all_is_no_update():
    trace = simulate(timed(TWO_AT_WORK, "stop.time=100 ms", "server.overhead=250 ms"))
    assert trace.rounds["round"].tolist() == [0]
    assert trace.clients.empty


def test_a_deadline_gives_up_those_who_are_late_and_sends_others():
    whole = simulate(timed(TWO_AT_WORK, "stop.rounds=8"))
    took_s = whole.clients["upload_end_s"] - whole.clients["download_start_s"]
    by_kind = took_s.groupby(whole.clients["profile"]).min()
    deadline_s = float(by_kind.mean())
    assert by_kind["fast"] < deadline_s < by_kind["slow"]
    trace = simulate(timed(TWO_AT_WORK, "stop.rounds=8", f"server.deadline={deadline_s!r} s"))
    late = trace.clients[trace.clients["outcome"] == "cancelled"]
    assert "slow" in set(late["profile"])
    spent_s = late[["download_s", "queue_s", "compute_s", "upload_s"]].sum(axis=1)
    assert np.allclose(spent_s[late["round"] < 8], deadline_s)
    assert (trace.clients["profile"][trace.clients["outcome"] == "completed"] == "fast").any()
    check(trace, 2, 1)


def test_a_battery_pays_for_every_job_when_it_is_over():
    scenario = loads(
        TWO,
        "two.yaml",
        [
            POWERS,
            f"strategy={TWO_AT_WORK}",
            "stop.rounds=20",
            "devices.battery={capacity: 1.2 J, recharge: 100 mW, resume: 0.3}",
        ],
    ).timing_only()
    trace = simulate(scenario)
    assert (trace.clients["outcome"] == "offline").any()
    for _, own in trace.clients.sort_values("download_start_s").groupby("client"):
        spent_j = own["energy_j"].cumsum().to_numpy()
        had_j = 1.2 + 0.1 * own["download_start_s"].to_numpy()
        assert (spent_j <= had_j + 1e-9).all()
        assert (own["energy_j"] <= 1.2 + 1e-9).all()


def test_evaluations_are_counted_in_model_updates_and_take_their_time(small):
    trace = simulate(
        small(
            "strategy={kind: fedasync, participation: {concurrency: 3}}",
            "stop.rounds=7",
            "evaluate.every=3",
            "server={overhead: 0 s, evaluate_time: 5 s}",
        )
    )
    evaluated = trace.rounds[trace.rounds["loss"].notna()]
    assert evaluated["round"].tolist() == [0, 3, 6, 7]
    assert (evaluated["duration_s"][1:] >= 5.0).all()
    assert (trace.rounds["duration_s"].drop([0, 3, 6, 7]) < 5.0).all()


def test_a_run_stops_at_its_target_and_says_how_far_it_is(small):
    seen: list[Progress] = []
    trace = simulate(
        small(
            "strategy={kind: fedbuff, buffer: 2, participation: {concurrency: 4}}",
            "stop.target={metric: loss, below: 100, smooth: 2}",
            "stop.rounds=5",
        ),
        on_progress=seen.append,
    )
    assert trace.summary["target_reached"]
    assert trace.rounds["round"].tolist() == [0, 1]
    assert [(progress.round, progress.rounds) for progress in seen] == [(1, 5)]
    assert trace.summary["totals"]["rounds"] == 1
    check(trace, 4, 2)


def test_jobs_are_numbered_so_that_none_repeats_another(small, monkeypatch):
    """A client that works twice from one version draws other batches the second time."""
    from wirelessfl.learning.learner import Learner

    jobs = []
    train = Learner.train
    monkeypatch.setattr(
        Learner, "train", lambda self, some, *rest: jobs.extend(some) or train(self, some, *rest)
    )
    simulate(
        small(
            "strategy={kind: fedbuff, buffer: 9, participation: {concurrency: 2}}",
            "stop.rounds=3",
            "devices.count=3",
        )
    )
    draws = [(job.client, job.round) for job in jobs]
    assert len(jobs) == 27
    assert len(set(draws)) == 27
    assert len({(job.client, job.version) for job in jobs}) < 27
    assert all(job.round > job.version for job in jobs)


def test_ranks_follow_the_memory_of_the_device():
    small_board = "{effective_flops: 8 MFLOP/s, memory_bandwidth: 1 TB/s, memory: 1 kB}"
    with pytest.raises(Exception, match="no device can hold the model"):
        simulate(
            timed(TWO_AT_WORK, f"devices.profiles={{slow: {small_board}, fast: {small_board}}}")
        )
    fast = f"fast: {{effective_flops: 40 MFLOP/s, {REST}}}"
    trace = simulate(
        timed(
            "{kind: fedasync, participation: {concurrency: 2}}",
            f"devices.profiles={{slow: {small_board}, {fast}}}",
            "stop.rounds=3",
        )
    )
    assert set(trace.clients["profile"]) == {"fast"}
