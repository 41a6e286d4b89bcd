"""One planning problem: what a plan costs, and what it must keep to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.strategy.observation import Floats, Ints
from wirelessfl.strategy.sampled_model import RoundModel

# Rounding that limits allow for.
_SLACK = 1e-9
_REPAIRS = 200


@dataclass(frozen=True)
class Budget:
    """What a client may spend on average.

    Attributes:
        name: The option that sets it, for messages.
        spent: What one participation takes. [clients, options]
        per_round: Allowed a round, whoever takes part; infinity if there is no such limit.
        per_hour: Allowed an hour of simulated time.
    """

    name: str
    spent: Floats
    per_round: float = np.inf
    per_hour: float = np.inf

    def ceiling(self, round_s: float) -> Floats:
        """Largest q that keeps to it if a round takes so long. [clients, options]"""
        allowed = min(self.per_round, self.per_hour * round_s / 3600.0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(self.spent > 0, allowed / self.spent, np.inf))


@dataclass(frozen=True)
class Problem:
    """One planning problem.

    Attributes:
        model: Round times of every client and option; options in rising order of rank.
        weights: Share a_n of the data. [clients]
        noise: noise_n gamma/k: the noise of a client that always takes part. [clients, options]
        constant: R - sum noise/q - sum drift: 1 - sum noise_n.
        drift: Penalty of training few ranks. [clients, options]
        floor: Smallest q_n allowed, positive. [clients]
        expected_max: Largest sum of all q_n.
        budgets: What clients may spend.
        haste: Exponent of the round time in the cost.
    """

    model: RoundModel
    weights: Floats
    noise: Floats
    constant: float
    drift: Floats
    floor: Floats
    expected_max: float = np.inf
    budgets: tuple[Budget, ...] = ()
    haste: float = 1.0

    def rounds(self, q: Floats, option: Ints) -> float:
        """Rounds relative to full participation at full rank."""
        rows = np.arange(len(q))
        noise = self.noise[rows, option] / q
        return self.constant + float(np.sum(noise + self.drift[rows, option]))

    def cost(self, q: Floats, option: Ints) -> float:
        """Expected round time, to the power of `haste`, times rounds."""
        return float(self.model.round_s(q, option) ** self.haste) * self.rounds(q, option)

    def only(self, rows: Ints) -> Problem:
        """What concerns some clients, but for their times: their best response stays the same."""
        return replace(
            self,
            weights=self.weights[rows],
            noise=self.noise[rows],
            drift=self.drift[rows],
            floor=self.floor[rows],
            budgets=tuple(replace(b, spent=b.spent[rows]) for b in self.budgets),
        )

    def ceiling(self, round_s: float) -> Floats:
        """Largest q_n each option allows if a round takes so long. [clients, options]"""
        ceiling = np.ones(self.noise.shape)
        for budget in self.budgets:
            np.minimum(ceiling, budget.ceiling(round_s), out=ceiling)
        return ceiling

    def best(
        self, price: Floats, worth: Floats | float, ceiling: Floats
    ) -> tuple[Floats, Ints, Floats]:
        """Minimiser of worth (noise/q + drift) + price q within the limits, client by client.

        Args:
            price: Of participation, positive. [..., clients, options]
            worth: Of a round saved.
            ceiling: Largest q. [..., clients, options]

        Returns:
            q, option, and price q. [..., clients]
        """
        noise, floor = self.noise * worth, self.floor[:, None]
        q = np.clip(np.sqrt(noise / price), floor, np.maximum(ceiling, floor))
        loss = noise / q + self.drift * worth + price * q
        if self.budgets:
            loss[ceiling < floor * (1 - _SLACK)] = np.inf
        option = loss.argmin(axis=-1)
        q, price = (np.take_along_axis(x, option[..., None], -1)[..., 0] for x in (q, price))
        return q, option, price * q

    def within(self, q: Floats, option: Ints) -> tuple[Floats, Ints]:
        """The plan moved within the limits, as rounds of its own length set them."""
        q = np.clip(q, self.floor, 1.0)
        if self.budgets:
            option = self._affordable_option(q, option)
            ceiling = self.ceiling(self.model.round_s(q, option))
            q = np.clip(q, self.floor, np.maximum(ceiling[np.arange(len(q)), option], self.floor))
        if q.sum() > self.expected_max:
            part = (self.expected_max - self.floor.sum()) / (q.sum() - self.floor.sum())
            q = self.floor + max(part, 0.0) * (q - self.floor)
        return q, option

    def affordable(self, q: Floats, option: Ints) -> tuple[Floats, Ints]:
        """The plan with less participation where it spends more than its own round time allows.

        Raises:
            InputError: No plan keeps to all limits.
        """
        rows = np.arange(len(q))
        for _ in range(_REPAIRS if self.budgets else 0):
            ceiling = self.ceiling(self.model.round_s(q, option))[rows, option]
            if np.all(q <= ceiling * (1 + _SLACK)):
                break
            q = np.minimum(q, ceiling)
        else:
            if self.budgets:
                q = 0.0 * q
        self._check(q)
        return q, option

    def _affordable_option(self, q: Floats, option: Ints) -> Ints:
        """Each client's option, or the largest it can afford at its floor."""
        rows = np.arange(len(q))
        allowed = self.ceiling(self.model.round_s(q, option)) >= self.floor[:, None] * (1 - _SLACK)
        last = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(axis=1)
        return np.where(allowed[rows, option] | ~allowed.any(axis=1), option, last)

    def _check(self, q: Floats) -> None:
        if self.floor.sum() > self.expected_max * (1 + _SLACK):
            raise InputError(
                f"strategy.participation.expected_max is {self.expected_max:g}, but q_min and "
                f"max_weight ask for {self.floor.sum():.3g} expected participants; lower q_min or "
                "raise expected_max or max_weight"
            )
        short = q < self.floor * (1 - 1e-6)
        if short.any():
            names = " and ".join(f"strategy.participation.{b.name}" for b in self.budgets)
            raise InputError(
                f"{names}: {int(short.sum())} clients cannot take part as often as q_min and "
                f"max_weight ask ({self.floor[short].max():.3g} at most) and keep to it, whatever "
                "they train; raise the budget, or lower q_min or raise max_weight"
            )
