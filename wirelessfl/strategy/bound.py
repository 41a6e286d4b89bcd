"""The convergence bound of `docs/theory.md`, and how it becomes the planner's law of rounds.

With rho_n = gamma/k_n, pi_n = q_n/rho_n, local step eta, server step s, x = eta L H and
Delta = f^S(X_0) - inf f^S, the theorem says

    (1/R) sum_r E||grad f^S(X_r)||^2 <= 4 Delta L / (s x R) + s x Psi + x^2 Phi,

    Psi = sum a_n^2 [10 (1/pi_n - 1) zeta_n^2 + 5 (rho_n - 1)/q_n delta_n^2 + 6 sigma_n^2/(H pi_n)],
    Phi = (1 - 1/H) sum a_n rho_n^2 [8 rho_n zeta_n^2 + 4 (rho_n - 1) delta_n^2
                                     + 6 rho_n sigma_n^2/H],

whenever x is at most `largest_x`. *Reconstructed*: our derivation, proved on that page.

Nobody knows these constants in practice. The planner uses the shape with measured constants:
`bound_terms` splits that law, rounds = R_0 (1 + NSR + drift), into what a plan costs and why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wirelessfl.strategy.observation import Floats, Ints


@dataclass(frozen=True)
class Terms:
    """What a plan costs in rounds, relative to full participation at full rank (1).

    Attributes:
        participation: Noise of sampling clients, sum noise_n (1/q_n - 1).
        sketch: Noise of sketching those sampled, sum noise_n (rho_n - 1)/q_n.
        drift: Rounds lost to training few ranks, a measured law.
        objective_bias: How far the sketched objective lies above the true one at the same model,
            in units of the curvature of the adapter's components; 0 at full rank. Not in rounds:
            it is a floor that no number of rounds removes.
    """

    participation: float
    sketch: float
    drift: float
    objective_bias: float

    @property
    def noise_to_signal(self) -> float:
        """NSR of the aggregated update, sum noise_n (1/pi_n - 1)."""
        return self.participation + self.sketch

    @property
    def relative_rounds(self) -> float:
        """Rounds over R_0, at the step that suits the noise."""
        return 1.0 + self.noise_to_signal + self.drift

    @property
    def step_ratio(self) -> float:
        """That step over the largest one, 1/(1 + NSR)."""
        return 1.0 / (1.0 + self.noise_to_signal)


def bound_terms(
    q: Floats, k: Ints, rank: int, weights: Floats, noise: Floats, *, drift: float
) -> Terms:
    """Split the law R/R_0 = 1 + NSR + drift sum a_n (rho_n - 1) into its terms.

    Args:
        q: Participation probabilities; a client with q = 0 is left out. [clients]
        k: Ranks trained. [clients]
        rank: The adapter's full rank gamma.
        weights: Shares of the data a_n. [clients]
        noise: a_n^2 G_n^2 / S, as `NoiseEstimator.noise` or `relative_noise` give it. [clients]
        drift: Rounds lost per unit of rho - 1, relative to R_0.
    """
    chosen = q > 0
    q, weights, noise = q[chosen], weights[chosen], noise[chosen]
    excess = rank / k[chosen] - 1.0
    lost = float(np.sum(weights * excess))
    return Terms(
        participation=float(np.sum(noise * (1.0 / q - 1.0))),
        sketch=float(np.sum(noise * excess / q)),
        drift=drift * lost,
        objective_bias=0.5 * lost * rank / (rank - 1) if rank > 1 else 0.0,
    )


@dataclass(frozen=True)
class Constants:
    """What the theorem assumes of a problem.

    Attributes:
        smoothness: L of every client's loss, as a function of the adapter's parameters.
        gap: Delta = f^S(X_0) - inf f^S.
        weights: Shares of the data a_n, positive, sum to 1. [clients]
        dissimilarity: zeta_n^2 >= ||grad F_n^S - grad f^S||^2. [clients]
        sketch_noise: delta_n^2: a client's sketched gradient varies by at most
            (rho_n - 1) (||grad F_n^S||^2 + delta_n^2). [clients]
        data_noise: sigma_n^2: a sketched minibatch gradient varies by at most rho_n sigma_n^2.
            [clients]
        rank: The adapter's full rank gamma.
        local_steps: H.

    Raises:
        ValueError: Weights that are not shares, or a constant that is not one.
    """

    smoothness: float
    gap: float
    weights: Floats
    dissimilarity: Floats
    sketch_noise: Floats
    data_noise: Floats
    rank: int
    local_steps: int

    def __post_init__(self) -> None:
        if not np.isclose(self.weights.sum(), 1.0) or np.any(self.weights <= 0):
            raise ValueError("weights must be positive and sum to 1")
        if self.smoothness <= 0 or self.gap < 0 or self.local_steps < 1 or self.rank < 1:
            raise ValueError("smoothness, local_steps and rank must be positive, gap not negative")
        if min(self.dissimilarity.min(), self.sketch_noise.min(), self.data_noise.min()) < 0:
            raise ValueError("dissimilarity, sketch_noise and data_noise must not be negative")

    def rho(self, k: Ints) -> Floats:
        """rho_n = gamma/k_n. [..., clients]"""
        return np.asarray(self.rank / k, dtype=np.float64)


@dataclass(frozen=True)
class Bound:
    """The right-hand side of the theorem, term by term; arrays if the plans are. [...]

    Attributes:
        optimization: 4 Delta L/(s x R): what is left of the start.
        participation: Noise of sampling clients.
        sketch: Noise of sketching.
        data: Noise of minibatches.
        drift: Bias of local steps.
    """

    optimization: Floats
    participation: Floats
    sketch: Floats
    data: Floats
    drift: Floats

    @property
    def total(self) -> Floats:
        """Bound on the mean over the rounds of E||grad f^S||^2."""
        return self.optimization + self.participation + self.sketch + self.data + self.drift


def psi(constants: Constants, q: Floats, k: Ints) -> Floats:
    """Noise per unit of x. [...] from q, k [..., clients]"""
    return np.asarray(sum(_noise(constants, q, k)), dtype=np.float64)


def _noise(constants: Constants, q: Floats, k: Ints) -> tuple[Floats, Floats, Floats]:
    """Psi's parts: participation, sketch, data; 1/pi - 1 = (1/q - 1) + (rho - 1)/q. [...]"""
    c, rho = constants, constants.rho(k)
    squared = c.weights**2
    participation = squared * 10.0 * (1.0 / q - 1.0) * c.dissimilarity
    sketch = squared * (rho - 1.0) / q * (10.0 * c.dissimilarity + 5.0 * c.sketch_noise)
    data = squared * 6.0 * rho / q * c.data_noise / c.local_steps
    return participation.sum(axis=-1), sketch.sum(axis=-1), data.sum(axis=-1)


