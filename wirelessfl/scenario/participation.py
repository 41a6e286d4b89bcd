"""Who takes part in a round: how many clients are expected, or how that is planned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config
from wirelessfl.scenario.units import Bytes, Joules

Planner = Literal["marginal_price", "mean_field"]


class ExpectedParticipation(Config):
    """Independent participation with a chosen expected number of clients a round."""

    expected: float = Field(
        10.0, gt=0, description="Expected number of participants a round, sum of all q_n."
    )


class EnergyBudget(Config):
    """Mean energy of a client: a limit for each round, taking part or not, each hour, or both."""

    per_round_j: Joules | None = Field(None, gt=0, alias="per_round", description="Mean a round.")
    per_hour_j: Joules | None = Field(None, gt=0, alias="per_hour", description="Mean an hour.")

    @model_validator(mode="after")
    def _some_limit(self) -> EnergyBudget:
        if self.per_round_j is None and self.per_hour_j is None:
            raise ValueError("a budget needs per_round or per_hour")
        return self


class TrafficBudget(Config):
    """Mean traffic of a client, both directions: a limit for each round, each hour, or both."""

    per_round_bytes: Bytes | None = Field(
        None, gt=0, alias="per_round", description="Mean a round."
    )
    per_hour_bytes: Bytes | None = Field(None, gt=0, alias="per_hour", description="Mean an hour.")

    @model_validator(mode="after")
    def _some_limit(self) -> TrafficBudget:
        if self.per_round_bytes is None and self.per_hour_bytes is None:
            raise ValueError("a budget needs per_round or per_hour")
        return self


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
    expected_max: float | None = Field(
        None, gt=0, description="Largest expected number of participants a round, sum of all q_n."
    )
    energy_budget: EnergyBudget | None = Field(
        None,
        description="What each client may spend on taking part, on average; kept by lowering its "
        "q_n or its rank. Reckoned from its device's powers and the times that are predicted.",
    )
    traffic_budget: TrafficBudget | None = Field(
        None, description="What each client may send and receive on average, kept the same way."
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
