"""Torch's SGD and AdamW for many clients at once: elementwise, so rows do not see one another."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from wirelessfl.scenario.local import LocalConfig

_BETAS = (0.9, 0.999)
_EPS = 1e-8


class StackedOptimizer(Protocol):
    """Takes steps on stacked parameters `[clients, compact]`."""

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        """Changes the parameters in place; where a gradient is always 0 only decay does.

        The gradient is the optimiser's from then on, to change and to keep.
        """


class StackedSgd:
    """torch.optim.SGD with momentum, no dampening."""

    def __init__(self, config: LocalConfig) -> None:
        self._lr, self._momentum = config.lr, config.momentum
        self._velocity: Tensor | None = None

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer.step`."""
        if self._momentum:
            if self._velocity is not None:
                gradient.add_(self._velocity, alpha=self._momentum)
            self._velocity = gradient
        parameters.sub_(gradient, alpha=self._lr)


class StackedAdamW:
    """torch.optim.AdamW with its default betas and eps."""

    def __init__(self, config: LocalConfig) -> None:
        self._lr, self._decay = config.lr, config.weight_decay
        self._steps = 0

    def step(self, parameters: Tensor, gradient: Tensor) -> None:
        """See `StackedOptimizer.step`."""
        if not self._steps:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self._steps += 1
        parameters *= 1.0 - self._lr * self._decay
        self._mean.lerp_(gradient, 1.0 - _BETAS[0])
        self._square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])
        first, second = (1.0 - beta**self._steps for beta in _BETAS)
        deviation = (self._square.sqrt() / second**0.5).add_(_EPS)
        parameters.addcdiv_(self._mean, deviation, value=-self._lr / first)


def stacked_optimizer(config: LocalConfig) -> StackedOptimizer:
    """The optimiser that `config` asks for, without memory of earlier rounds."""
    return StackedSgd(config) if config.optimizer == "sgd" else StackedAdamW(config)
