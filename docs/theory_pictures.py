"""Draw the picture of docs/theory.md: `make pictures`.

On federated sketched quadratics, where every expectation is exact (tests/strategy/quadratics.py).
Prints the numbers that the page quotes. Equal code gives equal files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from tests.strategy.quadratics import (
    Quadratics,
    bound_over_exact,
    fewest_rounds,
    plans_of_all_sizes,
    random_quadratics,
)
from wirelessfl.strategy.bound import bound, bound_terms, largest_x, relative_noise, rounds_to
from wirelessfl.strategy.observation import Floats
from wirelessfl.trace.plots import COLOURS, STYLE

IMAGE = Path(__file__).parent / "images" / "theory-bound.png"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK = COLOURS
GREY = "#777777"
LARGE: dict[Any, Any] = {"font.size": 12, "axes.titlesize": 12, "lines.linewidth": 1.8}
START, TARGET = np.full(4, 3.0), 0.03


def measured_and_bound(axes: Axes) -> None:
    """Mean squared gradient over the rounds so far, and what the theorem allows it to be."""
    numbers = np.unique(np.geomspace(1, 1000, 60).astype(int))
    ratios = []
    for level, colour in ((0.9, BLUE), (0.1, ORANGE)):
        problem = replace(random_quadratics(3), q=np.full(5, level), k=np.array([2, 3, 4, 2, 3]))
        known = problem.constants(START, problem.moments(START, 0.1, 1.0, 1))
        x = float(largest_x(known, problem.q, problem.k))
        step = x / (known.smoothness * problem.local_steps)
        moments = problem.moments(START, step, 1.0, int(numbers[-1]))
        constants = problem.constants(START, moments)
        squares = problem.squared_gradient(moments)
        mean = np.cumsum(squares)[numbers - 1] / numbers
        allowed = [bound(constants, problem.q, problem.k, step, int(r)).total for r in numbers]
        axes.plot(numbers, allowed, "--", color=colour, label=f"theorem, q = {level}")
        axes.plot(numbers, mean, color=colour, label=f"exact, q = {level}")
        ratios += [allowed[-1] / mean[-1]]
    print("bound over exact after 1,000 rounds:", np.round(ratios, 1))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rounds R")
    axes.set_ylabel("mean of $E||\\nabla f^S||^2$ over R rounds")
    axes.legend(loc="lower left")


def print_ratios() -> None:
    """The bound over the exact value on 40 random problems of each kind."""
    for separable, name in ((True, "separable"), (False, "coupled")):
        for rounds in (50, 400):
            problems = [random_quadratics(seed, separable=separable) for seed in range(40)]
            ratios = [bound_over_exact(problem, START, rounds) for problem in problems]
            print(f"{name}, R = {rounds}: bound over exact, median ", end="")
            print(f"{np.median(ratios):.1f}, from {min(ratios):.1f} to {max(ratios):.1f}")


def law_of_rounds(axes: Axes) -> None:
    """Rounds at the best step of each plan against 1 + NSR, with the bound's own count."""
    ranks = np.array([plan.k[0] for plan in plans_of_all_sizes(_noisy(3))])
    law, rounds, steps, theorem = _plans(_noisy(3), TARGET)
    scale = np.exp(np.mean(np.log(rounds / law)))
    axes.plot([1, 12], [scale, 12 * scale], color=BLACK, label=f"{scale:.1f} (1 + NSR)")
    for k, colour, marker in zip((1, 2, 3, 4), (ORANGE, AMBER, SKY, BLUE), "sd^o", strict=True):
        axes.plot(law[ranks == k], rounds[ranks == k], marker, color=colour, ms=8,
                  mec="white", label=f"rank {k} of 4")  # fmt: skip
    print(f"R/(1+NSR) from {np.min(rounds / law):.2f} to {np.max(rounds / law):.2f}")
    print(f"x (1+NSR) from {np.min(steps * law):.2f} to {np.max(steps * law):.2f}")
    print(f"rank correlation: law {spearmanr(law, rounds).statistic:.3f}, ", end="")
    print(f"theorem {spearmanr(theorem, rounds).statistic:.3f}")
    print(f"theorem's rounds over real ones, median: {np.median(theorem / rounds):.0f}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("1 + NSR (predicted)")
    axes.set_ylabel("rounds to 3% of the squared gradient")
    axes.legend(loc="upper left")


def print_laws() -> None:
    """How well the law does on ten problems and three targets, the drawn one among them."""
    found = [_plans(_noisy(seed), target) for seed in range(10) for target in (0.1, 0.03, 0.01)]
    for name, values in (
        ("rank correlation, law", [spearmanr(law, rounds).statistic for law, rounds, *_ in found]),
        ("rank correlation, theorem", [spearmanr(f[3], f[1]).statistic for f in found]),
        ("largest over smallest R/(1+NSR)", [np.ptp(np.log(f[1] / f[0])) for f in found]),
        ("largest over smallest x (1+NSR)", [np.ptp(np.log(f[2] * f[0])) for f in found]),
        ("theorem's rounds over real ones", [np.median(np.log(f[3] / f[1])) for f in found]),
    ):
        shown = np.asarray(values) if "corr" in name else np.exp(values)
        print(f"30 cases: {name}: median {np.median(shown):.4g}, ", end="")
        print(f"from {min(shown):.4g} to {max(shown):.4g}")


def _noisy(seed: int) -> Quadratics:
    """Twelve clients with coupled quadratics and minibatch noise."""
    problem = random_quadratics(seed, clients=12, local_steps=2)
    return replace(problem, data_noise=np.full(12, 0.2))


def _plans(problem: Quadratics, target: float) -> list[Floats]:
    """1 + NSR, rounds, best x and the rounds the theorem asks for, of 20 plans. [plans] each"""
    rows = [_plan(plan, target) for plan in plans_of_all_sizes(problem)]
    return [np.array(column) for column in zip(*rows, strict=True)]


def _plan(plan: Quadratics, target: float) -> tuple[float, float, float, float]:
    """The same of one plan."""
    at = plan.moments(START, 0.05, 1.0, 1)
    constants = plan.constants(START, at)
    first = float(plan.squared_gradient(at)[0])
    noise = relative_noise(constants, first * np.sqrt(target))
    terms = bound_terms(plan.q, plan.k, plan.rank, plan.weights, noise, drift=0.0)
    needed, x = fewest_rounds(plan, START, target)
    enough, _ = rounds_to(constants, plan.q, plan.k, target * first)
    return terms.relative_rounds, needed, x, float(enough)


def main() -> None:
    """Write the picture into docs/images."""
    with mpl.rc_context(STYLE | LARGE):
        figure = Figure(figsize=(11.0, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        measured_and_bound(left)
        law_of_rounds(right)
        print_ratios()
        print_laws()
        figure.savefig(IMAGE, dpi=150, metadata={"Software": None})
    print(IMAGE)


if __name__ == "__main__":
    main()
