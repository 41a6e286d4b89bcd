"""Draws of a fixed size, from one uniform on (0, 1) a client: with and without replacement."""

from __future__ import annotations

import numpy as np

from wirelessfl.strategy.observation import Floats, Ints


def with_replacement(draws: Floats, uniforms: Floats) -> Ints:
    """How often each client comes up in K independent draws, client n with odds draws_n. [clients]

    Args:
        draws: Expected number of times that each is drawn; they sum to a whole number K. [clients]
        uniforms: At least K draws on (0, 1); the first K are used.
    """
    number = round(float(draws.sum()))
    if not number:
        return np.zeros(len(draws), dtype=np.int64)
    cumulative = np.cumsum(draws)
    drawn = np.searchsorted(cumulative / cumulative[-1], uniforms[:number], side="right")
    return np.bincount(drawn, minlength=len(draws)).astype(np.int64)


def without_replacement(q: Floats, uniforms: Floats) -> Ints:
    """1 for exactly sum_n q_n clients, each with probability q_n, else 0. [clients]

    Systematic sampling in random order (Madow 1949): the clients lie side by side as intervals of
    length q_n, and whoever holds one of the points s, s + 1, s + 2, ... is drawn. The order is that
    of the uniforms and s the fraction of their sum, which is uniform and independent of the order.

    Args:
        q: Probabilities that sum to a whole number. [clients]
        uniforms: One draw on (0, 1) a client. [clients]
    """
    order = np.argsort(uniforms)
    ends = np.cumsum(q[order])
    ends[ends > ends[-1] - 1e-9] = round(float(ends[-1]))  # the last point is not lost to rounding
    points = np.ceil(ends - uniforms.sum() % 1.0)  # that lie before each end
    drawn = np.empty(len(q), dtype=np.int64)
    drawn[order] = np.diff(points, prepend=0.0)
    return drawn
