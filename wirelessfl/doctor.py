"""Is this machine ready? Each check looks at one thing and says what to do where it is not well."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, cast

from wirelessfl.compiled import compiled
from wirelessfl.errors import reason

Status = Literal["ok", "warning", "failed"]
LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 1e9  # traces of a study, and base models
LEAST_MEMORY_BYTES = 2e9  # torch, transformers and a small model in one process
TRIAL = """
name: doctor
stop: {rounds: 3}
devices: {count: 20}
learning: {task: {kind: none}}
strategy: {kind: uniform, participation: {expected: 5}}
"""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        name: What was looked at.
        status: 'warning' if something is missing that one can do without, 'failed' if not.
        found: What there is.
        advice: What to do, unless all is well.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """All checks in turn; one that breaks is a finding like any other."""
    for name, check in CHECKS.items():
        try:
            yield check(name)
        except Exception as error:  # whatever is wrong, the other checks must not be hidden
            yield Finding(name, "failed", f"{type(error).__name__}: {reason(error)}")


def python(name: str) -> Finding:
    """The interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        return Finding(name, "failed", found, "use Python 3.11 or newer")
    return Finding(name, "ok", found)


def packages(name: str) -> Finding:
    """What wirelessfl cannot do without, in the versions it asks for."""
    wrong = [text for extras, text in _requirements() if text and not extras]
    if wrong:
        return Finding(name, "failed", "; ".join(wrong), "install wirelessfl anew")
    version = importlib.metadata.version("wirelessfl")
    return Finding(name, "ok", f"wirelessfl {version} and all that it needs")


def extras(name: str) -> Finding:
    """What it can do without."""
    lacking = sorted({e for extras, text in _requirements() if text for e in extras if e != "dev"})
    if not lacking:
        return Finding(name, "ok", "all installed")
    found = f"not installed: {', '.join(lacking)}"
    return Finding(name, "ok", f"{found} (python -m pip install -e '.[{lacking[0]}]')")


def _requirements() -> Iterator[tuple[set[str], str]]:
    """Each requirement's extras (none: needed always), and what is wrong with it, or ''."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("wirelessfl") or ():
        wanted = Requirement(line)
        marker = str(wanted.marker or "")
        extras = {marker.rpartition("==")[2].strip(" \"'")} if "extra" in marker else set()
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            yield extras, f"{wanted.name} is missing"
            continue
        right = wanted.specifier.contains(version, prereleases=True)
        yield extras, "" if right else f"{wanted.name} {version}, but {wanted.specifier} is needed"


def torch(name: str) -> Finding:
    """Whether gradients can be computed, and on what."""
    import torch

    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    (gradient,) = torch.autograd.grad((x @ x.detach().T).sum(), x)
    if gradient.tolist() != 2 * [[3.0, 5.0, 7.0]]:
        return Finding(name, "failed", "a small gradient came out wrong", "install torch anew")
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    return Finding(name, "ok", f"{torch.__version__}, {torch.get_num_threads()} threads, {where}")


@compiled
def _triangle(count: int) -> int:
    total = 0
    for i in range(count):
        total += i + 1
    return total


def machine_code(name: str) -> Finding:
    """Whether compiled loops run, and whether later processes find them."""
    if _triangle(4) != 10:
        return Finding(name, "failed", "a small loop came out wrong", "install numba anew")
    path = cast(Any, _triangle).stats.cache_path  # numba's own function since that call
    if path is None:
        return Finding(
            name,
            "warning",
            "numba has nowhere to keep it, so every process compiles anew",
            "set NUMBA_CACHE_DIR to a folder that can be written",
        )
    return Finding(name, "ok", f"kept in {path}")


def models(name: str) -> Finding:
    """The folder of pre-trained base models: whether it can be written, and is whole."""
    from wirelessfl.learning.cache import cache_folder, entries

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return Finding(
            name,
            "failed",
            f"{folder} cannot be written: {error.strerror}",
            "set WIRELESSFL_CACHE to a folder that can be",
        )
    there = entries()
    size = sum(path.stat().st_size for path in there)
    found = f"{folder}: {len(there)} models, {size / 1e6:.1f} MB"
    if damaged := [path.name for path, whole in there.items() if not whole]:
        advice = "nothing: they are made again when needed"
        return Finding(name, "warning", f"{found}, damaged: {', '.join(damaged)}", advice)
    return Finding(name, "ok", found)


def this_folder(name: str) -> Finding:
    """Where results go unless `--out` says otherwise."""
    here = Path.cwd()
    try:
        tempfile.TemporaryFile(dir=here).close()
    except OSError as error:
        return Finding(
            name,
            "warning",
            f"{here} cannot be written: {error.strerror}",
            "go to another folder, or give every command an --out",
        )
    free = shutil.disk_usage(here).free
    found = f"{here}, {free / 1e9:.1f} GB free"
    if free < LEAST_DISK_BYTES:
        return Finding(name, "warning", found, "make space: a long study writes a lot")
    return Finding(name, "ok", found)


def memory(name: str) -> Finding:
    """What a simulation may use."""
    import psutil

    free, cores = psutil.virtual_memory().available, psutil.cpu_count()
    found = f"{free / 1e9:.1f} GB available, {cores} cores"
    if free < LEAST_MEMORY_BYTES:
        return Finding(name, "warning", found, "run one simulation at a time: --jobs 1")
    return Finding(name, "ok", found)


def pictures(name: str) -> Finding:
    """Whether a picture can be drawn without a display."""
    from matplotlib import __version__
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().set_title("time (s)")
    figure.savefig(BytesIO(), format="png")
    return Finding(name, "ok", f"matplotlib {__version__}")


def simulation(name: str) -> Finding:
    """A whole simulation, timing only, whose trace is written and read back."""
    from wirelessfl.scenario import loads
    from wirelessfl.simulation import simulate
    from wirelessfl.trace import Trace

    start_s = time.perf_counter()
    trace = simulate(loads(TRIAL, name))
    with tempfile.TemporaryDirectory() as folder:
        trace.write(Path(folder))
        rounds = Trace.read(Path(folder)).rounds
    if not rounds.equals(trace.rounds):
        return Finding(name, "failed", "a trace is not what was written", "install pyarrow anew")
    took_s = time.perf_counter() - start_s
    return Finding(
        name, "ok", f"{int(rounds['round'].max())} rounds of 20 clients in {took_s:.1f} s"
    )


CHECKS: dict[str, Callable[[str], Finding]] = {
    "Python": python,
    "packages": packages,
    "extras": extras,
    "torch": torch,
    "machine code": machine_code,
    "base models": models,
    "this folder": this_folder,
    "memory": memory,
    "pictures": pictures,
    "simulation": simulation,
}
