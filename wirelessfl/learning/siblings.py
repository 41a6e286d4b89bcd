"""Which adapted layers read the same input, as queries, keys and values do."""

from __future__ import annotations

from peft import PeftModel

from wirelessfl.learning.layout import Layout
from wirelessfl.learning.stackable import layer_inputs
from wirelessfl.learning.task import Samples


def siblings(model: PeftModel, layout: Layout, samples: Samples) -> list[list[int]]:
    """Numbers of the adapted modules, those together that are given one and the same tensor.

    They are found by a sample that goes through the model. A module that is called never, or more
    than once, is alone; who uses the groups must not rely on a later pass being like this one.
    """
    names = [module.name for module in layout.modules]
    seen = layer_inputs(model, names, samples, slice(0, 1))
    groups: dict[int | str, list[int]] = {}
    for number, name in enumerate(names):
        calls = seen[name]
        key = id(calls[0]) if len(calls) == 1 else name
        groups.setdefault(key, []).append(number)
    return list(groups.values())
