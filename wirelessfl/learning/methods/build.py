"""From a strategy's `adapter` section to the method it names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.layout import Layout
from wirelessfl.learning.methods.averaging import FedIt, FedSa, Ffa, HetLora, Rbla
from wirelessfl.learning.methods.base import Method
from wirelessfl.learning.methods.fslora import FsLora
from wirelessfl.learning.methods.products import FedEx, FlexLora, Flora
from wirelessfl.scenario.adapter import FixedAdapter

_PLAIN: dict[str, type[Method]] = {
    "fedit": FedIt,
    "rbla": Rbla,
    "ffa": Ffa,
    "flexlora": FlexLora,
    "fedex": FedEx,
    "flora": Flora,
}


def build_method(
    config: FixedAdapter,
    layout: Layout,
    seed: int,
    shares: NDArray[np.float64],
    per_module: bool = False,
) -> Method:
    """The method of one run; it may remember things of its clients.

    Args:
        config: The strategy's `adapter` section.
        layout: Places of the adapter's parameters.
        seed: The scenario's seed.
        shares: Share a_n of the data that each client has `[clients]`.
        per_module: Whether each module has a sketch of its own (`learning.lora.sketch`).
    """
    if config.method == "fslora":
        return FsLora(layout, seed, per_module, config.sketch_mode == "update")
    if config.method == "fedsa":
        return FedSa(layout, seed, shares)
    if config.method == "hetlora":
        return HetLora(layout, seed, config.pruning)
    return _PLAIN[config.method](layout, seed)
