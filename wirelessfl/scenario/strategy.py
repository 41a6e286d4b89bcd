"""What the user may say about the server's decisions: who trains, how much, and with which step.

A strategy is four independent choices (participation, adapter, bandwidth, server step). Each preset
(`kind`) fills all four and lists only the options that mean something for it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.sharing import EqualFinish, SharingConfig, WorkConserving

Planner = Literal["marginal_price", "mean_field"]
UplinkDtype = Literal["float32", "float16", "bfloat16", "int8"]


class ExpectedParticipation(Config):
    """Independent participation with a chosen expected number of clients a round."""

    expected: float = Field(
        10.0, gt=0, description="Expected number of participants a round, sum of all q_n."
    )


class PlannedParticipation(Config):
    """Participation probabilities computed from measured update norms and predicted times."""

    planner: Planner = Field(
        "marginal_price",
        description="Algorithm that minimises expected round time times rounds: marginal_price "
        "(fixed point on the optimality condition) or mean_field (one-dimensional search).",
    )
    q_min: float = Field(
        0.01, gt=0, le=1, description="Smallest participation probability of a reachable client."
    )
    max_weight: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest aggregation weight a_n/q_n of one update, kept by raising q_n to at "
        "least a_n/max_weight, so the update stays unbiased.",
    )
    pilot_rounds: int = Field(
        3, ge=1, description="First rounds, data-proportional, that measure the update norms."
    )
    pilot_expected: float = Field(
        10.0, gt=0, description="Expected participants of a pilot round (at most all clients)."
    )
    replan_every: int = Field(
        5, ge=1, description="Rounds between two plans, counted from the end of the pilot."
    )


class PaperParticipation(PlannedParticipation):
    """As PlannedParticipation with the paper's planner as the default."""

    planner: Planner = Field("mean_field", description="As for adaptive.")


Method = Literal["fslora", "fedit", "hetlora", "rbla", "flexlora", "ffa", "fedsa", "fedex", "flora"]

SUMS = ("fslora", "ffa", "fedsa")
"""Methods whose model moves by the weighted sum of what clients send."""

SketchMode = Literal["forward", "update"]


class FixedAdapter(Config):
    """How much of the adapter a participant trains and sends, decided once."""

    method: Method = Field(
        "fslora",
        description="How clients of different ranks share one adapter: fslora (a random sketch "
        "each round), fedit (averaged, missing ranks zero), hetlora (weighted by the norm of B A), "
        "rbla (a rank is averaged over its holders), flexlora (SVD of the sum of products), ffa "
        "(A frozen), fedsa (B stays with the client), fedex (the error of averaging goes into the "
        "frozen weights), flora (products go into the frozen weights, a fresh adapter each round).",
    )
    sketch_mode: SketchMode = Field(
        "forward",
        description="fslora: clients compute with their ranks alone (forward), or with all and "
        "train and send theirs (update).",
    )
    sketch: Literal["off", "fixed"] = Field(
        "off", description="off: the full rank; fixed: `rank` of the adapter's ranks."
    )
    rank: int | None = Field(None, ge=1, description="Ranks each participant trains when fixed.")
    uplink_dtype: UplinkDtype = Field(
        "float32",
        description="How updates are written on the uplink; int8 rounds at random, unbiased, with "
        "one scale for each row of an adapter's matrices.",
    )

    @model_validator(mode="after")
    def _sketches_are_fsloras(self) -> FixedAdapter:
        if self.sketch_mode != "forward" and self.method != "fslora":
            raise ValueError("adapter.sketch_mode is for method: fslora")
        return self

    @model_validator(mode="after")
    def _rank_goes_with_fixed(self) -> FixedAdapter:
        if (self.sketch == "fixed") != (self.rank is not None):
            raise ValueError("adapter.rank is given exactly when adapter.sketch is fixed")
        return self


class PlannedAdapter(FixedAdapter):
    """As FixedAdapter, or a rank per client chosen by the planner."""

    sketch: Literal["off", "fixed", "planned"] = Field(  # type: ignore[assignment]
        "planned",
        description="planned: the planner chooses each client's rank; off: the full rank; "
        "fixed: `rank` for everyone.",
    )
    k_min: int | None = Field(
        None,
        ge=1,
        description="Smallest rank the planner may choose; default a quarter of the adapter's "
        "rank, below which rank sketching stops converging well.",
    )

    @model_validator(mode="after")
    def _k_min_goes_with_planned(self) -> PlannedAdapter:
        if self.k_min is not None and self.sketch != "planned":
            raise ValueError("adapter.k_min is used only when adapter.sketch is planned")
        return self


