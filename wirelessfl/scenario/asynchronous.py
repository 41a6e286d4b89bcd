"""Asynchronous strategies: clients come and go one by one, and the model never waits for all.

    fedasync    x <- x + alpha s(tau) (x_n - x)                (Xie, Koyejo and Gupta, OPT 2020,
                                                                arXiv 1903.03934, Algorithm 1)
    fedbuff     x <- x + eta f( (1/K) sum_K p_n s(tau_n) delta_n )  (Nguyen et al., AISTATS 2022,
                                                                arXiv 2106.06639, Algorithm 1)

tau is the staleness of an update: how many versions of the model were made between the one its
client started from and the one it meets. 0 is fresh (FedAsync's paper counts from 1).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wirelessfl.scenario.adapter import FixedAdapter, PlannedAdapter
from wirelessfl.scenario.base import Config, MisfitError
from wirelessfl.scenario.preset import Preset
from wirelessfl.scenario.server_step import FixedStep, PlannedStep
from wirelessfl.scenario.sharing import (
    EqualShare,
    MaxMin,
    ProportionalFair,
    TdmaFifo,
    WorkConserving,
)

FlowingRule = Annotated[
    EqualShare | WorkConserving | MaxMin | TdmaFifo | ProportionalFair, Field(discriminator="kind")
]
"""Sharing rules for transfers that come and go at any time: `equal_finish` needs common rounds."""


LOCAL_SUMS = ("fslora", "ffa", "fedsa")
"""Methods that add up what clients send, and change nothing that a client did not send."""


class ConstantDiscount(Config):
    """s(tau) = 1: a stale update counts as much as a fresh one."""

    kind: Literal["constant"] = "constant"


class PolynomialDiscount(Config):
    """s(tau) = (1 + tau)^-a; FedBuff's is a = 1/2, which FedAsync's paper recommends too."""

    kind: Literal["polynomial"] = "polynomial"
    a: float = Field(0.5, ge=0, description="Exponent; 0 is constant.")


class HingeDiscount(Config):
    """s(tau) = 1 up to tau = b, and 1 / (1 + a (tau - b)) beyond."""

    kind: Literal["hinge"] = "hinge"
    a: float = Field(10.0, gt=0, description="How fast an update loses weight beyond b.")
    b: float = Field(4.0, ge=0, description="Staleness up to which an update counts fully.")


Discount = Annotated[
    ConstantDiscount | PolynomialDiscount | HingeDiscount, Field(discriminator="kind")
]


class Concurrency(Config):
    """Who is at work: as soon as one client is done, another is sent out."""

    concurrency: int = Field(10, ge=1, description="Clients at work at a time.")
    choice: Literal["uniform", "data_proportional"] = Field(
        "uniform",
        description="How the next client is drawn among those that are on and idle: each alike, "
        "or in proportion to its data.",
    )


class Mixing(Config):
    """How an update becomes part of the model."""

    alpha: float = Field(
        0.6, gt=0, le=1, description="Weight of a fresh update; the paper's runs use 0.6 and 0.9."
    )
    of: Literal["models", "updates"] = Field(
        "models",
        description="models: x <- x + a (x_v + delta - x), as published, with x_v the version that "
        "the client started from, so a stale model also pulls the present one back towards x_v "
        "(in the components that the client sent); updates: x <- x + a delta.",
    )


class BufferedStep(FixedStep):
    """Server step: new model = model + step * f(mean of the buffered updates)."""

    variance_reduction: Literal["none"] = Field(
        "none", description="Memories of clients' updates need common rounds."
    )


class AsynchronousPreset(Preset):
    """Base of strategies that keep clients at work and wait for nobody."""

    independent = False
    adapter: FixedAdapter = Field(FixedAdapter(), description="Ranks trained and sent.")
    bandwidth: FlowingRule = Field(
        EqualShare(),
        description="Uplink sharing rule; not equal_finish, which needs uploads known beforehand.",
    )

    @model_validator(mode="after")
    def _updates_add_up(self) -> Self:
        if self.adapter.method not in LOCAL_SUMS:
            raise MisfitError(
                ("adapter", "method"),
                f"{self.adapter.method!r} combines updates that started from the same model, and "
                f"asynchronous ones did not; write one of: {', '.join(LOCAL_SUMS)} (fslora with "
                "sketch: off is plain averaging)",
            )
        return self


class _Fixed(AsynchronousPreset):
    participation: Concurrency = Field(Concurrency(), description="Who is at work.")
    staleness: Discount = Field(
        PolynomialDiscount(), description="Weight s(tau) of an update tau versions old."
    )


class FedAsync(_Fixed):
    """FedAsync (arXiv 1903.03934): every update is mixed into the model when it arrives.

    Without the paper's proximal term in the clients' loss.
    """

    kind: Literal["fedasync"] = "fedasync"
    mixing: Mixing = Field(Mixing(), description="How an update is mixed in.")

    @property
    def server(self) -> FixedStep:
        """What the server makes of an update: nothing but a step of alpha."""
        return FixedStep(step=self.mixing.alpha)


class FedBuff(_Fixed):
    """FedBuff (arXiv 2106.06639): updates are gathered, and every K of them move the model.

    An update's weight is p_n s(tau) / K, with p_n the client's share of the data over the
    probability that it is drawn: N a_n if clients are drawn alike.
    """

    kind: Literal["fedbuff"] = "fedbuff"
    buffer: int = Field(10, ge=1, description="Updates K that the server gathers for a step.")
    server: BufferedStep = Field(BufferedStep(), description="Server step.")


class PlannedConcurrency(Config):
    """How many are at work and who comes next, planned from what updates show and times."""

    concurrency_max: int | None = Field(None, ge=1, description="Most clients at work at a time.")
    max_weight: float = Field(
        1.25,
        ge=1,
        description="Largest weight of an update over the mean weight; more is cut off, which is "
        "biased against data of slow clients and keeps a late update from undoing what was learnt.",
    )


class PlannedAsyncStep(PlannedStep):
    """Server step, fixed or tied to the noise and the delay of the planned stream of updates."""

    variance_reduction: Literal["none"] = Field(
        "none", description="Memories of clients' updates need common rounds."
    )


class AdaptiveAsync(AsynchronousPreset):
    """As adaptive, for a stream of updates: who is at work, ranks, buffer and step in one plan.

    Ours, reconstructed from the same law of rounds: see docs/theory.md, "Without rounds".
    """

    learns_from: ClassVar[Literal["", "norms", "losses"]] = "norms"
    kind: Literal["adaptive-async"] = "adaptive-async"
    participation: PlannedConcurrency = Field(PlannedConcurrency(), description="Who is at work.")
    adapter: PlannedAdapter = Field(PlannedAdapter(), description="Ranks trained and sent.")
    server: PlannedAsyncStep = Field(PlannedAsyncStep(), description="Server step.")
