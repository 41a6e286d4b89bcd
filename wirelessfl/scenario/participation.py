"""Who takes part in a round: how many clients are expected, or how that is decided."""

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


class FixedKParticipation(ExpectedParticipation):
    """K draws with replacement, with odds that two pilot phases and the updates teach."""

    expected: int = Field(10, ge=1, description="Draws a round, K; a client may be drawn twice.")
    pilot_rounds: int = Field(
        5,
        ge=2,
        description="Rounds of each of the two pilots that show how much sampling matters: uniform "
        "draws, then draws by data from the same first model.",
    )


class OverSelection(ExpectedParticipation):
    """A fixed number of clients is waited for, out of more that are selected."""

    expected: int = Field(10, ge=1, description="Updates that end a round once they are there.")
    over_select: float = Field(
        1.3, ge=1, description="Clients selected for each update that is waited for."
    )


class OortParticipation(ExpectedParticipation):
    """A fixed number of clients by their utility, and some that were never tried."""

    expected: int = Field(10, ge=1, description="Participants of a round.")
    exploration: float = Field(
        0.9, ge=0, le=1, description="Share of the first round for clients never tried before."
    )
    exploration_decay: float = Field(
        0.98, gt=0, le=1, description="What is left of that share after each round."
    )
    exploration_min: float = Field(0.2, ge=0, le=1, description="The least it falls to.")
    slow_penalty: float = Field(
        2.0,
        ge=0,
        description="alpha: utility is multiplied by (T / t_n)^alpha if t_n is longer than T.",
    )
    pace: float = Field(
        0.3, gt=0, le=1, description="First preferred duration T, as a quantile of clients' times."
    )
    pacer_step: float = Field(
        0.05, ge=0, le=1, description="What is added to that quantile when utility declines."
    )
    pacer_rounds: int = Field(
        20, ge=1, description="Rounds in each of the two windows whose utility is compared."
    )
    blacklist_after: int | None = Field(
        None, ge=1, description="Participations after which a client is left out; null for never."
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
        3,
        ge=1,
        description="First rounds, planned as if updates were equally long and had nothing in "
        "common, that measure the update norms.",
    )
    pilot_expected: float = Field(
        10.0,
        gt=0,
        description="Largest expected number of participants of a pilot round; q_min and "
        "max_weight may ask for more.",
    )
    opportunistic: bool = Field(
        True,
        description="Plan every round for the channel of that round, as far as deviations from a "
        "client's average last; still unbiased, as weights divide by that round's q_n. Otherwise a "
        "plan is for the average channel and holds for many rounds.",
    )
    replan_every: int = Field(
        5,
        ge=1,
        description="Rounds after which planning starts from scratch at the latest, counted from "
        "the end of the pilot; an opportunistic plan follows the one before until then.",
    )
    estimates: Literal["credible", "plain"] = Field(
        "credible",
        description="What is known of clients. credible: means drawn towards the population's by "
        "what they deserve, rates forecast from reports, compute times as measured, weights that "
        "divide by the share of updates that arrived; plain: each client's own mean norm (the "
        "population's if it was never heard from), rates and compute times as reported, every "
        "update expected to arrive.",
    )
    oracle: bool = Field(
        False,
        description="Show the planner everybody's true updates before every round, at no cost in "
        "time, in place of its estimates: for ablations, no server could do it.",
    )
    replan_change: float = Field(
        0.1,
        gt=0,
        description="A plan that is not opportunistic ends early when the time to the target that "
        "it promises has changed by this share, as estimates sharpen or channels move.",
    )


class PaperParticipation(PlannedParticipation):
    """As PlannedParticipation with the paper's planner as the default."""

    planner: Planner = Field("mean_field", description="As for adaptive.")
    opportunistic: bool = Field(False, description="As for adaptive.")
    estimates: Literal["credible", "plain"] = Field("plain", description="As for adaptive.")
