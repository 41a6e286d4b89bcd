"""What an asynchronous run learns: the versions its gradients start from, and what they become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.simulation.test_rounds import TWO
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.methods.averaging import FedSa
from wirelessfl.scenario import loads
from wirelessfl.simulation import engine, simulate
from wirelessfl.strategy.baselines import FixedParticipation

FEDASYNC = "strategy={{kind: fedasync, participation: {{concurrency: {}}}, {}}}"


@dataclass(frozen=True)
class InTurn(FixedParticipation):
    """A synchronous strategy: one given client a round, with weight one."""

    order: tuple[int, ...] = ()

    def plan(self, observation):
        self.seen.append(observation.round)
        return super().plan(observation)

    seen = []  # noqa: RUF012 - rounds planned so far

    def select(self, plan, uniforms):
        return np.arange(len(plan.q)) == self.order[self.seen[-1]]

    def weights(self, plan, observation, participants, *_):
        return np.ones(len(participants))


@pytest.mark.parametrize("sketch", ["{sketch: off}", "{sketch: fixed, rank: 2}"])
def test_one_client_at_a_time_is_sequential_training_to_the_last_bit(
    small, monkeypatch, sketch: str
):
    """Like a synchronous server with the same clients, one a round, in the same order."""
    mixing = f"mixing: {{alpha: 1}}, adapter: {sketch}"
    alone = simulate(small(FEDASYNC.format(1, mixing), "stop.rounds=6"))
    order = alone.clients["client"].tolist()
    assert len(set(order)) > 1

    def in_turn(config, clients):
        return InTurn("full", clients, config.adapter, config.bandwidth, 1.0, tuple(order))

    monkeypatch.setattr(engine, "build_strategy", in_turn)
    rounds = simulate(
        small(
            f"strategy={{kind: full, adapter: {sketch}, bandwidth: {{kind: equal_share}}}}",
            "stop.rounds=6",
        )
    )
    assert rounds.clients["client"].tolist() == order
    assert alone.rounds["loss"].tolist() == rounds.rounds["loss"].tolist()
    assert alone.adapter == rounds.adapter
    times = ["download_end_s", "compute_end_s", "upload_end_s", "energy_j"]
    assert np.allclose(alone.clients[times], rounds.clients[times], rtol=1e-9, equal_nan=True)


def test_equal_devices_that_are_all_waited_for_are_a_synchronous_federation():
    same = (
        "devices.count=5",
        "devices.mix={fast: 1}",
        "stop.rounds=4",
        "network.uplink.bandwidth=100 kHz",
        "learning.local={steps: 2, batch: 4, lr: 0.05}",
        "learning.partition={kind: iid}",
    )
    buffered = "{kind: fedbuff, buffer: 5, participation: {concurrency: 5}}"
    one = simulate(loads(TWO, "two.yaml", [*same, f"strategy={buffered}"]))
    full = "{kind: full, bandwidth: {kind: equal_share}}"
    other = simulate(loads(TWO, "two.yaml", [*same, f"strategy={full}"]))
    assert one.rounds["loss"].tolist() == other.rounds["loss"].tolist()
    assert len(set(one.rounds["loss"])) == 5
    assert one.adapter == other.adapter
    assert (one.clients["staleness"] == 0).all()
    assert one.clients["weight"].tolist() == pytest.approx(other.clients["weight"].tolist())
    assert np.allclose(one.rounds["end_s"], other.rounds["end_s"], rtol=1e-9)


class Listener:
    """Every update that was trained, with the model it started from."""

    def __init__(self, monkeypatch) -> None:
        self.heard: list[tuple[int, int, np.ndarray, np.ndarray]] = []
        self.calls = 0
        train = Learner.train

        def listening(learner, jobs, models, method):
            updates = train(learner, jobs, models, method)
            self.calls += 1
            for job, update in zip(jobs, updates, strict=True):
                self.heard.append((job.version, job.client, models[job.version], update.delta))
            return updates

        monkeypatch.setattr(Learner, "train", listening)


@pytest.mark.parametrize("of", ["models", "updates"])
@pytest.mark.parametrize("sketch", ["{sketch: off}", "{sketch: fixed, rank: 2}"])
def test_fedasync_is_what_its_paper_says(small, monkeypatch, of: str, sketch: str):
    """x <- (1 - a) x + a x_n with a = alpha s(tau), in the components that the client sent."""
    options = f"mixing: {{alpha: 0.7, of: {of}}}, adapter: {sketch}"
    listener = Listener(monkeypatch)
    evaluated: list[np.ndarray] = []
    evaluate = Learner.evaluate

    def watching(learner, model, method=None):
        evaluated.append(model)
        return evaluate(learner, model, method)

    monkeypatch.setattr(Learner, "evaluate", watching)
    scenario = small(FEDASYNC.format(4, options), "stop.rounds=12")
    trace = simulate(scenario)
    learner = engine.shared_learner(scenario)
    models, staleness = [learner.initial], []
    assert len(listener.heard) == listener.calls == 12
    for version, _, start, delta in listener.heard:
        assert (start == evaluated[version]).all()  # what the client downloaded
        x, tau = models[-1].astype(np.float64), len(models) - 1 - version
        alpha = 0.7 / np.sqrt(1 + tau)
        sent = delta != 0 if "fixed" in sketch else np.ones(len(x), bool)
        if of == "models":
            x[sent] = (1 - alpha) * x[sent] + alpha * (start + delta)[sent].astype(np.float64)
        else:
            x += alpha * delta
        models.append(x.astype(np.float32))
        staleness.append(tau)
    assert max(staleness) > 1
    done = trace.clients[~trace.clients["weight"].isna()]
    assert done["staleness"].tolist() == staleness
    assert np.allclose(done["weight"], (1 + np.array(staleness)) ** -0.5)
    for expected, met in zip(models, evaluated, strict=True):
        assert np.allclose(expected, met, rtol=0, atol=1e-6)


def test_a_buffer_is_one_pass_of_updates_from_several_versions(small, monkeypatch):
    listener = Listener(monkeypatch)
    scenario = small(
        "strategy={kind: fedbuff, buffer: 3, participation: {concurrency: 5}, server: {step: 2}}",
        "stop.rounds=4",
    )
    trace = simulate(scenario)
    assert len(listener.heard) == 12
    done = trace.clients[~trace.clients["weight"].isna()]
    twice = done.groupby("round")["client"].apply(lambda who: not who.is_unique)
    assert listener.calls == 4 + twice.sum()  # whoever is in a buffer twice needs a second pass
    assert done.groupby("round")["staleness"].nunique().max() > 1
    shares = engine.shared_learner(scenario).workload.weights[done["client"]]
    expected = 6 * shares / 3 * (1 + done["staleness"]) ** -0.5
    assert np.allclose(done["weight"], expected)


@pytest.mark.parametrize("method", ["ffa", "fedsa"])
def test_methods_that_add_up_work(small, method: str):
    trace = simulate(
        small(
            "strategy={kind: fedbuff, buffer: 3, participation: {concurrency: 5}, "
            f"adapter: {{method: {method}}}, server: {{optimizer: momentum, step: 0.5}}}}",
            "stop.rounds=4",
        )
    )
    assert trace.rounds["server_version"].tolist() == [0, 1, 2, 3, 4]
    assert trace.rounds["loss"].nunique() == 5


def test_what_stays_on_a_device_is_there_for_its_next_job(small, monkeypatch):
    """fedsa: a client that is in one buffer twice starts its second job with its own B."""
    events: list[tuple[str, int]] = []
    start, update = FedSa.start, FedSa.update
    monkeypatch.setattr(
        FedSa,
        "start",
        lambda self, m, job: events.append(("start", job.client)) or start(self, m, job),
    )
    monkeypatch.setattr(
        FedSa,
        "update",
        lambda self, job, s, r: events.append(("update", job.client)) or update(self, job, s, r),
    )
    trace = simulate(
        small(
            "strategy={kind: fedbuff, buffer: 6, participation: {concurrency: 2}, "
            "adapter: {method: fedsa}}",
            "stop.rounds=2",
            "devices.count=3",
        )
    )
    done = trace.clients[~trace.clients["weight"].isna()]
    assert done.groupby(["round", "client"]).size().max() > 1
    for client in range(3):
        own = [what for what, who in events if who == client]
        assert own == ["start", "update"] * (len(own) // 2)


def test_updates_that_are_not_finite_are_lost_and_do_not_fill_the_buffer_again(small, monkeypatch):
    train = Learner.train

    def failing(learner, jobs, models, method):
        return [
            None if job.client == 0 else update
            for job, update in zip(jobs, train(learner, jobs, models, method), strict=True)
        ]

    monkeypatch.setattr(Learner, "train", failing)
    trace = simulate(
        small(
            "strategy={kind: fedbuff, buffer: 3, participation: {concurrency: 5}}",
            "stop.rounds=6",
            "learning.local.on_nonfinite=drop",
        )
    )
    lost = trace.clients[trace.clients["outcome"] == "lost"]
    assert set(lost["client"]) == {0}
    assert lost["weight"].isna().all()
    assert trace.rounds["lost"].sum() == len(lost)
    used = trace.clients.groupby("round")["weight"].count()
    assert (used + trace.rounds.set_index("round")["lost"][1:] == 3).all()


def test_nobody_trains_for_nothing(small, monkeypatch):
    """Gradients are computed for the updates that become part of a model, and for no others."""
    listener = Listener(monkeypatch)
    scenario = small(
        FEDASYNC.format(5, "staleness: {kind: constant}"),
        "stop.rounds=8",
        "devices.failures={drop_probability: 0.2, upload_loss_probability: 0.2}",
    )
    trace = simulate(scenario)
    done = trace.clients[~trace.clients["weight"].isna()]
    assert len(listener.heard) == len(done) == trace.summary["gradient_jobs"] == 8
    assert len(trace.clients) > 8
    assert np.isfinite(done["train_loss"]).all()
    assert np.isfinite(done["update_norm"]).all()
    assert trace.clients["train_loss"].isna().sum() == len(trace.clients) - 8
