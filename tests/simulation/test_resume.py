"""Stopped runs go on to the same trace, whatever is learnt and whoever remembers what."""

from __future__ import annotations

import hashlib
import itertools
import signal
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
    "pruning": (  # such a decay makes clients prune from round 3 on
        "strategy={kind: full, adapter: {method: hetlora, pruning: 0.5, sketch: off}}",
        "learning.local={steps: 2, batch: 4, lr: 0.01, optimizer: adamw, weight_decay: 20}",
    ),
    "update sketch": (UNIFORM.format("adapter: {sketch: fixed, rank: 2, sketch_mode: update}"),),
    "momentum": (UNIFORM.format("server: {optimizer: momentum, momentum: 0.5}"),),
    "adam": (UNIFORM.format("server: {optimizer: adam, step: 0.01}"),),
    "fedvarp": (UNIFORM.format("server: {variance_reduction: fedvarp}"),),
    "fitted": (
        UNIFORM.format("adapter: {sketch: fixed, rank: 2}, server: {variance_reduction: fitted}"),
    ),
    "int8": (UNIFORM.format("adapter: {uplink_dtype: int8}"),),
    "privacy": (UNIFORM.format(""), "learning.privacy={epsilon: 6, clip_norm: 0.1}"),
    "adaptive": (f"strategy={{kind: adaptive, {PILOT}}}",),
    "adaptive-async": ("strategy.kind=adaptive-async",),
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
        return content(a, tmp_path / f"{next(numbers)}") == content(
            b, tmp_path / f"{next(numbers)}"
        )

    return compare


FEW = ("fslora", "fitted", "adaptive", "fedbuff")  # the others are for `make test`
SLOW = [name for name in REMEMBERING if name not in FEW]


@pytest.mark.parametrize("name", [*FEW, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
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


def test_what_is_remembered_is_part_of_the_state(small, tmp_path: Path):
    """A state without one of its parts leads elsewhere, so each part has to be there."""
    scenario = small("stop={rounds: 7}", "trace.checkpoint_every=2", *REMEMBERING["fedvarp"])
    whole = simulate(scenario)
    interrupted(scenario, tmp_path, after=3)
    (path,) = tmp_path.iterdir()
    arrays = load(path.read_bytes())
    arrays["state.aggregation.memories.total"] *= np.float64(1.5)
    replace(path, save(arrays))
    assert simulate(scenario, checkpoint=tmp_path).adapter != whole.adapter


def replace(path: Path, data: bytes) -> Path:
    """Another content for a state, with the name that goes with it."""
    path.unlink()
    start = path.stem.rpartition("-")[0]
    new = path.with_name(f"{start}-{hashlib.sha256(data).hexdigest()}.safetensors")
    new.write_bytes(data)
    return new


def test_a_state_is_saved_as_often_as_asked_and_only_the_latest_is_kept(small, tmp_path: Path):
    for every, kept in (("3", ["round-000006"]), ("0", []), ("null", [])):
        scenario = small("stop={rounds: 7}", f"trace.checkpoint_every={every}")
        simulate(scenario, checkpoint=tmp_path / every)
        files = list((tmp_path / every).glob("*"))
        assert [path.name[:12] for path in files] == kept


def test_a_run_that_is_played_again_trains_nothing(small, tmp_path: Path, monkeypatch):
    scenario = small("stop={rounds: 6}", "trace.checkpoint_every=6")
    whole = simulate(scenario, checkpoint=tmp_path)
    learner = shared_learner(scenario)
    monkeypatch.setattr(learner, "train", None)
    monkeypatch.setattr(learner, "evaluate", None)
    again = simulate(scenario, checkpoint=tmp_path)
    assert again.adapter == whole.adapter
    assert again.summary["gradient_jobs"] == whole.summary["gradient_jobs"] > 0


def test_a_state_does_not_change_the_fingerprint_nor_how_often_it_is_saved(small):
    from wirelessfl.scenario import fingerprint

    assert fingerprint(small("trace.checkpoint_every=3")) == fingerprint(small())
    assert fingerprint(small("trace.events=false")) != fingerprint(small())


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
@pytest.mark.slow
def test_a_damaged_state_is_never_trusted(small, same, tmp_path: Path, damage: str):
    scenario = small("stop={rounds: 5}", "trace.checkpoint_every=2")
    interrupted(scenario, tmp_path, after=4)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-7], "flipped": data, "empty": b""}[damage])
    with pytest.warns(UserWarning, match="is damaged and is not used"):
        run = simulate(scenario, checkpoint=tmp_path)
    assert run.summary["host"]["resumed_after_round"] is None
    assert same(run, simulate(scenario))


