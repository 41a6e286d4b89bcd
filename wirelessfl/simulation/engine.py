"""One run from scenario to trace: build the world, let the clock go, gather what happened."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import simpy

from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import Aggregation
from wirelessfl.learning.memo import Memo
from wirelessfl.learning.model_size import sized_workload
from wirelessfl.learning.privacy import Privacy
from wirelessfl.network.access import Access
from wirelessfl.scenario import Scenario, dump, fingerprint
from wirelessfl.scenario.asynchronous import FedAsync
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.tasks import NoTask
from wirelessfl.simulation.async_server import AsyncServer
from wirelessfl.simulation.base_server import Progress
from wirelessfl.simulation.interruption import asked_to_stop, stops_wait
from wirelessfl.simulation.journal import Journal
from wirelessfl.simulation.logged import LoggedTraining
from wirelessfl.simulation.memory import memory_gate
from wirelessfl.simulation.observer import Observer
from wirelessfl.simulation.server import Server
from wirelessfl.simulation.training import RealTraining, TimingOnly, Training
from wirelessfl.simulation.versions import recorded_versions
from wirelessfl.simulation.world import build_world
from wirelessfl.strategy import build_strategy
from wirelessfl.strategy.asynchronous import Asynchronous
from wirelessfl.trace import Trace

if TYPE_CHECKING:
    from wirelessfl.learning.learner import Learner
    from wirelessfl.learning.workload import Workload


def simulate(
    scenario: Scenario,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    memo: str | Path | None = None,
) -> Trace:
    """Run one scenario to its end.

    The trace's tables are a pure function of the scenario (with its seed) and the installed
    versions; only `summary["host"]` speaks of this machine.

    Args:
        scenario: What to run.
        on_progress: Called after every round.
        checkpoint: Folder where the state is saved every `trace.checkpoint_every` rounds, and when
            Ctrl-C or SIGTERM stop the run. The state of a run of this scenario that lies there is
            gone on from, to the same trace. It stays when the run is over.
        memo: Folder where results of training are kept, from run to run: what is found there is not
            trained again (`wirelessfl.learning.memo`). It changes nothing but the time.

    Raises:
        InputError: If the scenario asks for something that cannot be (e.g. a target metric the
            task does not have, more participants than clients, a model no device can hold), or the
            state in `checkpoint` is of another run.
        KeyboardInterrupt: If it is stopped.

    Training that leaves the finite numbers ends the run; `summary["diverged"]` then says where.
    """
    started = time.perf_counter()
    world = build_world(scenario)
    strategy = build_strategy(scenario.strategy, scenario.devices.count)
    env = simpy.Environment()
    hardware = world.hardware(env, strategy)
    kept = None if memo is None else Memo(memo)
    workload, training = _learning(scenario, kept)
    saved = None
    if checkpoint is not None and isinstance(training, RealTraining):
        training = saved = LoggedTraining(training, Path(checkpoint), scenario)
    gate = memory_gate(world.fleet, workload)
    journal = Journal(world.fleet, world.channel, scenario.trace.events)
    kind = AsyncServer if isinstance(strategy, Asynchronous) else Server
    server = kind(
        env,
        scenario,
        hardware,
        workload,
        training,
        strategy,
        Observer(world, workload, gate),
        journal,
        functools.partial(_round_over, scenario, saved, on_progress),
    )
    built = time.perf_counter()
    env.process(server.serve())
    with nullcontext() if saved is None else stops_wait():
        env.run()
    ended = time.perf_counter()
    done = training.diagnostics()
    learnt, holdings = _learnt(scenario)
    learning_s = done["gradients_s"] + done["evaluation_s"]
    return journal.trace(
        scenario_yaml=dump(scenario),
        adapter=training.adapter_files(),
        holdings=holdings,
        summary={
            "name": scenario.name,
            "strategy": scenario.strategy.kind,
            "seed": scenario.seed,
            "fingerprint": fingerprint(scenario),
            **learnt,
            "versions": recorded_versions(),
            "target_reached": server.target_reached,
            "nobody_left": server.nobody_left,
            "diverged": server.diverged,
            "memory": gate.summary(),
            "gradient_jobs": done["gradient_jobs"],
            **training.summary(),
            **_fidelity(hardware.access),
            "host": {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "setup_s": built - started,
                "gradients_s": done["gradients_s"],
                "evaluation_s": done["evaluation_s"],
                "memory_halvings": done["memory_halvings"],
                "event_loop_s": ended - built - learning_s,
                "resumed_after_round": None if saved is None else saved.resumed_after,
                "memo": None if kept is None else {"hits": kept.hits, "misses": kept.misses},
            },
        },
    )


def _round_over(
    scenario: Scenario,
    saved: LoggedTraining | None,
    on_progress: Callable[[Progress], None] | None,
    progress: Progress,
) -> None:
    """What is done between rounds: save, stop, and tell whoever watches."""
    every, stop = scenario.trace.checkpoint_every, asked_to_stop()
    if saved is not None and (stop or (every and progress.round % every == 0)):
        saved.save(progress.round)
    if stop:
        raise KeyboardInterrupt
    if on_progress is not None:
        on_progress(progress)


def _fidelity(access: Access) -> dict[str, dict[str, int]]:
    """How many transfers were approximated, if any."""
    if access.approximated is None:
        return {}
    transfers, short = access.approximated
    return {"ergodic": {"transfers": transfers, "short": short}}


def _learning(scenario: Scenario, memo: Memo | None = None) -> tuple[Workload, Training]:
    """What a round costs the clients, and the model that it changes."""
    workload: Workload
    training: Training
    if isinstance(scenario.learning.task, NoTask):
        workload = sized_workload(scenario.learning, scenario.devices.count, scenario.seed)
        training = TimingOnly()
    else:
        learner = shared_learner(scenario)
        _check_target(scenario, learner)
        learner.memo = memo
        workload = learner.workload
        strategy = scenario.strategy
        mixes = isinstance(strategy, FedAsync) and strategy.mixing.of == "models"
        training = RealTraining(learner, _aggregation(scenario, learner), mixes)
    adapter = scenario.strategy.adapter
    workload = replace(
        workload,
        uplink_dtype=adapter.uplink_dtype,
        method=adapter.method,
        sketch_mode=adapter.sketch_mode,
    )
    return workload, training


def _check_target(scenario: Scenario, learner: Learner) -> None:
    """What data of the user's own are measured by is known only now."""
    target = scenario.stop.target
    if target is not None and target.metric not in learner.metrics:
        raise InputError(
            f"stop.target.metric: {target.metric!r} is not measured by this task, which has: "
            f"{', '.join(learner.metrics)}"
        )


