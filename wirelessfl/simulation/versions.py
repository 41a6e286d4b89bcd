"""The packages whose versions may change what a run gives."""

from __future__ import annotations

from importlib.metadata import version

RECORDED = ("wirelessfl", "torch", "transformers", "peft", "simpy", "numpy")


def recorded_versions() -> dict[str, str]:
    """Their installed versions, by name."""
    return {name: version(name) for name in RECORDED}
