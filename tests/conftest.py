"""What all tests share: one small scenario that simulates in a second, and a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from wirelessfl.scenario import Scenario, loads

SMALL = """
name: small
stop: {rounds: 3}
network:
  uplink: {bandwidth: 1 MHz}
  downlink: {bandwidth: 5 MHz}
devices:
  count: 6
  mix: {jetson-nano: 0.5, phone-sd778g: 0.5}
learning:
  model: {kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}
  lora: {rank: 4, alpha: 8}
  local: {steps: 2, batch: 4, lr: 0.05}
strategy:
  kind: uniform
  participation: {expected: 3}
"""

settings.register_profile("compiled", deadline=None)  # first calls of compiled loops take seconds
settings.load_profile("compiled")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Base models pre-trained by tests do not touch the user's cache; xdist workers share one."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    os.environ["WIRELESSFL_CACHE"] = str(shared / "cache")


@pytest.fixture
def small() -> Callable[..., Scenario]:
    """Makes the small scenario, with overrides such as 'seed=3'."""

    def make(*overrides: str) -> Scenario:
        return loads(SMALL, "small.yaml", overrides)

    return make


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """The small scenario as a file."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL + "\n", encoding="utf-8")
    return path
