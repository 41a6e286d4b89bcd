"""The theorem on a real LoRA product: bilinear, so its constants hold on a region only.

Client n's loss is ||B A - W_n||^2 / 2, three by three, rank 3, without minibatch noise. Nothing is
smooth on all of space here. L is that of the region where ||B|| and ||A|| stay below a radius (and
their scaled sketches with them), and the test checks that no model of any run, global or local,
leaves it. zeta_n^2 and delta_n^2 hold in expectation, as the proof needs them: they are the largest
means over the runs at any round. Expectations over participation and sketches at a given model are
exact; those over models are means of independent runs.
"""

from __future__ import annotations

import numpy as np

from tests.strategy.quadratics import every_sketch
from wirelessfl.strategy.bound import Constants, bound, largest_x
from wirelessfl.strategy.observation import Floats

CLIENTS, RANK, STEPS, ROUNDS, RUNS = 4, 3, 2, 150, 200
RADIUS = 1.25
WEIGHTS, Q = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.9, 0.5, 0.6, 0.3])
K = np.array([2, 3, 2, 1])
RHO = RANK / K


def gradients(b: Floats, a: Floats, sketch: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Of ||B S A - W||^2/2 in B and A, for sketches that broadcast. [..., 3, 3] each"""
    error = (b * sketch[..., None, :]) @ a - target
    for_b = (error @ a.swapaxes(-1, -2)) * sketch[..., None, :]
    return for_b, sketch[..., :, None] * (b.swapaxes(-1, -2) @ error)


def squared(parts: tuple[Floats, Floats]) -> Floats:
    return sum(np.sum(part**2, axis=(-1, -2)) for part in parts)  # type: ignore[return-value]


def look(b: Floats, a: Floats, targets: Floats) -> tuple[Floats, Floats, Floats]:
    """Means over runs: ||grad f^S||^2, zeta_n^2 and the excess variance delta_n^2 [clients]."""
    means, variances = [], []
    for n in range(CLIENTS):
        sketches = every_sketch(int(K[n]), RANK)[:, None]
        each = gradients(b, a, sketches, targets[n])
        mean = tuple(part.mean(axis=0) for part in each)
        means.append(mean)
        variances.append((squared(each) - squared(mean)).mean())
    total = tuple(sum(w * m[i] for w, m in zip(WEIGHTS, means, strict=True)) for i in (0, 1))
    apart = [squared((m[0] - total[0], m[1] - total[1])).mean() for m in means]
    excess = [
        0.0 if rho == 1 else variance / (rho - 1) - squared(mean).mean()
        for rho, variance, mean in zip(RHO, variances, means, strict=True)
    ]
    return squared(total).mean(), np.array(apart), np.array(excess)  # type: ignore[arg-type]


def largest_norm(*matrices: Floats) -> float:
    return max(float(np.linalg.norm(m, 2, axis=(-2, -1)).max()) for m in matrices)


def test_theorem_holds_on_a_lora_product() -> None:
    rng = np.random.default_rng(0)
    targets = np.diag([1.0, 0.6, 0.3]) + 0.15 * rng.normal(size=(CLIENTS, 3, 3))
    b = np.tile(0.4 * rng.normal(size=(3, 3)), (RUNS, 1, 1))
    a = np.tile(0.4 * rng.normal(size=(3, 3)), (RUNS, 1, 1))
    # |d^2 F| <= (||A||^2 + ||B||^2 + ||B A - W||) |d|^2, at points scaled by up to sqrt(rho).
    smoothness = float(RHO.max()) * 3 * RADIUS**2 + largest_norm(targets)
    gap = sum(
        WEIGHTS[n]
        * np.mean(
            [
                0.5 * np.sum(((b[0] * s) @ a[0] - targets[n]) ** 2)
                for s in every_sketch(int(K[n]), RANK)
            ]
        )
        for n in range(CLIENTS)
    )  # the infimum is at least 0
    none = np.zeros(CLIENTS)
    unknown = Constants(smoothness, float(gap), WEIGHTS, none, none, none, RANK, STEPS)
    step = float(largest_x(unknown, Q, K)) / (smoothness * STEPS)
    seen, largest = [], 0.0
    for _ in range(ROUNDS):
        seen.append(look(b, a, targets))
        change_b, change_a = np.zeros_like(b), np.zeros_like(a)
        for n in range(CLIENTS):
            order = np.argsort(rng.random((RUNS, RANK)), axis=1)
            sketch = np.where(order < K[n], RHO[n], 0.0)
            joined = (rng.random(RUNS) < Q[n])[:, None, None] * WEIGHTS[n] / Q[n]
            own_b, own_a = b, a
            for _ in range(STEPS):
                largest = max(largest, largest_norm(own_b, own_a))
                for_b, for_a = gradients(own_b, own_a, sketch, targets[n])
                own_b, own_a = own_b - step * for_b, own_a - step * for_a
            change_b, change_a = change_b + joined * (own_b - b), change_a + joined * (own_a - a)
        b, a = b + change_b, a + change_a
    assert max(largest, largest_norm(b, a)) < RADIUS
    constants = Constants(
        smoothness=smoothness,
        gap=float(gap),
        weights=WEIGHTS,
        dissimilarity=np.max([s[1] for s in seen], axis=0),
        sketch_noise=np.maximum(0.0, np.max([s[2] for s in seen], axis=0)),
        data_noise=none,
        rank=RANK,
        local_steps=STEPS,
    )
    assert constants.sketch_noise.max() > 0.1  # here the sketch does change the gradient
    measured = float(np.mean([s[0] for s in seen]))
    ratio = float(bound(constants, Q, K, step, ROUNDS).total) / measured
    assert 1.0 <= ratio < 10.0  # 6.0 when last looked at