def test_an_older_whole_state_is_used_where_the_newest_is_damaged(small, tmp_path: Path):
    scenario = small("stop={rounds: 5}", "trace.checkpoint_every=2")
    interrupted(scenario, tmp_path, after=2)
    (tmp_path / f"round-000004-{'0' * 64}.safetensors").write_bytes(b"half")
    (tmp_path / ".round-000004-0.safetensors.part").write_bytes(b"half")
    with pytest.warns(UserWarning, match="round-000004"):
        run = simulate(scenario, checkpoint=tmp_path)
    assert run.summary["host"]["resumed_after_round"] == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_another_scenario_is_refused_and_the_difference_is_shown(small, tmp_path: Path):
    interrupted(small("trace.checkpoint_every=1"), tmp_path, after=1)
    with pytest.raises(InputError, match="another scenario") as refused:
        simulate(small("seed=3", "network.uplink.bandwidth=2 MHz"), checkpoint=tmp_path)
    assert str(refused.value).splitlines()[1:] == [
        "- seed: 0",
        "+ seed: 3",
        '- network.uplink.bandwidth: "1 MHz"',
        '+ network.uplink.bandwidth: "2 MHz"',
    ]


def test_other_versions_are_refused(small, tmp_path: Path, monkeypatch):
    interrupted(small("trace.checkpoint_every=1"), tmp_path, after=1)
    monkeypatch.setattr("wirelessfl.simulation.versions.version", lambda name: "99")
    with pytest.raises(InputError, match=r"other versions.*torch .*, now 99"):
        simulate(small(), checkpoint=tmp_path)


def test_a_run_that_goes_another_way_than_the_one_saved_is_refused(small, tmp_path: Path):
    interrupted(small("trace.checkpoint_every=1"), tmp_path, after=2)
    (path,) = tmp_path.iterdir()
    arrays = load(path.read_bytes())
    lines = arrays["json"].tobytes().decode().split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith('["finish"'))
    lines[first] = lines[first].replace('["finish", "', '["finish", "0')
    arrays["json"] = np.frombuffer("\n".join(lines).encode(), np.uint8)
    replace(path, save(arrays))
    with pytest.raises(InputError, match=r"is not the state of this run.*finish"):
        simulate(small(), checkpoint=tmp_path)


def test_a_folder_that_cannot_be_written_is_said(small, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be saved"):
        simulate(small("trace.checkpoint_every=1"), checkpoint=tmp_path / "file")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_saves_the_state_at_the_end_of_the_round(
    small, same, tmp_path: Path, capfd, number: signal.Signals
):
    scenario = small("stop={rounds: 5}", "trace.checkpoint_every=null")
    before = signal.getsignal(number)

    def ask(progress) -> None:
        if progress.round == 2:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, ask, tmp_path)
    assert signal.getsignal(number) == before
    assert "stopping after this round" in capfd.readouterr().err
    resumed = simulate(scenario, checkpoint=tmp_path)
    assert resumed.summary["host"]["resumed_after_round"] == 3
    assert same(resumed, simulate(scenario))


def test_a_second_signal_stops_at_once(small, tmp_path: Path):
    rounds = []

    def ask(progress) -> None:
        rounds.append(progress.round)
        if progress.round == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        simulate(small("stop={rounds: 5}", "trace.checkpoint_every=null"), ask, tmp_path)
    assert rounds == [1, 2]
    assert not list(tmp_path.iterdir())