def workload_of(scenario: Scenario) -> Workload:
    """What a round costs the clients."""
    return _learning(scenario)[0]


def _learnt(scenario: Scenario) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """What data and model are, for the summary, and who holds the data; nothing if none are."""
    task, model = scenario.learning.task, scenario.learning.model
    if isinstance(task, NoTask):
        return {"task": None, "model": None}, None
    learner = shared_learner(scenario)
    learnt = {
        "task": {"kind": task.kind, **learner.data},
        "model": {"kind": model.kind, **learner.base},
    }
    return learnt, learner.holdings


def _aggregation(scenario: Scenario, learner: Learner) -> Aggregation:
    """The server's side of learning, at its start."""
    strategy, privacy = scenario.strategy, scenario.learning.privacy
    return Aggregation(
        learner.method(strategy.adapter),
        strategy.server,
        strategy.adapter.uplink_dtype,
        None if privacy is None else Privacy(privacy, scenario.stop.rounds, scenario.seed),
    )


def shared_learner(scenario: Scenario) -> Learner:
    """The scenario's learner, shared by all runs of this process that learn the same."""
    learning = scenario.learning.model_copy(update={"privacy": None})  # the server's own affair
    return _learner(learning.model_dump_json(), scenario.devices.count, scenario.seed)


@functools.lru_cache(maxsize=4)
def _learner(learning_json: str, clients: int, seed: int) -> Learner:
    from wirelessfl.learning.learner import build_learner  # torch is slow to import

    return build_learner(LearningConfig.model_validate_json(learning_json), clients, seed)
