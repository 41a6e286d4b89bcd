"""The largest useful server step, 1/L, read off how the update turns from round to round.

A step s moves the model by s U. With H the curvature of the objective, in the units in which U is
minus the gradient, the next update is expected to be E[U'] = E U - s H U, whoever takes part in it,
so (`docs/theory.md`, "Coupled steps")

    E[ <E U, U> - <U', U> ] = s E[U^T H U] = s lambda E||U||^2,

and the step at which a round gains most is 1/(lambda (1 + NSR)). Rounds show <U', U> and ||U||^2 as
they are, and <E U, U> by S (see `estimator`): lambda is the ratio of their sums. Each round counts
by its step, since one that hardly moves the model, such as a pilot's, shows noise and no curvature.
An update against the last one (<U', U> < 0) says that the step was beyond the best.

lambda is a mean, and directions of more curvature overshoot while it still looks harmless: what
lies along them is multiplied by 1 - s lambda_i, and grows beyond s = 2/lambda_i. So with little
noise steps end at `BOLDEST`/lambda, at which only what is more than four times the mean can grow;
where curvature is even, that gives away a quarter of a round's gain. Own derivation,
`reconstructed`.
"""

from __future__ import annotations

import math

# Weight of the past, as in what is known of the signal.
MEMORY = 0.9
# So many rounds at the best step is what is believed at first worth.
PSEUDO_ROUNDS = 1.0
# Largest step, as a part of 1/lambda, however little noise there is.
BOLDEST = 0.5


class StepLimit:
    """Running estimate of 1/lambda, as a limit of steps.

    Args:
        ceiling: What is believed of it before anything is measured, and never exceeded.
    """

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._turned, self._moved = 0.0, 0.0
        self._last: tuple[float, float, float, float] | None = None

    def observe(
        self, signal: float, squared_norm: float, product: float, step: float, level: float
    ) -> None:
        """Take in one round.

        Args:
            signal: The round's sample of S, over `level`.
            squared_norm: ||U||^2.
            product: <U, U of the round before>; NaN if there was none.
            step: Server step that followed.
            level: What rounds are measured by, so that early ones do not count for more because
                updates were longer.
        """
        if self._last is not None and math.isfinite(product):
            before, moved, last_level, last_step = self._last
            self._turned = MEMORY * self._turned + last_step * (before - product / last_level)
            self._moved = MEMORY * self._moved + last_step * moved
        self._last = (signal, step * squared_norm / level, level, step)

    def largest(self, signal: float) -> float:
        """1/lambda or the ceiling, given the running mean of S over its level.

        Rounds at the best step turn by S and move by S/lambda: the ceiling counts as some of them.
        Noise may make the sum of turns negative; it counts as none.
        """
        belief = PSEUDO_ROUNDS * self._ceiling * signal
        found = (belief * self._ceiling + self._moved) / (belief + max(self._turned, 0.0))
        return min(found, self._ceiling)
