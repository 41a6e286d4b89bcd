"""Federated sketched quadratics, on which everything the theory speaks of is computed exactly.

Client n's loss is F_n(X) = (X - x_n)' Q_n (X - x_n) / 2 and it trains F_n(P X), P = S^(1/2): the
sketch enters a model's parameters as it enters LoRA's (B S^(1/2) and S^(1/2) A), and the gradient
P grad F_n(P X) is zero outside the sketch. Minibatch noise of the gradient is S xi with E xi xi' =
(sigma_n^2/gamma) I. Local updates are affine in X, so mean and covariance of the model follow from
all sketches and participant sets without sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from wirelessfl.strategy.bound import Constants
from wirelessfl.strategy.observation import Floats, Ints


def every_sketch(k: int, gamma: int) -> Floats:
    """Diagonals of all equally likely sketches. [sketches, gamma]"""
    chosen = list(combinations(range(gamma), k))
    diagonals = np.zeros((len(chosen), gamma))
    for diagonal, active in zip(diagonals, chosen, strict=True):
        diagonal[list(active)] = gamma / k
    return diagonals


@dataclass(frozen=True)
class Local:
    """What a client returns for each sketch: D = slope X + offset + noise. [sketches, ...]

    Attributes:
        noise: Covariance of the noise.
        strayed: The same three for X_h - X at each local step h = 0..H-1. [sketches, steps, ...]
    """

    slope: Floats
    offset: Floats
    noise: Floats
    strayed: tuple[Floats, Floats, Floats]

    def lifted(self) -> Floats:
        """The affine map as a matrix that acts on (X, 1). [sketches, gamma, gamma + 1]"""
        return np.concatenate([self.slope, self.offset[..., None]], axis=-1)

    def drift(self, x: Floats) -> float:
        """V: mean over sketches, noise and local steps of ||X_h - X||^2."""
        slope, offset, noise = self.strayed
        squares = np.sum((slope @ x + offset) ** 2, axis=-1) + np.trace(noise, axis1=-2, axis2=-1)
        return float(squares.mean())


@dataclass(frozen=True)
class Quadratics:
    """The problem, and how clients take part in it.

    Attributes:
        hessians: Q_n. [clients, gamma, gamma]
        optima: x_n. [clients, gamma]
        weights: a_n. [clients]
        data_noise: sigma_n^2. [clients]
        q: Participation. [clients]
        k: Ranks. [clients]
        local_steps: H.
    """

    hessians: Floats
    optima: Floats
    weights: Floats
    data_noise: Floats
    q: Floats
    k: Ints
    local_steps: int

    @property
    def rank(self) -> int:
        return self.optima.shape[1]

    @property
    def rho(self) -> Floats:
        return np.asarray(self.rank / self.k)

    def sketched(self, n: int) -> tuple[Floats, Floats]:
        """Gradient of F_n(.; S) for every S: slope and offset. [sketches, ...]"""
        root = np.sqrt(every_sketch(int(self.k[n]), self.rank))
        slope = root[:, :, None] * self.hessians[n] * root[:, None, :]
        return slope, -root * (self.hessians[n] @ self.optima[n])

    def local(self, n: int, step: float) -> Local:
        """H local steps of client n."""
        slope, offset = self.sketched(n)
        sketches = every_sketch(int(self.k[n]), self.rank)
        added = np.einsum("si,ij->sij", sketches**2, np.eye(self.rank))
        added *= step**2 * self.data_noise[n] / self.rank
        matrix, shift = np.zeros_like(slope), np.zeros_like(offset)
        covariance = np.zeros_like(slope)
        history = []
        once = np.eye(self.rank) - step * slope
        for _ in range(self.local_steps):
            history.append((matrix, shift, covariance))
            matrix = once @ matrix - step * slope
            shift = (once @ shift[..., None])[..., 0] - step * offset
            covariance = once @ covariance @ once.swapaxes(1, 2) + added
        scale = -step * self.local_steps
        return Local(
            slope=matrix / scale,
            offset=shift / scale,
            noise=covariance / scale**2,
            strayed=tuple(np.stack(part, axis=1) for part in zip(*history, strict=True)),  # type: ignore
        )

    def mean_gradients(self) -> Floats:
        """grad F_n^S as matrices that act on (X, 1). [clients, gamma, gamma + 1]"""
        means = []
        for n in range(len(self.q)):
            slope, offset = self.sketched(n)
            means.append(np.hstack([slope.mean(axis=0), offset.mean(axis=0)[:, None]]))
        return np.stack(means)

    def gap(self, start: Floats) -> float:
        """f^S(X) - min f^S."""
        total = np.tensordot(self.weights, self.mean_gradients(), 1)
        lowest = np.linalg.solve(total[:, :-1], -total[:, -1])
        return float(0.5 * (start - lowest) @ total[:, :-1] @ (start - lowest))

    def moments(self, start: Floats, local_step: float, server_step: float, rounds: int) -> Floats:
        """E (X, 1)(X, 1)' before each round. [rounds, gamma + 1, gamma + 1]"""
        d, step = self.rank, server_step * local_step * self.local_steps
        locals_ = [self.local(n, local_step) for n in range(len(self.q))]
        lifted = [local.lifted() for local in locals_]
        means = np.stack([z.mean(axis=0) for z in lifted]) * self.weights[:, None, None]
        total = means.sum(axis=0)
        moment = np.outer(np.append(start, 1.0), np.append(start, 1.0))
        seen = []
        for _ in range(rounds):
            seen.append(moment)
            square = total @ moment @ total.T
            for n, (z, local) in enumerate(zip(lifted, locals_, strict=True)):
                own = np.mean(z @ moment @ z.swapaxes(1, 2) + local.noise, axis=0)
                square += self.weights[n] ** 2 / self.q[n] * own - means[n] @ moment @ means[n].T
            cross = total @ moment
            after = moment.copy()
            after[:d] -= step * cross
            after[:, :d] -= step * cross.T
            after[:d, :d] += step**2 * square
            moment = after
        return np.stack(seen)

    def squared_gradient(self, moments: Floats) -> Floats:
        """E||grad f^S(X)||^2 of each moment. [rounds]"""
        total = np.tensordot(self.weights, self.mean_gradients(), 1)
        return _mean_square(total, moments)

    def mean_gap(self, moments: Floats) -> Floats:
        """E f^S(X) - min f^S of each moment. [rounds]"""
        total = np.tensordot(self.weights, self.mean_gradients(), 1)
        lowest = np.linalg.solve(total[:, :-1], -total[:, -1])
        away = np.hstack([np.eye(self.rank), -lowest[:, None]])
        return 0.5 * np.einsum("ij,jk,rkl,il->r", total[:, :-1], away, moments, away)

    def constants(self, start: Floats, moments: Floats) -> Constants:
        """The theorem's constants: zeta_n^2 and delta_n^2 in expectation along a run.

        With moments of single points they hold at these points.
        """
        means = self.mean_gradients()
        total = np.tensordot(self.weights, means, 1)
        dissimilarity, sketch_noise = [], []
        for n, (mean, rho) in enumerate(zip(means, self.rho, strict=True)):
            dissimilarity.append(_mean_square(mean - total, moments).max())
            slope, offset = self.sketched(n)
            deviation = np.concatenate([slope, offset[..., None]], axis=-1) - mean
            variance = np.mean([_mean_square(z, moments) for z in deviation], axis=0)
            excess = 0.0 if rho == 1 else variance / (rho - 1) - _mean_square(mean, moments)
            sketch_noise.append(max(0.0, float(np.max(excess))))
        return Constants(
            smoothness=float(np.linalg.eigvalsh(self.hessians).max()),
            gap=self.gap(start),
            weights=self.weights,
            dissimilarity=np.array(dissimilarity),
            sketch_noise=np.array(sketch_noise),
            data_noise=self.data_noise,
            rank=self.rank,
            local_steps=self.local_steps,
        )

    def with_plan(self, q: Floats, k: Ints) -> Quadratics:
        return replace(self, q=q, k=k)


