"""What a part of learning remembers, as arrays by name: so a run that was stopped can go on.

Whoever remembers something has `state()`, which gives it, and `load(state)`, which takes it back;
what follows from the scenario is no part of it. Parts of parts have names like `method.kept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]


def named(name: str, state: State) -> State:
    """The state of a part, as its owner keeps it."""
    return {f"{name}.{key}": value for key, value in state.items()}


def part(state: State, name: str) -> State:
    """The state of a part, as `named` put it into its owner's; nothing if it has none."""
    start = f"{name}."
    return {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}


def by_client(values: Mapping[int, Any]) -> State:
    """What is remembered of clients: values of one shape, by client; `of_clients` goes back."""
    if not values:
        return {}
    return {"client": np.array(list(values), np.int64), "value": np.stack(list(values.values()))}


def of_clients(state: State) -> dict[int, NDArray[Any]]:
    """See `by_client`."""
    if not state:
        return {}
    return dict(zip(state["client"].tolist(), state["value"], strict=True))