class _Aggregation(Config):
    """What the server makes of the updates: new model = model + step * f(U)."""

    optimizer: Literal["plain", "momentum", "adam"] = Field(
        "plain",
        description="f: U itself, a sum with momentum, or Adam on -U as the gradient (FedOpt); "
        "Adam moves every parameter by about step, so it needs a small one, such as 0.01.",
    )
    momentum: float = Field(
        0.9, gt=0, lt=1, description="Share of the last move that momentum keeps."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Memory of Adam's mean update.")
    beta2: float = Field(0.99, ge=0, lt=1, description="Memory of Adam's mean squared update.")
    eps: float = Field(
        1e-3, gt=0, description="What Adam adds to the root of the mean squared update."
    )
    variance_reduction: Literal["none", "fedvarp"] = Field(
        "none",
        description="fedvarp: the server remembers every client's last update, and the updates "
        "that arrive correct what it expects from all; unbiased. Memory: one adapter per client.",
    )

    @model_validator(mode="after")
    def _options_go_with_their_optimizer(self) -> Self:
        given = self.model_dump(exclude_defaults=True)
        for name in ("momentum", "beta1", "beta2", "eps"):
            owner = "momentum" if name == "momentum" else "adam"
            if name in given and self.optimizer != owner:
                raise ValueError(f"server.{name} goes with server.optimizer: {owner}")
        if self.optimizer == "adam" and not self.model_fields_set & {"step", "step_max"}:
            raise ValueError(
                "server.optimizer: adam needs a step of its own, of the size of a parameter's "
                "change in a round, e.g. server.step: 0.01 (or step_max if it is coupled)"
            )
        return self


class FixedStep(_Aggregation):
    """Server step: new model = model + step * f(sum of a_n/q_n * delta_n)."""

    step: float = Field(1.0, gt=0, description="Multiplier of the aggregated update.")


class PlannedStep(_Aggregation):
    """Server step, fixed or tied to the noise of the planned participation."""

    step: float | Literal["coupled"] = Field(
        "coupled",
        description="A number, or coupled: step_max / (1 + noise-to-signal ratio of the plan).",
    )
    step_max: float = Field(
        1.0, gt=0, description="The coupled step that full participation would get."
    )

    @model_validator(mode="after")
    def _number_or_coupled(self) -> PlannedStep:
        if self.step != "coupled" and self.step <= 0:
            raise ValueError("server.step is positive, or the word coupled")
        if self.step != "coupled" and self.step_max != 1.0:
            raise ValueError("server.step_max is used only when server.step is coupled")
        return self


class Full(Config):
    """Every client takes part in every round."""

    kind: Literal["full"] = "full"
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Uniform(Config):
    """Every client takes part with the same probability."""

    kind: Literal["uniform"] = "uniform"
    participation: ExpectedParticipation = Field(
        ExpectedParticipation(), description="How many clients take part."
    )
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class DataProportional(Config):
    """Clients take part with probability proportional to their share of the data."""

    kind: Literal["data_proportional"] = "data_proportional"
    participation: ExpectedParticipation = Field(
        ExpectedParticipation(), description="How many clients take part."
    )
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: FixedStep = Field(FixedStep(), description="Server step.")


class Adaptive(Config):
    """Participation, ranks and step planned together from what the server measures."""

    kind: Literal["adaptive"] = "adaptive"
    participation: PlannedParticipation = Field(
        PlannedParticipation(), description="How participation is planned."
    )
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(WorkConserving(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(), description="Server step.")


class AdaptivePaper(Config):
    """As arXiv 2505.23555, reconstructed: mean-field planner and equal-finish bandwidth."""

    kind: Literal["adaptive-paper"] = "adaptive-paper"
    participation: PaperParticipation = Field(
        PaperParticipation(), description="How participation is planned."
    )
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    bandwidth: SharingConfig = Field(EqualFinish(), description="Uplink sharing rule.")
    server: PlannedStep = Field(PlannedStep(), description="Server step.")


ServerStep = FixedStep | PlannedStep
StrategyConfig = Annotated[
    Full | Uniform | DataProportional | Adaptive | AdaptivePaper, Field(discriminator="kind")
]
