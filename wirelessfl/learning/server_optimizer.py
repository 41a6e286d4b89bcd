"""What the server makes of an aggregated update U: FedOpt (arXiv 2003.00295, algorithm 2).

The server treats -U as the gradient of the global model and takes one step of an ordinary optimiser
a round: model + step * f(U), with

    plain     f(U) = U
    momentum  f(U) = m,                           m <- beta m + U            (arXiv 1909.06335)
    adam      f(U) = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps),
              m <- beta1 m + (1 - beta1) U,       v <- beta2 v + (1 - beta2) U^2

These are torch.optim's SGD and Adam to the letter. The paper's FedAdam leaves out the correction of
the start (the division by 1 - beta^t), without which the first steps are too short or too long.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from wirelessfl.learning.state import State
from wirelessfl.scenario.server_step import ServerStep

Floats = NDArray[np.float64]


class ServerOptimizer(ABC):
    """One optimiser over the rounds of a run."""

    @abstractmethod
    def move(self, total: Floats) -> Floats:
        """f(U) of a round's aggregated update `total` `[parameters]`."""

    def state(self) -> State:
        """What it remembers of earlier rounds (see `wirelessfl.learning.state`)."""
        return {}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        assert not state


class Plain(ServerOptimizer):
    """The update as it is."""

    def move(self, total: Floats) -> Floats:
        """See `ServerOptimizer.move`."""
        return total


class Momentum(ServerOptimizer):
    """The sum of all updates, each fading by `beta` a round."""

    def __init__(self, beta: float) -> None:
        self._beta = beta
        self._moving: Floats | float = 0.0

    def move(self, total: Floats) -> Floats:
        """See `ServerOptimizer.move`."""
        moving = self._beta * self._moving + total
        self._moving = moving
        return moving

    def state(self) -> State:
        """See `ServerOptimizer.state`."""
        return {"moving": np.asarray(self._moving)}

    def load(self, state: State) -> None:
        """See `ServerOptimizer.load`."""
        self._moving = state["moving"]


class Adam(ServerOptimizer):
    """The mean update over the root of the mean squared update, parameter by parameter."""

    def __init__(self, beta1: float, beta2: float, eps: float) -> None:
        self._beta1, self._beta2, self._eps = beta1, beta2, eps
        self._mean: Floats | float = 0.0
        self._square: Floats | float = 0.0
        self._rounds = 0

    def move(self, total: Floats) -> Floats:
        """See `ServerOptimizer.move`."""
        self._rounds += 1
        self._mean = self._beta1 * self._mean + (1 - self._beta1) * total
        self._square = self._beta2 * self._square + (1 - self._beta2) * total**2
        mean = self._mean / (1 - self._beta1**self._rounds)
        root = np.sqrt(self._square / (1 - self._beta2**self._rounds))
        return np.asarray(mean / (root + self._eps), np.float64)

    def state(self) -> State:
        """See `ServerOptimizer.state`."""
        return {
            "mean": np.asarray(self._mean),
            "square": np.asarray(self._square),
            "rounds": np.asarray(self._rounds),
        }

    def load(self, state: State) -> None:
        """See `ServerOptimizer.load`."""
        self._mean, self._square = state["mean"], state["square"]
        self._rounds = int(state["rounds"])


def server_optimizer(config: ServerStep) -> ServerOptimizer:
    """The optimiser that `strategy.server` names, at its start."""
    if config.optimizer == "momentum":
        return Momentum(config.momentum)
    if config.optimizer == "adam":
        return Adam(config.beta1, config.beta2, config.eps)
    return Plain()
