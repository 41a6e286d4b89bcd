"""Published ways to share an adapter, each with uniform participation and its own rule of ranks.

Where a method was made for clients of unequal ranks, these follow from the devices (`tiers`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wirelessfl.scenario.adapter import FixedAdapter
from wirelessfl.scenario.baselines import Sampled

_RANKS = "Ranks trained and sent."


class FsLora(Sampled):
    """FSLoRA: uniform participation, a random sketch as wide as the device can bear."""

    kind: Literal["fslora"] = "fslora"
    adapter: FixedAdapter = Field(FixedAdapter(method="fslora", sketch="tiers"), description=_RANKS)


class HetLora(Sampled):
    """HetLoRA: uniform participation, ranks by device, richer adapters count more; biased."""

    kind: Literal["hetlora"] = "hetlora"
    adapter: FixedAdapter = Field(
        FixedAdapter(method="hetlora", sketch="tiers"), description=_RANKS
    )


class Rbla(Sampled):
    """RBLA: uniform participation, ranks by device, each rank averaged over who has it; biased."""

    kind: Literal["rbla"] = "rbla"
    adapter: FixedAdapter = Field(FixedAdapter(method="rbla", sketch="tiers"), description=_RANKS)


class FlexLora(Sampled):
    """FlexLoRA: uniform participation, ranks by device, sum of products cut by SVD."""

    kind: Literal["flexlora"] = "flexlora"
    adapter: FixedAdapter = Field(
        FixedAdapter(method="flexlora", sketch="tiers"), description=_RANKS
    )


class Flora(Sampled):
    """FLoRA: uniform participation, ranks by device, products merged into the frozen weights."""

    kind: Literal["flora"] = "flora"
    adapter: FixedAdapter = Field(FixedAdapter(method="flora", sketch="tiers"), description=_RANKS)


class FedIt(Sampled):
    """FedIT: uniform participation, the full rank, factors averaged one by one."""

    kind: Literal["fedit"] = "fedit"
    adapter: FixedAdapter = Field(FixedAdapter(method="fedit"), description=_RANKS)


class Ffa(Sampled):
    """FFA-LoRA: uniform participation, the full rank, A frozen."""

    kind: Literal["ffa"] = "ffa"
    adapter: FixedAdapter = Field(FixedAdapter(method="ffa"), description=_RANKS)


class FedSa(Sampled):
    """FedSA-LoRA: uniform participation, the full rank, B stays with the client."""

    kind: Literal["fedsa"] = "fedsa"
    adapter: FixedAdapter = Field(FixedAdapter(method="fedsa"), description=_RANKS)


class FedEx(Sampled):
    """FedEx-LoRA: uniform participation, the full rank, averaging's error into frozen weights."""

    kind: Literal["fedex"] = "fedex"
    adapter: FixedAdapter = Field(FixedAdapter(method="fedex"), description=_RANKS)


LoraPreset = FsLora | HetLora | Rbla | FlexLora | Flora | FedIt | Ffa | FedSa | FedEx
