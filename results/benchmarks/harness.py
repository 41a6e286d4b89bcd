"""How a benchmark is measured and written down.

Every repeat of a case is a process of its own, so that its peak memory is its own and nothing is
warm but the files of the packages. A script has a table of cases by name and calls `main`:

    python scale.py                  all cases, each in fresh processes, results beside the script
    python scale.py --only million   some of them; the others keep what was measured before
    python scale.py --here flat      one case once, in this process, as JSON on the screen
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from wirelessfl.network.processor_sharing import processor_sharing

SHORT_S = 20.0  # a repeat below this is done five times, a longer one three times
PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "simpy", "torch")


class UnavailableError(Exception):
    """A case cannot be measured with this version; the text says why."""


@dataclass(frozen=True)
class Case:
    """Something to measure.

    Attributes:
        what: It in words.
        measure: Measures once at a scale (1 is the real size; less is for tests). What it returns
            is kept; `value` is the number that counts.
        unit: Of `value`.
        target: `value` should be under it, or at least it if `more_is_better`; None is no target.
        most_mib: Peak memory of the process should be under it.
        more_is_better: Whether large values are good.
    """

    what: str
    measure: Callable[[float], Mapping[str, float]]
    unit: str = "s"
    target: float | None = None
    most_mib: float | None = None
    more_is_better: bool = False

    def met(self, value: float, peak_mib: float) -> bool | None:
        """Whether the targets are met; None if there are none."""
        if self.target is None and self.most_mib is None:
            return None
        good = self.most_mib is None or peak_mib < self.most_mib
        if self.target is not None:
            good &= value >= self.target if self.more_is_better else value < self.target
        return good


def main(script: str, cases: Mapping[str, Case], arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for; `script` is the path of the calling file."""
    parser = argparse.ArgumentParser(description=f"Benchmarks of {Path(script).name}")
    parser.add_argument("--only", nargs="+", choices=cases, help="measure these cases only")
    parser.add_argument("--here", choices=cases, help="measure one case once and print it")
    parser.add_argument("--scale", type=float, default=1.0, help="size of --here; 1 is real")
    parser.add_argument("--out", type=Path, default=Path(script).with_suffix(".json"))
    chosen = parser.parse_args(arguments)
    if chosen.here:
        print(json.dumps(measured_here(cases[chosen.here], chosen.scale)))
        return
    known = read(chosen.out)
    results = {} if known is None else known["cases"]
    for name in chosen.only or cases:
        results[name] = _repeated(script, name, cases[name])
        print(f"{name}: {results[name].get('value', results[name].get('unavailable'))}", flush=True)
        ordered = {name: results[name] for name in cases if name in results}
        document = {"script": Path(script).name, "machine": machine(), "cases": ordered}
        chosen.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measured_here(case: Case, scale: float) -> dict[str, Any]:
    """One measurement in this process, with the process's peak memory so far."""
    _load_compiled()
    cpu_s = time.process_time()
    try:
        found = dict(case.measure(scale))
    except UnavailableError as reason:
        return {"unavailable": str(reason)}
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found | {"cpu_s": time.process_time() - cpu_s, "peak_mib": peak_mib}


def _load_compiled() -> None:
    """Let numba load what it loads once a process; importing packages is not measured either."""
    flows = np.ones(2)
    processor_sharing(flows, flows, np.array([0.0, 1.0]), flows * np.inf, 0.0)


def read(path: Path) -> dict[str, Any] | None:
    """What a script wrote, if it did."""
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def machine() -> dict[str, Any]:
    """What was measured on, and when."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _repeated(script: str, name: str, case: Case) -> dict[str, Any]:
    """A case's repeats and what they come to: the median of everything that was measured."""
    runs = [_run(script, name)]
    if "unavailable" in runs[0]:
        return {"what": case.what, **runs[0]}
    repeats = 5 if runs[0]["elapsed_s"] < SHORT_S else 3
    runs += [_run(script, name) for _ in range(repeats - 1)]
    values = [run["value"] for run in runs]
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {
        "what": case.what,
        "unit": case.unit,
        "value": middle["value"],
        "values": values,
        "target": case.target,
        "most_mib": case.most_mib,
        "more_is_better": case.more_is_better,
        "met": case.met(middle["value"], middle["peak_mib"]),
        "peak_mib": middle.pop("peak_mib"),
        "also": {key: middle[key] for key in middle if key not in ("value", "elapsed_s")},
    }


def _run(script: str, name: str) -> dict[str, Any]:
    command = [sys.executable, script, "--here", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
