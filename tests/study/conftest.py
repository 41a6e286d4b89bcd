"""A scenario without learning that simulates in a moment, for tests of many runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wirelessfl.scenario import Scenario, loads

TIMING = """
name: timing
stop: {rounds: 4}
devices: {count: 6, mix: {jetson-nano: 0.5, phone-sd778g: 0.5}}
network: {uplink: {bandwidth: 1 MHz}, fading: {kind: none}}
learning: {task: {kind: none}, lora: {rank: 4}}
strategy: {kind: uniform, participation: {expected: 3}}
strategies:
  everyone: {kind: full}
"""


@pytest.fixture
def timing() -> Callable[..., Scenario]:
    """Makes the scenario, with overrides such as 'seed=3'."""

    def make(*overrides: str) -> Scenario:
        return loads(TIMING, "timing.yaml", overrides)

    return make


@pytest.fixture
def timing_file(tmp_path: Path) -> Path:
    """The scenario as a file."""
    path = tmp_path / "timing.yaml"
    path.write_text(TIMING, encoding="utf-8")
    return path
