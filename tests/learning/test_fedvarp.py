"""What the server remembers of its clients changes the noise of the update, never its mean."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.learning.small_layout import LAYOUT, ChosenSketches
from wirelessfl.learning.aggregation import Aggregated, Aggregation, Sampling
from wirelessfl.learning.jobs import GradientJob, Vector
from wirelessfl.learning.methods.base import FirstComponents, Method
from wirelessfl.scenario.server_step import FixedStep

SHARES = np.array([0.5, 0.3, 0.2])
Q = np.array([0.5, 0.8, 1.0])
RANKS = (1, 2, 3)
FEDVARP = FixedStep(variance_reduction="fedvarp")
FITTED = FixedStep(variance_reduction="fitted")
Deltas = Callable[[int, Vector], Vector]


def masks(sketch: tuple[int, ...]) -> Vector:
    """S of one client over the flat vector: gamma / k at what it sends, 1 at the head."""
    diagonal = np.zeros(3, np.float32)
    diagonal[list(sketch)] = 3 / len(sketch)
    return np.concatenate([np.repeat(diagonal, 3), np.repeat(diagonal, 3), np.ones(2, np.float32)])


def steady(client: int, mask: Vector) -> Vector:
    """An update to first order: the same direction every round, seen through the sketch."""
    return mask * np.random.default_rng(client).normal(size=LAYOUT.size).astype(np.float32)


def moving(client: int, mask: Vector) -> Vector:
    """An update that also depends on which other components were trained with it."""
    other = np.random.default_rng([client, *mask.view(np.uint32).tolist()])
    return steady(client, mask) + (mask > 0) * other.normal(size=LAYOUT.size).astype(np.float32)


def sketches() -> Iterator[tuple[tuple[int, ...], ...]]:
    """All that the three clients can draw, equally likely."""
    yield from itertools.product(*(itertools.combinations(range(3), k) for k in RANKS))


def sets() -> Iterator[tuple[float, list[int]]]:
    """All participant sets with their probabilities."""
    for members in itertools.product((False, True), repeat=3):
        chosen = np.array(members)
        yield float(np.prod(np.where(chosen, Q, 1 - Q))), np.flatnonzero(chosen).tolist()


def aggregate(
    aggregation: Aggregation, members: list[int], deltas: list[Vector], ranks: tuple[int, ...]
) -> Aggregated:
    who = np.array(members, int)
    return aggregation.aggregate(
        np.zeros(LAYOUT.size, np.float32),
        [GradientJob(0, n, 1, ranks[n]) for n in members],
        [deltas[n] for n in members],
        (SHARES / Q)[who],
        1.0,
        Sampling(1, SHARES[who], float((SHARES / Q).max()), 1.0),
    )


def experienced(method: Method, update: Deltas, step: FixedStep = FEDVARP) -> Aggregation:
    """A server that has heard from clients 0 and 2, with sketches of then, and not from 1."""
    aggregation = Aggregation(method, step)
    for drawn in (((0,), (0, 1), (0, 1, 2)), ((2,), (1, 2), (0, 1, 2))):
        if isinstance(method, ChosenSketches):
            method.chosen = dict(enumerate(drawn))
        deltas = [update(n, masks(sketch)) for n, sketch in enumerate(drawn)]
        aggregate(aggregation, [0, 2], deltas, RANKS)
    return aggregation


@pytest.mark.parametrize("step", [FEDVARP, FITTED], ids=["fedvarp", "fitted"])
def test_the_mean_over_all_sets_and_sketches_is_the_mean_of_all_updates(step: FixedStep):
    method = ChosenSketches()
    start = experienced(method, moving, step)
    drawn = list(sketches())
    mean, wanted = np.zeros(LAYOUT.size), np.zeros(LAYOUT.size)
    for sketch in drawn:
        deltas = [moving(n, masks(own)) for n, own in enumerate(sketch)]
        wanted += sum(a * d for a, d in zip(SHARES, deltas, strict=True)) / len(drawn)
        for probability, members in sets():
            aggregation = copy.deepcopy(start)
            aggregation.method.chosen = dict(enumerate(sketch))  # type: ignore[attr-defined]
            result = aggregate(aggregation, members, deltas, RANKS)
            mean += probability / len(drawn) * result.change
    np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)


def test_without_sketches_the_mean_is_right_though_ranks_change():
    """A client that now sends fewer first components has not changed the others."""
    start = experienced(FirstComponents(LAYOUT, 0), lambda n, _: steady(n, masks((0, 1, 2))))
    ranks = (2, 1, 1)
    deltas = [2 * steady(n, masks(tuple(range(k))) > 0) for n, k in enumerate(ranks)]
    mean = np.zeros(LAYOUT.size)
    for probability, members in sets():
        mean += probability * aggregate(copy.deepcopy(start), members, deltas, ranks).change
    wanted = sum(a * d for a, d in zip(SHARES, deltas, strict=True))
    np.testing.assert_allclose(mean, wanted, rtol=1e-5, atol=1e-6)


def test_updates_that_stay_the_same_are_known_without_hearing_them():
    """Once every component of everybody was heard, neither sets nor sketches add noise."""
    method = ChosenSketches()
    aggregation = Aggregation(method, FEDVARP)
    for sketch in sketches():
        method.chosen = dict(enumerate(sketch))
        deltas = [steady(n, masks(own)) for n, own in enumerate(sketch)]
        aggregate(aggregation, [0, 1, 2], deltas, RANKS)
    whole = sum(a * steady(n, np.ones(LAYOUT.size, np.float32)) for n, a in enumerate(SHARES))
    for (_, members), sketch in itertools.product(sets(), sketches()):
        method.chosen = dict(enumerate(sketch))
        deltas = [steady(n, masks(own)) for n, own in enumerate(sketch)]
        result = aggregate(aggregation, members, deltas, RANKS)
        np.testing.assert_allclose(result.change, whole, rtol=1e-5, atol=1e-6)
        assert result.squared_norms == pytest.approx(np.zeros(len(members)), abs=1e-9)


def test_norms_are_those_of_what_was_not_expected():
    aggregation = Aggregation(FirstComponents(LAYOUT, 0), FEDVARP)
    first = [np.full(LAYOUT.size, 1.0, np.float32)] * 3
    second = [np.full(LAYOUT.size, 3.0, np.float32)] * 3
    full = (3, 3, 3)
    assert aggregate(aggregation, [0], first, full).squared_norms == pytest.approx([20.0])
    result = aggregate(aggregation, [0, 1], second, full)
    assert result.squared_norms == pytest.approx([4 * 20.0, 9 * 20.0])
    assert result.change == pytest.approx(0.5 * 1 + 1.0 * (3 - 1) + 0.375 * 3)


def test_only_clients_that_were_heard_are_remembered():
    aggregation = experienced(ChosenSketches(), steady)
    assert aggregation._memories is not None
    assert set(aggregation._memories._of) == {0, 2}


def changed(server: FixedStep, lasting: float, rounds: int) -> np.ndarray:
    """Squared norms of what was added up, for clients whose updates keep a share of their past."""
    rng, aggregation = np.random.default_rng(0), Aggregation(FirstComponents(LAYOUT, 0), server)
    own, found = [rng.normal(size=LAYOUT.size) for _ in range(3)], []
    for _ in range(rounds):
        fresh = [rng.normal(size=LAYOUT.size) for _ in range(3)]
        own = [
            lasting * old + np.sqrt(1 - lasting**2) * new
            for old, new in zip(own, fresh, strict=True)
        ]
        deltas = [delta.astype(np.float32) for delta in own]
        found.append(aggregate(aggregation, [0, 1, 2], deltas, (3, 3, 3)).squared_norms.mean())
    return np.array(found[20:])


@pytest.mark.parametrize("lasting", [0.0, 0.5, 0.95])
def test_fitted_memories_leave_the_least_noise_that_memories_can(lasting: float):
    """The best factor is the correlation c of updates, which leaves 1 - c^2 of their square."""
    rounds = 400
    plain = changed(FixedStep(), lasting, rounds).mean()
    fitted = changed(FITTED, lasting, rounds).mean()
    whole = changed(FEDVARP, lasting, rounds).mean()
    assert fitted / plain == pytest.approx(1 - lasting**2, abs=0.08)
    assert whole / plain == pytest.approx(2 - 2 * lasting, abs=0.15)
