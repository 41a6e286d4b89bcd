"""One small pre-trained model for the whole session, in a cache of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.learner import Learner, build_learner
from wirelessfl.scenario.learning import LearningConfig

CLIENTS = 40
SEED = 11
BuildLearner = Callable[..., Learner]


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELESSFL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def small_config(**changes: Any) -> LearningConfig:
    """A model that is quick to build and to train; what a test changes, by section."""
    sections: dict[str, Any] = {
        "model": {"kind": "tiny-vit", "hidden": 16, "layers": 2, "heads": 2, "pretrain_steps": 2},
        "lora": {"rank": 8, "alpha": 16},
        "local": {"steps": 3, "batch": 16},
    }
    for section, change in changes.items():
        sections[section] = (
            {**sections.get(section, {}), **change} if isinstance(change, dict) else change
        )
    return LearningConfig.model_validate(sections)


@pytest.fixture(scope="session")
def build() -> BuildLearner:
    """Builds a small learner with changes to its configuration, once for each."""
    built: dict[str, Learner] = {}

    def build_once(**changes: Any) -> Learner:
        config = small_config(**changes)
        key = config.model_dump_json()
        if key not in built:
            built[key] = build_learner(config, CLIENTS, SEED)
        return built[key]

    return build_once


@pytest.fixture(scope="session")
def learner(build: BuildLearner) -> Learner:
    return build()


def trained(learner: Learner, seed: int) -> Vector:
    """A model in general position: B is no longer zero, so A has gradients too."""
    noise = np.random.default_rng(seed).normal(scale=0.05, size=learner.parameters)
    return learner.initial + noise.astype(np.float32)


@pytest.fixture(scope="session")
def mixed_jobs() -> list[GradientJob]:
    """More than one cohort, with ranks, rounds and start versions mixed and out of order."""
    return [
        GradientJob(version=n % 3, client=n, round=5 + n % 2, rank=(8, 1, 4, 3)[n % 4])
        for n in reversed(range(14))
    ]


@pytest.fixture(scope="session")
def models(learner: Learner) -> dict[int, Vector]:
    return {version: trained(learner, version) for version in range(3)}
