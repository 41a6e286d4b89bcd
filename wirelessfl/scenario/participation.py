"""Who takes part in a round: how many clients are expected, or how that is planned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wirelessfl.scenario.base import Config

Planner = Literal["marginal_price", "mean_field"]


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
    opportunistic: bool = Field(
        True,
        description="Plan every round for the channel of that round, as far as deviations from a "
        "client's average last; still unbiased, as weights divide by that round's q_n. Otherwise a "
        "plan is for the average channel and holds for many rounds.",
    )
    replan_every: int = Field(
        5,
        ge=1,
        description="Rounds that a plan holds at most if it is not opportunistic, counted from the "
        "end of the pilot.",
    )
    oracle: bool = Field(
        False,
        description="Show the planner everybody's true updates before every round, at no cost in "
        "time, in place of its estimates: for ablations, no server could do it.",
    )
    replan_change: float = Field(
        0.1,
        gt=0,
        description="A plan ends early when the time to the target that it promises has changed "
        "by this share, as estimates sharpen or channels move.",
    )


class PaperParticipation(PlannedParticipation):
    """As PlannedParticipation with the paper's planner as the default."""

    planner: Planner = Field("mean_field", description="As for adaptive.")
    opportunistic: bool = Field(False, description="As for adaptive.")
