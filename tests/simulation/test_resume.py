"""Stopped runs go on to the same trace, whatever is learnt and whoever remembers what."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import load, save

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario
from wirelessfl.scenario.adapter import Method
from wirelessfl.simulation import simulate
from wirelessfl.simulation.engine import shared_learner
from wirelessfl.trace import Trace

UNIFORM = "strategy={{kind: uniform, participation: {{expected: 3}}, {}}}"
ASYNC = "strategy={{kind: fedbuff, buffer: 2, participation: {{concurrency: 3}}, {}}}"
PILOT = "participation: {pilot_rounds: 2, replan_every: 2, pilot_expected: 3}"

REMEMBERING = {
    **{name: (UNIFORM.format(f"adapter: {{method: {name}}}"),) for name in get_args(Method)},
    "pruning": ("strategy={kind: full, adapter: {method: hetlora, pruning: 0.5, sketch: off}}",),
    "update sketch": (
        UNIFORM.format("adapter: {sketch: fixed, rank: 2, sketch_mode: update}"),
    ),
    "momentum": (UNIFORM.format("server: {optimizer: momentum, momentum: 0.5}"),),
    "adam": (UNIFORM.format("server: {optimizer: adam, step: 0.01}"),),
    "fedvarp": (UNIFORM.format("server: {variance_reduction: fedvarp}"),),
    "fitted": (
        UNIFORM.format("adapter: {sketch: fixed, rank: 2}, server: {variance_reduction: fitted}"),
    ),
    "int8": (UNIFORM.format("adapter: {uplink_dtype: int8}"),),
    "privacy": (UNIFORM.format(""), "learning.privacy={epsilon: 6, clip_norm: 0.1}"),
    "adaptive": (f"strategy={{kind: adaptive, {PILOT}}}",),
    "oracle": (
        f"strategy={{kind: adaptive, {PILOT[:-1]}, oracle: true}}, "
        "server: {variance_reduction: none}}",
    ),
    "restart": (
        "strategy={kind: fixed_k, participation: {expected: 2, pilot_rounds: 3}, "
        "server: {optimizer: momentum}}",
    ),
    "oort": ("strategy={kind: oort, participation: {expected: 2}}",),
    "fedbuff": (ASYNC.format("adapter: {method: fedsa}"),),
    "fedasync": (
        "strategy={kind: fedasync, participation: {concurrency: 3}, mixing: {of: models}}",
    ),
    "failures": (
        UNIFORM.format(""),
        "devices.failures={drop_probability: 0.4}",
        "server.deadline=60 s",
    ),
}


class StoppedError(Exception):
    """Whatever ended a process."""


def interrupted(scenario: Scenario, folder: Path, after: int) -> None:
    """Run until a round is over, and die."""

    def die(progress) -> None:
        if progress.round >= after:
            raise StoppedError

    with pytest.raises(StoppedError):
        simulate(scenario, die, folder)


def content(trace: Trace, folder: Path) -> dict[str, object]:
    """What a run left, byte for byte, but for what it says of its host."""
    trace.write(folder)
    names = ("rounds", "clients", "events", "holdings")
    files = {name: (folder / f"{name}.parquet").read_bytes() for name in names}
    own = {key: value for key, value in trace.summary.items() if key != "host"}
    return {
        **files,
        "timeline": (folder / "timeline.json").read_bytes(),
        "adapter": trace.adapter,
        "summary": own,
    }


@pytest.fixture
def same(tmp_path: Path) -> Callable[[Trace, Trace], bool]:
    """Whether two traces are the same."""
    numbers = itertools.count()

    def compare(a: Trace, b: Trace) -> bool:
        return content(a, tmp_path / f"{next(numbers)}") == content(b, tmp_path / f"{next(numbers)}")

    return compare


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_stopped_run_goes_on_to_the_same_trace(small, same, tmp_path: Path, name: str):
    if name == "privacy":
        pytest.importorskip("opacus")
    scenario = small("stop={rounds: 7}", "trace.checkpoint_every=2", *REMEMBERING[name])
    whole = simulate(scenario)
    folder = tmp_path / "checkpoint"
    interrupted(scenario, folder, after=3)
    assert simulate(scenario, checkpoint=folder).summary["host"]["resumed_after_round"] == 2
    interrupted_again = tmp_path / "again"
    interrupted(scenario, interrupted_again, after=3)
    interrupted(scenario, interrupted_again, after=5)
    resumed = simulate(scenario, checkpoint=interrupted_again)
    assert resumed.summary["host"]["resumed_after_round"] == 4
    assert same(resumed, whole)