def _mean_square(matrix: Floats, moments: Floats) -> Floats:
    """E||M (X, 1)||^2 of each moment. [rounds]"""
    return np.einsum("ij,rjk,ik->r", matrix, moments, matrix, optimize=True)


def random_quadratics(
    seed: int, clients: int = 5, rank: int = 4, local_steps: int = 3, separable: bool = False
) -> Quadratics:
    """Hessians with eigenvalues in (0, 1], the same diagonal one for everybody if separable."""
    rng = np.random.default_rng(seed)
    if separable:
        hessians = np.tile(np.diag(rng.uniform(0.05, 1.0, rank)), (clients, 1, 1))
    else:
        turns = np.linalg.qr(rng.normal(size=(clients, rank, rank)))[0]
        hessians = np.einsum("nij,nj,nkj->nik", turns, rng.uniform(0.05, 1.0, (clients, rank)), turns)
    weights = rng.lognormal(0.0, 0.7, clients)
    return Quadratics(
        hessians=hessians,
        optima=rng.normal(size=rank) + 0.7 * rng.normal(size=(clients, rank)),
        weights=weights / weights.sum(),
        data_noise=rng.uniform(0.0, 1.0, clients),
        q=rng.uniform(0.2, 1.0, clients),
        k=rng.integers(1, rank + 1, clients),
        local_steps=local_steps,
    )
