"""The whole scenario: its sections, what ends a run, and its resolved text and fingerprint."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, cast

from pydantic import Field, model_validator

from wirelessfl.errors import InputError
from wirelessfl.scenario.adapter import SUMS
from wirelessfl.scenario.availability import LONGEST_S
from wirelessfl.scenario.base import Config, MisfitError, kinds
from wirelessfl.scenario.devices import DevicesConfig
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.located import suggestion
from wirelessfl.scenario.network import NetworkConfig
from wirelessfl.scenario.place import FixedPlacement
from wirelessfl.scenario.strategy import Adaptive, StrategyConfig
from wirelessfl.scenario.tasks import DigitsTask, NoTask
from wirelessfl.scenario.units import Seconds
from wirelessfl.scenario.yaml_text import yaml_text

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Target(Config):
    """A quality to reach, by the mean of the last `smooth` evaluations."""

    metric: Literal["loss", "accuracy", "perplexity"] = Field(
        "loss", description="What is judged, on the held-out data."
    )
    below: float | None = Field(None, description="Reached at this value or a lower one.")
    above: float | None = Field(None, description="Reached at this value or a higher one.")
    smooth: int = Field(1, ge=1, description="Evaluations averaged, the last so many.")

    @model_validator(mode="after")
    def _one_direction(self) -> Target:
        if (self.below is None) == (self.above is None):
            raise ValueError("give exactly one of below and above")
        if self.metric == "accuracy" and not 0 <= (self.above or self.below or 0.0) <= 1:
            raise ValueError("an accuracy lies between 0 and 1")
        return self

    def __str__(self) -> str:
        sign, value = ("<=", self.below) if self.below is not None else (">=", self.above)
        mean = f" (mean of {self.smooth} evaluations)" if self.smooth > 1 else ""
        return f"{self.metric} {sign} {value:g}{mean}"


class Stop(Config):
    """What ends a run: whichever comes first."""

    rounds: int = Field(
        100, ge=1, description="Rounds at most; for asynchronous strategies model updates."
    )
    time_s: Seconds | None = Field(
        None, gt=0, alias="time", description="Simulated time at most; null is no limit."
    )
    target: Target | None = Field(None, description="Quality that ends the run once reached.")


class Evaluate(Config):
    """When the global model is evaluated on the held-out data."""

    every: int = Field(1, ge=1, description="Rounds from one evaluation to the next.")


class ServerConfig(Config):
    """Simulated time that the server itself takes, and how long it waits."""

    overhead_s: Seconds = Field(
        0.1, ge=0, le=LONGEST_S, alias="overhead", description="Time added to every round."
    )
    evaluate_time_s: Seconds = Field(
        0.0, ge=0, le=LONGEST_S, alias="evaluate_time", description="Time an evaluation takes."
    )
    deadline_s: Seconds | None = Field(
        None,
        gt=0,
        alias="deadline",
        description="A round ends this long after it began, without those who are late; null "
        "waits for all. Leaving out the late biases the update.",
    )


class TraceConfig(Config):
    """What a run records beside its tables of rounds and clients."""

    events: bool = Field(True, description="Keep every start and end in events.parquet.")
    checkpoint_every: int | None = Field(
        20,
        ge=0,
        description="Rounds from one saved state to the next, from which a stopped run goes on; "
        "null or 0: only when it is interrupted.",
    )


class Scenario(Config):
    """One simulated experiment: a network, its devices, what they learn and who decides."""

    name: Name = Field(description="Name of results: letters, digits, dot, dash and underscore.")
    description: str = Field("", description="What the scenario is about, for people.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")
    stop: Stop = Field(Stop(), description="What ends a run.")
    evaluate: Evaluate = Field(Evaluate(), description="When the model is evaluated.")
    server: ServerConfig = Field(ServerConfig(), description="Time the server takes.")
    network: NetworkConfig = Field(NetworkConfig(), description="The radio network.")
    devices: DevicesConfig = Field(DevicesConfig(), description="The clients' hardware.")
    learning: LearningConfig = Field(LearningConfig(), description="What is learnt, and how.")
    strategy: StrategyConfig = Field(Adaptive(), description="What the server decides.")
    strategies: dict[Name, StrategyConfig] = Field(
        {}, description="Further strategies to compare, by a name of your own."
    )
    trace: TraceConfig = Field(TraceConfig(), description="What a run records.")

    @model_validator(mode="after")
    def _sections_go_together(self) -> Scenario:
        placement, clients = self.network.placement, self.devices.count
        if isinstance(placement, FixedPlacement) and len(placement.distances_m) not in (1, clients):
            raise MisfitError(
                ("network", "placement", "distances"),
                f"has {len(placement.distances_m)} values for {clients} clients (devices.count); "
                "give one for each, or a single one for all",
            )
        self._check_task()
        self._check_strategy(("strategy",), self.strategy)
        for name, strategy in self.strategies.items():
            self._check_strategy(("strategies", name), strategy)
        return self

    def _check_task(self) -> None:
        task, target = self.learning.task, self.stop.target
        if isinstance(task, NoTask):
            if target is not None:
                raise MisfitError(
                    ("stop", "target"),
                    "is never reached where nothing is learnt (task: {kind: none})",
                )
            if why := _needs_training(self.strategy):
                raise MisfitError(("strategy",), why)
        elif target is not None and target.metric not in task.metrics:
            raise MisfitError(
                ("stop", "target", "metric"),
                f"{target.metric!r} is not measured by the task {task.kind!r}, which has: "
                f"{', '.join(task.metrics)}",
            )

    def _check_strategy(self, path: tuple[str, ...], strategy: StrategyConfig) -> None:
        self.network.check_rule((*path, "bandwidth"), strategy.bandwidth)
        if strategy.adapter.method not in SUMS:
            for field, neutral in (("optimizer", "plain"), ("variance_reduction", "none")):
                if getattr(strategy.server, field) != neutral:
                    raise MisfitError(
                        (*path, "server", field),
                        "works on a sum of updates, and the method "
                        f"{strategy.adapter.method!r} does not add them up; it goes with: "
                        f"{', '.join(SUMS)}; write {field}: {neutral}",
                    )
        if why := self._not_private(strategy):
            raise MisfitError(path, why)
        largest = self.learning.lora.rank
        for field in ("rank", "k_min"):
            rank = getattr(strategy.adapter, field, None)
            if rank is not None and rank > largest:
                raise MisfitError(
                    (*path, "adapter", field),
                    f"{rank} is more than the adapter's rank, learning.lora.rank = {largest}",
                )

    def _not_private(self, strategy: StrategyConfig) -> str | None:
        """Why a strategy would give away what `learning.privacy` protects, or None."""
        if self.learning.privacy is None:
            return None
        if strategy.learns_from:
            return (
                f"{strategy.kind!r} plans from the {strategy.learns_from} of updates, which no "
                "noise protects, so it does not go with learning.privacy; choose another kind, "
                "e.g. uniform"
            )
        if not strategy.independent:
            return (
                f"{strategy.kind!r} does not draw clients independently, as the accountant of "
                "learning.privacy assumes; choose another kind, e.g. uniform"
            )
        if strategy.adapter.method not in ("fslora", "fedit", "ffa"):
            return (
                f"shares the adapter by {strategy.adapter.method!r}, which gives away more than a "
                "sum of updates and does not go with learning.privacy; write method: fslora, fedit "
                "or ffa"
            )
        if strategy.server.variance_reduction != "none":
            return (
                "remembers updates beyond their round (server.variance_reduction), which the "
                "accountant of learning.privacy does not cover; write variance_reduction: none"
            )
        return None

    def with_strategy(self, name: str) -> Scenario:
        """This scenario with another strategy, and none left to choose from.

        Args:
            name: A name under `strategies`, the kind of `strategy` (which keeps its options), or
                any kind of strategy (with its defaults).

        Raises:
            InputError: If it is none of these, or needs training where nothing is learnt.
        """
        presets = {kind: model for kind, model in kinds(StrategyConfig).items() if kind != "custom"}
        strategy: StrategyConfig
        if name in self.strategies:
            strategy = self.strategies[name]
        elif name == self.strategy.kind:
            strategy = self.strategy
        elif name == "custom":
            raise InputError(
                "custom is a class of your own: name it under strategies, and compare that name"
            )
        elif name in presets:
            strategy = cast(StrategyConfig, presets[name]())
        else:
            known = [*self.strategies, *presets]
            raise InputError(f"unknown strategy {name!r}; {suggestion(name, known)}")
        if isinstance(self.learning.task, NoTask) and (why := _needs_training(strategy)):
            raise InputError(f"strategy {why}")
        if why := self._not_private(strategy):
            raise InputError(f"strategy {why}")
        return self.model_copy(update={"strategy": strategy, "strategies": {}})

    def timing_only(self) -> Scenario:
        """This scenario without learning: the same clients, payloads and work, and no target.

        Raises:
            InputError: If its strategy plans from what real training shows, or the clients' work
                is not known before the task's data are read.
        """
        if why := _needs_training(self.strategy):
            raise InputError(f"strategy {why}")
        if isinstance(self.learning.task, NoTask):
            return self
        if not isinstance(self.learning.task, DigitsTask):
            raise InputError(
                "learning.task: how many samples clients hold, and how long these are, follows "
                f"from the data of {self.learning.task.kind!r}; for timing only, say it with task: "
                "{kind: none, samples: ..., tokens: ...}, and the model's size with model: "
                "{kind: sized} or tiny-lm"
            )
        learning = self.learning.model_copy(update={"task": NoTask()})
        stop = self.stop.model_copy(update={"target": None})
        return self.model_copy(update={"learning": learning, "stop": stop})


def _needs_training(strategy: StrategyConfig) -> str | None:
    """Why a strategy cannot decide where nothing is learnt, or None if it can."""
    if strategy.adapter.pruning is not None:
        return (
            "prunes ranks by the updates of real training (adapter.pruning), and a timing-only run "
            "(task: {kind: none}) has none; leave pruning out"
        )
    if not strategy.learns_from:
        return None
    return (
        f"{strategy.kind!r} plans from the updates of real training, and a timing-only run (task: "
        "{kind: none}) has none; choose another kind, e.g. uniform"
    )


def dump(scenario: Scenario) -> str:
    """The resolved scenario as YAML, every default filled in; `loads` gives the scenario back."""
    return yaml_text(scenario.model_dump(mode="json"))


def fingerprint(scenario: Scenario) -> str:
    """SHA-256 of the resolved scenario (hexadecimal): equal scenarios, equal fingerprints.

    How often the state is saved changes no result, so it does not count.
    """
    resolved = scenario.model_dump_json(exclude={"trace": {"checkpoint_every"}})
    return hashlib.sha256(resolved.encode()).hexdigest()
