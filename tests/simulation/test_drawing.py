"""What strategies ask of the server beyond one draw of each client, in whole runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import Sampling
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import _learning, shared_learner
from wirelessfl.strategy.baselines import FixedParticipation


def test_a_deadline_round_ends_with_the_last_update_that_counts(small):
    early = small("strategy={kind: deadline, participation: {expected: 2, over_select: 2}}")
    trace, overhead_s = simulate(early), early.server.overhead_s
    assert len(trace.clients) == 4 * 3
    for number, rows in trace.clients.groupby("round"):
        own = trace.rounds.set_index("round").loc[number]
        came = rows[rows["outcome"] == "completed"]
        assert len(came) == own["completed"] == 2
        assert own["end_s"] == pytest.approx(came["upload_end_s"].max() + overhead_s, rel=1e-12)
        assert set(rows["outcome"]) == {"completed", "cancelled"}
        assert came["weight"].sum() == pytest.approx(1.0)
        assert rows["weight"].isna().sum() == 2
    # Nobody is faster or slower for it: in the first round, whoever arrives first arrives when it
    # would have if all were waited for.
    every = simulate(
        small("strategy={kind: deadline, participation: {expected: 4, over_select: 1}}")
    )
    of_all, of_two = (t.clients[t.clients["round"] == 1] for t in (every, trace))
    assert of_all["client"].tolist() == of_two["client"].tolist()
    first = np.sort(of_all["upload_end_s"])[:2]
    assert np.sort(of_two["upload_end_s"].dropna()) == pytest.approx(first, rel=1e-12)


def test_a_lost_update_is_not_one_of_those_waited_for(small):
    options = (
        "strategy={kind: deadline, participation: {expected: 3, over_select: 2}}",
        "devices.failures.upload_loss_probability=0.4",
        "stop.rounds=8",
    )
    trace = simulate(small(*options))
    assert trace.rounds["lost"].sum() > 0
    for _, rows in trace.clients.groupby("round"):
        outcomes = rows["outcome"].tolist()
        assert outcomes.count("completed") == 3 or "cancelled" not in outcomes
        assert outcomes.count("completed") <= 3


def test_a_servers_deadline_ends_a_round_before_enough_have_come(small):
    both = ("strategy={kind: deadline, participation: {expected: 3, over_select: 2}}",)
    free = simulate(small(*both))
    first_s = free.rounds["duration_s"].iloc[1] - small().server.overhead_s
    cut = simulate(small(*both, f"server.deadline={first_s / 2} s"))
    assert cut.rounds["duration_s"].iloc[1] == pytest.approx(first_s / 2 + 0.1)
    assert cut.rounds["completed"].iloc[1] < 3


def test_a_client_that_is_drawn_twice_trains_once_and_counts_twice(small):
    scenario = small(
        "strategy={kind: fixed_k, participation: {expected: 6, pilot_rounds: 3}}", "stop.rounds=3"
    )
    trace = simulate(scenario)
    share = shared_learner(scenario).workload.weights
    clients = trace.clients
    assert not clients.duplicated(["round", "client"]).any()
    # Uniform draws: the weight is a_n / (K p_n) = a_n for each time.
    counts = clients["weight"] / share[clients["client"]]
    assert np.round(counts).tolist() == pytest.approx(counts.tolist())
    assert counts.groupby(clients["round"]).sum().tolist() == pytest.approx([6.0] * 3)
    assert counts.max() >= 2
    assert clients["probability"].tolist() == pytest.approx([1 - (5 / 6) ** 6] * len(clients))


def test_feedback_is_of_the_round_that_was_planned(small, monkeypatch):
    planned, observed = [], []
    plan = FixedParticipation.plan
    monkeypatch.setattr(
        FixedParticipation, "plan", lambda own, seen: planned.append(seen.round) or plan(own, seen)
    )
    monkeypatch.setattr(
        FixedParticipation, "observe", lambda own, feedback: observed.append(feedback.round)
    )
    simulate(small())
    assert planned == observed == [0, 1, 2]


SHARED = ["method: fslora", "method: fedsa", "method: flora", "method: flexlora"]


@pytest.mark.parametrize("adapter", SHARED)
def test_after_a_restart_everything_happens_as_the_first_time(small, adapter: str):
    """Also with momentum and memories, where the method adds updates up."""
    remembering = "{optimizer: momentum, variance_reduction: fedvarp}"
    server = remembering if "fslora" in adapter else "{}"
    scenario = small(f"strategy={{kind: fedit, adapter: {{{adapter}}}, server: {server}}}")
    _, training = _learning(scenario)
    sampling = Sampling(1, np.array([0.2, 0.3]), 1.0, 1.0)

    def two_rounds() -> list[dict[str, float]]:
        metrics = [training.evaluate()]
        for round in (1, 2):
            jobs = training.begin(round, np.array([0, 1]), np.array([4, 2]))
            weights, all_came = np.array([0.4, 0.6]), np.ones(2, bool)
            training.finish(jobs, all_came, weights, 1.0, replace(sampling, round=round))
            metrics.append(training.evaluate())
        return metrics

    first = two_rounds()
    training.restart()
    assert two_rounds() == first
    assert first[0] != first[1] != first[2]


def test_a_second_pilot_begins_anew_for_clients_too(small):
    pilots = "participation: {expected: 6, pilot_rounds: 2}, adapter: {method: flora}"
    trace = simulate(small(f"strategy={{kind: fixed_k, {pilots}}}", "stop.rounds=4"))
    assert trace.rounds["phase"].tolist() == ["initial"] + ["pilot"] * 4
    assert trace.rounds["server_version"].tolist() == [0, 1, 2, 4, 5]
    sent = trace.clients.groupby("round")["downlink_bits"].max()
    assert sent[3] == sent[1] < sent[2]  # what had been merged into the weights is merged no more


@pytest.mark.parametrize("kind", ["statistical", "fixed_k", "oort"])
def test_what_learns_from_updates_is_refused_where_nothing_is_trained(small, kind: str):
    with pytest.raises(InputError, match="plans from the updates of real training"):
        small(f"strategy={{kind: {kind}}}").timing_only()
    private = "learning.privacy={noise_multiplier: 1}"
    with pytest.raises(InputError, match=r"plans from the (norms|losses) of updates"):
        small(f"strategy={{kind: {kind}}}", private)


def test_privacy_refuses_draws_that_depend_on_one_another(small):
    private = "learning.privacy={noise_multiplier: 1}"
    with pytest.raises(InputError, match="'deadline' does not draw clients independently"):
        small("strategy={kind: deadline}", private)
