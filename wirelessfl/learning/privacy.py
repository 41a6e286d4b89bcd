"""Differential privacy of the clients: clipped updates, a noisy sum, and what the rounds cost.

A round releases (McMahan et al., arXiv 1710.06963, with weights)

    U = sum_{n in S} w_n min(1, C / ||delta_n||) delta_n + N(0, (z Delta)^2 I),
    Delta = C max_n w_n,   w_n = a_n/q_n,

S drawn independently, client n with probability q_n. One client changes the sum by at most Delta,
so this is a Gaussian mechanism of noise multiplier z under Poisson sampling, whose cost over rounds
Opacus counts. The maximum is over everybody who could have been drawn, not over who was, and noise
is added even when nobody's update arrives: neither may tell who took part.

Clients differ in q_n and w_n. Each round is counted as if the worst client had both the largest q
and the largest weight. The cost falls with smaller q and with larger noise over weight, so this
bounds every client's epsilon; those with a small q_n or w_n lose less. Shares a_n and probabilities
q_n are taken to be public. The server is trusted, and so is the trace, which records raw norms and
losses.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.state import State
from wirelessfl.scenario.privacy import PrivacyConfig

Floats = NDArray[np.float64]

_TOLERANCE = 0.01  # of a given epsilon, which the noise may undershoot but never exceed
# Orders of the Renyi divergence: Opacus's, and beyond for runs that cost little.
_ORDERS = [1 + x / 10 for x in range(1, 100)] + [*range(12, 64), 64, 80, 96, 128, 192, 256, 512]


class Privacy:
    """The noise of a run, and its cost so far.

    Args:
        config: The `learning.privacy` section.
        rounds: Rounds that a given epsilon has to last for.
        seed: The scenario's seed; the noise follows from it and the round.

    Raises:
        InputError: Opacus is not installed.
    """

    def __init__(self, config: PrivacyConfig, rounds: int, seed: int) -> None:
        self._config, self._rounds, self._seed = config, rounds, seed
        self._opacus = _opacus()
        self._noise_multiplier = config.noise_multiplier
        self._sampled: list[float] = []

    def factors(self, squared_norms: Sequence[float] | Floats) -> Floats:
        """min(1, C / ||delta_n||) of updates with these squared norms. [m]"""
        norms = np.sqrt(np.asarray(squared_norms, np.float64))
        return self._config.clip_norm / np.maximum(norms, self._config.clip_norm)

    def noise(self, round: int, weight: float, probability: float, parameters: int) -> Floats:
        """The noise of a round that is released, which from then on counts. [parameters]

        Args:
            round: Which one.
            weight: Largest weight that anybody could have had.
            probability: Largest probability with which anybody was drawn.
            parameters: Numbers that updates can change.
        """
        deviation = self.noise_multiplier(probability) * self._config.clip_norm * weight
        self._sampled.append(probability)
        if deviation == 0:
            return np.zeros(parameters)
        draws = randomness.generator(self._seed, "privacy", round).standard_normal(parameters)
        return np.asarray(deviation * draws, np.float64)

    def noise_multiplier(self, probability: float) -> float:
        """z: as configured, or what makes all rounds at this probability cost epsilon."""
        if self._noise_multiplier is None:
            assert self._config.epsilon is not None
            self._noise_multiplier = self._calibrated(self._config.epsilon, probability)
        return self._noise_multiplier

    def _calibrated(self, epsilon: float, probability: float) -> float:
        try:
            with _any_order():
                return float(
                    self._opacus.get_noise_multiplier(
                        target_epsilon=epsilon,
                        target_delta=self._config.delta,
                        sample_rate=probability,
                        steps=self._rounds,
                        accountant=self._config.accountant,
                        epsilon_tolerance=_TOLERANCE * epsilon,
                        alphas=_ORDERS,
                    )
                )
        except ValueError:
            raise InputError(
                f"learning.privacy.epsilon: no noise makes {self._rounds} rounds cost as little as "
                f"{epsilon:g}; allow more, a larger delta, or fewer rounds (stop.rounds)"
            ) from None

    def epsilon(self) -> float:
        """What the rounds so far cost at the configured delta; infinity without noise."""
        if not self._sampled:
            return 0.0
        assert self._noise_multiplier is not None
        if self._noise_multiplier == 0:
            return math.inf
        accountant = self._opacus.create_accountant(self._config.accountant)
        accountant.history = [
            (self._noise_multiplier, probability, len(list(rounds)))
            for probability, rounds in itertools.groupby(sorted(self._sampled))
        ]
        with _any_order():
            return float(accountant.get_epsilon(self._config.delta, alphas=_ORDERS))

    def state(self) -> State:
        """See `wirelessfl.learning.state`."""
        multiplier = [] if self._noise_multiplier is None else [self._noise_multiplier]
        return {"sampled": np.array(self._sampled), "multiplier": np.array(multiplier)}

    def load(self, state: State) -> None:
        """Go on from a `state`."""
        self._sampled = state["sampled"].tolist()
        self._noise_multiplier = next(iter(state["multiplier"].tolist()), None)

    def summary(self) -> dict[str, Any]:
        """What it cost, for the trace; epsilon is None where it has no bound."""
        epsilon = self.epsilon()
        return {
            "epsilon": epsilon if math.isfinite(epsilon) else None,
            "delta": self._config.delta,
            "accountant": self._config.accountant,
            "opacus": version("opacus"),
            "clip_norm": self._config.clip_norm,
            "noise_multiplier": self._noise_multiplier,
            "rounds": len(self._sampled),
            "largest_probability": max(self._sampled, default=0.0),
        }


@contextmanager
def _any_order() -> Iterator[None]:
    """The block may end at the first or last order: the bound is valid, if not the tightest."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the")
        yield


def _opacus() -> Any:
    """Opacus's accounting, which takes a second to import."""
    try:
        from opacus.accountants import utils
    except ImportError:
        raise InputError(
            "learning.privacy: counting what the rounds cost takes Opacus, which is not installed; "
            "pip install 'wirelessfl[privacy]'"
        ) from None
    return utils
