"""Where to look for a strategy's best settings: even coverage first, then where it did well.

The first half of the trials are Halton points on a logarithmic scale, the same for all strategies
that share a setting, with the scenario's own settings before them; the second half is suggested by
TPE (Bergstra et al. 2011, by Optuna) from what came of the first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario

Value = int | float


@dataclass(frozen=True)
class Range:
    """A setting of a strategy and where to look for its value, on a logarithmic scale.

    Attributes:
        path: Field of the strategy, e.g. 'server.step'.
        low, high: Smallest and largest value.
        whole: Whether values are whole numbers.
    """

    path: str
    low: float
    high: float
    whole: bool


@dataclass(frozen=True)
class Trial:
    """One set of settings and what came of it.

    Attributes:
        number: Index, from 0.
        settings: Value of every range, by path.
        reached: On how many tuning seeds the target was reached.
        score_s: Mean over seeds of the seconds to the target; where it was not reached, twice the
            time it would take at the pace of the run; infinity if a run failed.
    """

    number: int
    settings: Mapping[str, Value]
    reached: int
    score_s: float


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Trials from the best to the worst: that reached the target most often, then the fastest."""
    return sorted(trials, key=lambda trial: (-trial.reached, trial.score_s, trial.number))


# How many take part, in the words of the strategies that have a say in it.
LEVELS = ("participation.expected", "participation.concurrency", "buffer")
# Steps, and the largest that means something.
STEPS = {"server.step": math.inf, "server.step_max": math.inf, "mixing.alpha": 1.0}


def default_ranges(scenario: Scenario) -> list[Range]:
    """What is worth tuning of the scenario's strategy: its step, and how many take part.

    A step is looked for from a quarter of the scenario's to four times as much, participation from
    one client to all of them.
    """
    tuned = scenario.strategy.model_dump()
    ranges = []
    for path, highest in STEPS.items():
        step = value_of(tuned, path)
        if isinstance(step, float):
            ranges.append(Range(path, step / 4, min(step * 4, highest), whole=False))
    if value_of(tuned, "server.step") != "coupled":
        ranges = [one for one in ranges if one.path != "server.step_max"]
    for path in LEVELS:
        level = value_of(tuned, path)
        if level is not None:
            ranges.append(Range(path, 1.0, float(scenario.devices.count), isinstance(level, int)))
    return ranges


def parse_range(text: str, scenario: Scenario) -> Range:
    """'server.step=0.5..8' as the range of a number of the scenario's strategy.

    Raises:
        InputError: On anything else.
    """
    path, _, ends = text.partition("=")
    low, dots, high = ends.partition("..")
    value = value_of(scenario.strategy.model_dump(), path)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"--over {text}: {path!r} is no number of the strategy, as server.step is")
    try:
        found = Range(path, float(low), float(high), isinstance(value, int))
    except ValueError:
        found = Range(path, 0.0, 0.0, whole=False)
    if not dots or not 0 < found.low < found.high < math.inf:
        raise InputError(f"--over {text}: write two positive numbers, e.g. 'server.step=0.5..8'")
    return found


def value_of(strategy: Mapping[str, Any], path: str) -> Any:
    """What a strategy's fields hold at a dotted path; None if there is no such field."""
    node: Any = strategy
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


class Search:
    """Suggests settings: Halton points first, then TPE on what came of them."""

    def __init__(self, scenario: Scenario, ranges: Sequence[Range], trials: int) -> None:
        import optuna  # slow to import

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._even = optuna.samplers.QMCSampler(qmc_type="halton", scramble=True, seed=0)
            self._clever = optuna.samplers.TPESampler(seed=0, n_startup_trials=0)
        self._study = optuna.create_study(sampler=self._even)
        self._failed = optuna.trial.TrialState.FAIL
        self._ranges, self._even_trials = ranges, (trials + 1) // 2
        self._asked: dict[int, optuna.trial.Trial] = {}
        given = scenario.strategy.model_dump()
        own = {one.path: value_of(given, one.path) for one in ranges}
        if all(one.low <= own[one.path] <= one.high for one in ranges):
            self._study.enqueue_trial(own)

    def ask(self, count: int) -> dict[int, dict[str, Value]]:
        """Settings of the next trials, by number."""
        found = {}
        for _ in range(count):
            even = len(self._asked) < self._even_trials
            self._study.sampler = self._even if even else self._clever
            trial = self._study.ask()
            self._asked[trial.number] = trial
            found[trial.number] = {
                one.path: number(
                    one,
                    trial.suggest_int(one.path, round(one.low), round(one.high), log=True)
                    if one.whole
                    else trial.suggest_float(one.path, one.low, one.high, log=True),
                )
                for one in self._ranges
            }
        return found

    def tell(self, trial: Trial) -> None:
        """What came of a trial."""
        asked = self._asked[trial.number]
        if math.isinf(trial.score_s):
            self._study.tell(asked, state=self._failed)
        else:
            self._study.tell(asked, trial.score_s)


def number(one: Range, value: float) -> Value:
    """A value of a range as it is tried, written and read: three digits are enough."""
    return round(value) if one.whole else float(f"{value:.3g}")
