"""Wall-clock simulation of federated LoRA fine-tuning over wireless networks of uneven devices.

    import wirelessfl as wfl

    scenario = wfl.load("scenarios/quickstart.yaml", overrides={"seed": 3})
    trace = wfl.simulate(scenario)
    trace.rounds, trace.clients, trace.events
    study = wfl.compare(scenario, strategies=["adaptive", "uniform"], seeds=range(3))
    study.table()
    grid = wfl.sweep(scenario, {"network.uplink.bandwidth": ["1 MHz", "5 MHz"]})
    grid.table()
    wfl.report(study, "report.html")  # or a trace, or a sweep

The names below are the whole public interface; each is imported when first used, so that reading a
scenario needs neither NumPy nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wirelessfl.errors import InputError
    from wirelessfl.scenario import Scenario, load
    from wirelessfl.simulation import simulate
    from wirelessfl.study import Study, Sweep, compare, sweep
    from wirelessfl.study.report import report
    from wirelessfl.trace import Trace

_HOMES = {
    "InputError": "wirelessfl.errors",
    "Scenario": "wirelessfl.scenario",
    "Study": "wirelessfl.study",
    "Sweep": "wirelessfl.study",
    "Trace": "wirelessfl.trace",
    "compare": "wirelessfl.study",
    "load": "wirelessfl.scenario",
    "report": "wirelessfl.study.report",
    "simulate": "wirelessfl.simulation",
    "sweep": "wirelessfl.study",
}

__all__ = [
    "InputError",
    "Scenario",
    "Study",
    "Sweep",
    "Trace",
    "compare",
    "load",
    "report",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wirelessfl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