def phi(constants: Constants, k: Ints) -> Floats:
    """Drift per unit of x^2; 0 with one local step. [...] from k [..., clients]"""
    c, rho = constants, constants.rho(k)
    drift = 8.0 * rho * c.dissimilarity + 4.0 * (rho - 1.0) * c.sketch_noise
    drift = drift + 6.0 * rho * c.data_noise / c.local_steps
    total = np.sum(c.weights * rho**2 * drift, axis=-1)
    return np.asarray((1.0 - 1.0 / c.local_steps) * total, dtype=np.float64)


def largest_x(constants: Constants, q: Floats, k: Ints, server_step: float = 1.0) -> Floats:
    """Largest x = eta L H the theorem allows. [...] from q, k [..., clients]

    1/x >= max(2 rho_max, sqrt(15 sum a rho^3)) for the drift (more than one local step) and
    1/x >= s max(2, 20 sum a^2 (1/pi - 1)) for the noise.
    """
    c, rho = constants, constants.rho(k)
    sampling = np.sum(c.weights**2 * (rho / q - 1.0), axis=-1)
    inverse = server_step * np.maximum(2.0, 20.0 * sampling)
    if c.local_steps > 1:
        cubes = np.sqrt(15.0 * np.sum(c.weights * rho**3, axis=-1))
        inverse = np.maximum(inverse, np.maximum(2.0 * rho.max(axis=-1), cubes))
    return np.asarray(1.0 / inverse, dtype=np.float64)


def bound(
    constants: Constants,
    q: Floats,
    k: Ints,
    local_step: Floats | float,
    rounds: int,
    server_step: float = 1.0,
) -> Bound:
    """The bound after some rounds. [...] from q, k [..., clients]

    Raises:
        ValueError: A step larger than the theorem allows.
    """
    c = constants
    x = np.asarray(local_step, dtype=np.float64) * c.smoothness * c.local_steps
    if np.any(x > largest_x(c, q, k, server_step) * (1 + 1e-12)):
        raise ValueError("local_step exceeds what the theorem allows: see largest_x")
    participation, sketch, data = (server_step * x * part for part in _noise(c, q, k))
    return Bound(
        optimization=4.0 * c.gap * c.smoothness / (server_step * x * rounds),
        participation=participation,
        sketch=sketch,
        data=data,
        drift=x**2 * phi(c, k),
    )


def rounds_to(
    constants: Constants, q: Floats, k: Ints, epsilon: float, server_step: float = 1.0
) -> tuple[Floats, Floats]:
    """Rounds after which the bound is `epsilon`, at the step that makes them fewest.

    R = 4 Delta L/(s x (epsilon - s x Psi - x^2 Phi)). The concave x (epsilon - s x Psi - x^2 Phi)
    peaks where epsilon = 2 s Psi x + 3 Phi x^2; beyond the largest x allowed, that one is best.

    Returns:
        Rounds (a real number) and the local step. [...] from q, k [..., clients]
    """
    c = constants
    noise, drift = server_step * psi(c, q, k), phi(c, k)
    allowed = largest_x(c, q, k, server_step)
    slope = noise + np.sqrt(noise**2 + 3.0 * drift * epsilon)
    x = epsilon / np.maximum(slope, epsilon / allowed)
    rounds = 4.0 * c.gap * c.smoothness / (server_step * x * (epsilon - x * noise - x**2 * drift))
    return rounds, x / (c.smoothness * c.local_steps)


def relative_noise(constants: Constants, signal: float) -> Floats:
    """noise_n = a_n^2 G_n^2 / S where ||grad f^S||^2 = `signal`, for `bound_terms`. [clients]

    G_n^2 = signal + zeta_n^2 + sigma_n^2/H, a client's squared update at full rank over eta^2 H^2,
    and S = signal + sum a_n^2 sigma_n^2/H, that of everybody's sum: both on average over clients
    whose deviations from the mean gradient are as large as assumed, and without drift.
    """
    c = constants
    data = c.data_noise / c.local_steps
    own = c.weights**2 * (signal + c.dissimilarity + data)
    return np.asarray(own / (signal + np.sum(c.weights**2 * data)), dtype=np.float64)
