"""One run: the clock, the server and the clients, from a scenario to a trace.

The names below are imported when first used: building a world needs neither pandas nor pictures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wirelessfl.simulation.base_server import Progress
    from wirelessfl.simulation.engine import simulate

_HOMES = {
    "Progress": "wirelessfl.simulation.base_server",
    "simulate": "wirelessfl.simulation.engine",
}

__all__ = ["Progress", "simulate"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wirelessfl.simulation' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
