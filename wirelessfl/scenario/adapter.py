"""How clients share one adapter, and how much of it each of them trains and sends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config

Method = Literal["fslora", "fedit", "hetlora", "rbla", "flexlora", "ffa", "fedsa", "fedex", "flora"]

SUMS = ("fslora", "fedit", "ffa", "fedsa")
"""Methods whose model is the adapter, and moves by the weighted sum of what clients ask for."""

UplinkDtype = Literal["float32", "float16", "bfloat16", "int8"]
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
    pruning: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="hetlora: a client whose ranks beyond this share of its own have faded in its "
        "training goes on with that share; default: no client prunes.",
    )
    sketch: Literal["off", "fixed", "tiers"] = Field(
        "off",
        description="off: the full rank; fixed: `rank` of the adapter's ranks; tiers: by the "
        "compute time that a device reports, the slowest tier the first of `ratios`.",
    )
    rank: int | None = Field(None, ge=1, description="Ranks each participant trains when fixed.")
    ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = Field(
        None,
        min_length=1,
        description="Shares of the adapter's ranks that tiers of devices train, as many tiers of "
        "equal size; default a quarter, a half and all. Memory may allow less.",
    )
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
    def _pruning_is_hetloras(self) -> FixedAdapter:
        if self.pruning is not None and self.method != "hetlora":
            raise ValueError("adapter.pruning is for method: hetlora")
        return self

    @model_validator(mode="after")
    def _rank_goes_with_fixed(self) -> FixedAdapter:
        if (self.sketch == "fixed") != (self.rank is not None):
            raise ValueError("adapter.rank is given exactly when adapter.sketch is fixed")
        return self

    @model_validator(mode="after")
    def _ratios_go_with_tiers(self) -> FixedAdapter:
        if self.ratios is not None and self.sketch != "tiers":
            raise ValueError("adapter.ratios is used only when adapter.sketch is tiers")
        return self


class PlannedAdapter(FixedAdapter):
    """As FixedAdapter, or a rank per client chosen by the planner."""

    sketch: Literal["off", "fixed", "tiers", "planned"] = Field(  # type: ignore[assignment]
        "planned",
        description="planned: the planner chooses each client's rank; off: the full rank; "
        "fixed: `rank` for everyone; tiers: by the device's reported compute time.",
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
