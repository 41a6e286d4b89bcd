"""The state of an unfinished run on disk: what a stopped run goes on from.

A run is a pure function of its scenario, and its event loop is cheap beside its gradients. So the
state holds neither clock nor links: only what training has answered so far, and what training
itself remembers. Whoever goes on plays the run again from its beginning with these answers, in
seconds, and then trains on (`wirelessfl.simulation.logged`).

A checkpoint is one safetensors file, of which only the latest is kept. Its name holds the SHA-256
of its content, and it gets that name when it is complete and durable; the one before goes
afterwards. So whenever a machine stops, a whole one is there, and one that is torn or damaged is
never taken for one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from wirelessfl.errors import InputError
from wirelessfl.learning.state import State, named, part
from wirelessfl.scenario import Scenario, differences, dump, fingerprint
from wirelessfl.simulation.versions import recorded_versions
from wirelessfl.trace.files import whole_file

_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """The state after a round.

    Attributes:
        round: The round.
        answers: What training has answered, call after call, a line of JSON each.
        state: What training remembers.
    """

    round: int
    answers: Sequence[str]
    state: State


def write_checkpoint(folder: Path, scenario: Scenario, checkpoint: Checkpoint) -> None:
    """Replace what is in a folder by a newer state.

    Raises:
        InputError: If it cannot be written; the older one is still there.
    """
    about = {
        "format": _FORMAT,
        "fingerprint": fingerprint(scenario),
        "scenario": dump(scenario),
        "versions": recorded_versions(),
        "round": checkpoint.round,
    }
    lines = "\n".join([json.dumps(about), *checkpoint.answers])
    text = np.frombuffer(lines.encode(), np.uint8)
    data = save({"json": text} | named("state", checkpoint.state))
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"round-{checkpoint.round:06d}-{digest}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part_path:
            part_path.write_bytes(data)
        _sync(folder)
        for old in folder.iterdir():  # with what was left of one that was never finished
            if old != path:
                old.unlink()
    except OSError as error:
        raise InputError(
            f"{folder}: the state of the run cannot be saved: {error.strerror}; what was saved "
            "before is still there. Make room and go on with --resume, or do without: "
            "--set trace.checkpoint_every=0"
        ) from None


def read_checkpoint(folder: Path, scenario: Scenario) -> Checkpoint | None:
    """The newest whole state in a folder, or None; a damaged one is passed over with a warning.

    Raises:
        InputError: If it is that of another scenario, or was made with other versions of the
            libraries that results depend on.
    """
    for path in sorted(folder.glob("round-*.safetensors"), reverse=True):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        if path.stem.rpartition("-")[2] != hashlib.sha256(data).hexdigest():
            warnings.warn(
                f"{path} is damaged and is not used; the run goes on from an older state, or from "
                "its beginning",
                stacklevel=1,  # so that the same state is warned of once
            )
            continue
        arrays = load(data)
        first, *answers = arrays["json"].tobytes().decode().split("\n")
        about = json.loads(first)
        _check(folder, scenario, about)
        return Checkpoint(about["round"], answers, part(arrays, "state"))
    return None


def remove_checkpoint(folder: Path) -> None:
    """Forget the state in a folder, if there is one."""
    if folder.exists():
        shutil.rmtree(folder)


def _check(folder: Path, scenario: Scenario, about: dict[str, object]) -> None:
    again = "choose another --out, or start again with --overwrite"
    if about["fingerprint"] != fingerprint(scenario):
        raise InputError(
            f"{folder} is of an unfinished run of another scenario; {again}. It differs (- that "
            f"run, + now) in:\n{differences(str(about['scenario']), scenario)}"
        )
    was, here = about["versions"], recorded_versions()
    assert isinstance(was, dict)
    changed = [f"{name} {was[name]}, now {here[name]}" for name in here if was[name] != here[name]]
    if about["format"] != _FORMAT or changed:
        raise InputError(
            f"{folder} was saved by other versions, which may train differently: "
            f"{'; '.join(changed) or 'another format'}. Use those, or start again with --overwrite"
        )


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
