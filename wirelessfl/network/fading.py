"""Small-scale fading: power gain with mean 1 as a pure function of (client, slot).

Time is cut into slots of `slot_s` seconds, numbered from t = 0 in both directions; the gain is
constant within a slot. Coherence time and Doppler frequency are tied by Tc = 0.423 / f_D
(T. S. Rappaport, Wireless Communications, eq. 5.40.c), f_D = speed * carrier / c. Uplink and
downlink are at different frequencies, so each link has its own draws.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.network import draws
from wirelessfl.network.path_loss import SPEED_OF_LIGHT_MPS
from wirelessfl.scenario.custom import build_custom
from wirelessfl.scenario.radio import (
    CustomFading,
    Fading,
    GilbertElliott,
    Jakes,
    Nakagami,
    NoFading,
    PacedFading,
    RayleighBlock,
)

Array = NDArray[np.float64]
Index = NDArray[np.integer]
Direction = Literal["uplink", "downlink"]
KFactor = Callable[[Index, Index], Array]
"""Linear K factor of clients [n] in slots [m]: [n, m], or [n, 1] if it never changes."""

_COHERENCE = 0.423  # coherence time times Doppler frequency
_WALKING_MPS = 1.0  # what moves around clients that stand


class FadingModel(ABC):
    """Power gain over time; `slot_s` is the time it stays constant (inf: for ever)."""

    slot_s: float

    @property
    def correlation_s(self) -> float:
        """Integral of the autocorrelation, over all lags, of whatever the gain decides.

        Means over a long time t have the variance of a moment's value times this over t.
        """
        return self.slot_s

    @abstractmethod
    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """Linear power gain [clients, slots], a new array."""


class Constant(FadingModel):
    """No fading: the gain is 1."""

    slot_s = math.inf
    correlation_s = 0.0

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        return np.ones((len(clients), len(slots)))


class BlockRayleigh(FadingModel):
    """-ln u: exponential power, independent between slots."""

    def __init__(self, slot_s: float, seed: int) -> None:
        self.slot_s = slot_s
        self._seed = seed

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        return draws.exponential(self._seed, f"fading.{direction}", clients, slots)


class BlockRician(FadingModel):
    """|sqrt(K/(K+1)) + CN(0, 1/(K+1))|^2, independent between slots.

    The scattered part has power r^2 = -ln u / (K+1), with Rayleigh's u, and a uniform angle
    against the direct path: a^2 + r^2 + 2 a r cos(angle). With K = 0 it is `BlockRayleigh`.
    """

    def __init__(self, slot_s: float, seed: int, k_factor: KFactor) -> None:
        self.slot_s = slot_s
        self._seed = seed
        self._k_factor = k_factor

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        stream = f"fading.{direction}"
        k = self._k_factor(clients, slots)
        direct = k / (k + 1.0)
        scattered = draws.exponential(self._seed, stream, clients, slots)
        scattered *= 1.0 / (k + 1.0)
        angle = 2.0 * np.pi * draws.uniform(self._seed, f"{stream}.angle", clients, slots)
        return direct + scattered + 2.0 * np.sqrt(direct * scattered) * np.cos(angle)


class BlockNakagami(FadingModel):
    """Gamma(m, 1/m) power by inversion, independent between slots."""

    def __init__(self, slot_s: float, seed: int, m: float) -> None:
        self.slot_s = slot_s
        self._seed = seed
        self._m = m

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        from scipy.special import gammaincinv  # slow to import

        u = draws.uniform(self._seed, f"fading.{direction}", clients, slots)
        return np.asarray(gammaincinv(self._m, u), dtype=np.float64) / self._m


class SampledJakes(FadingModel):
    """Sum of sinusoids with the Clarke-Jakes autocorrelation, sampled in the middle of each slot.

    X(t) = sqrt(2/M) sum_m (cos psi_m + j sin psi_m) cos(2 pi f_D t cos alpha_m + phi_m), power
    |X|^2, alpha_m = (2 pi m - pi + theta) / (4M), m = 1..M; theta, psi_m, phi_m uniform on
    [-pi, pi) (Y. R. Zheng and C. Xiao, IEEE Trans. Commun. 51(6), 2003, with a phase for each
    sinusoid: their common phi would make power at t = 0 different from power later). Over clients,
    E[X(t) X*(t + tau)] = J0(2 pi f_D tau) for every M, and the variance of power is 1 - 1/(2M).
    """

    _M = 8
    correlation_s = math.inf  # power has J0^2, which has no integral

    def __init__(self, doppler_hz: float, slot_s: float, seed: int, clients: int) -> None:
        self.slot_s = slot_s
        self._cycles = doppler_hz * slot_s
        self._seed = seed
        self._clients = clients
        self._waves: dict[Direction, Array] = {}  # 256 B a client and link, once it is used

    def _draw(self, direction: Direction) -> Array:
        """Cycles per slot, phase in cycles and two weights of each sinusoid, [4, M, clients, 1]."""
        seed, stream = self._seed, f"fading.{direction}"
        client, m = np.arange(self._clients), np.arange(1, self._M + 1)[:, None]
        theta = np.pi * (2.0 * randomness.uniform(seed, f"{stream}.theta", client) - 1.0)
        alpha = (2.0 * np.pi * m - np.pi + theta) / (4.0 * self._M)
        psi = 2.0 * np.pi * randomness.uniform(seed, f"{stream}.psi", client, m)
        phase = randomness.uniform(seed, f"{stream}.phi", client, m)
        scale = math.sqrt(2.0 / self._M)
        waves = [self._cycles * np.cos(alpha), phase, scale * np.cos(psi), scale * np.sin(psi)]
        return np.stack(waves)[..., None]

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        if direction not in self._waves:
            self._waves[direction] = self._draw(direction)
        waves = self._waves[direction][:, :, clients]
        turns = waves[0] * (slots + 0.5)
        turns += waves[1]
        turns -= np.rint(turns)
        turns *= 2.0 * np.pi
        parts = waves[2:] * np.cos(turns, out=turns)
        for half in (4, 2, 1):  # a fixed order of adding, whatever the shape
            parts = parts[:, :half] + parts[:, half : 2 * half]
        parts *= parts
        gain: Array = parts[0, 0] + parts[1, 0]
        return gain


class Outages(FadingModel):
    """Gilbert-Elliott: a two-state Markov chain that can be read at any slot.

    With p = slot / mean_good and r = slot / mean_bad, a chain that in every slot forgets its state
    with probability p + r, then drawing bad with probability p / (p + r), has exactly the
    transition probabilities p (good to bad) and r (bad to good), because
    (p + r) p / (p + r) = p. So the state in slot j is the draw made in the last forgetting slot
    up to j: both are hashes, and finding it looks back 1 / (p + r) = 8 slots on average.
    """

    _FORGET = 1.0 / 8.0  # p + r
    _LOOK_BACK = 64

    def __init__(self, mean_good_s: float, mean_bad_s: float, bad_gain: float, seed: int) -> None:
        self.slot_s = self._FORGET / (1.0 / mean_good_s + 1.0 / mean_bad_s)
        self._bad = mean_bad_s / (mean_good_s + mean_bad_s)
        self._bad_gain = bad_gain
        self._seed = seed

    @property
    def correlation_s(self) -> float:
        """See `FadingModel.correlation_s`: values d slots apart have correlation 0.875^d."""
        return self.slot_s * (2.0 / self._FORGET - 1.0)

    def gain(self, direction: Direction, clients: Index, slots: Index) -> Array:
        """See `FadingModel.gain`."""
        stream = f"fading.{direction}"
        origin = self._last_forgetting(stream, clients, slots)
        bad = (
            randomness.uniform(self._seed, f"{stream}.state", clients[:, None], origin) < self._bad
        )
        return np.where(bad, self._bad_gain, 1.0)

    def _last_forgetting(self, stream: str, clients: Index, slots: Index) -> Index:
        """Last slot up to each of `slots` in which the chain forgot, [clients, slots]."""
        look_back = self._LOOK_BACK
        while True:
            seen = np.unique(slots[:, None] - np.arange(look_back))
            forgets = draws.uniform(self._seed, f"{stream}.forget", clients, seen) < self._FORGET
            last = np.maximum.accumulate(np.where(forgets, seen, seen[0] - 1), axis=1)
            origin = last.take(np.searchsorted(seen, slots), axis=1)  # rows stay contiguous
            if (origin > slots - look_back).all():
                return origin
            look_back *= 2


def _no_direct_path(clients: Index, slots: Index) -> Array:
    return np.zeros((len(clients), 1))


def fading_model(
    config: Fading,
    carrier_hz: float,
    clients: int,
    seed: int,
    k_factor: KFactor = _no_direct_path,
    client_speed_mps: float = 0.0,
) -> FadingModel:
    """The fading that `config` describes, between clients and one base station.

    Args:
        config: The fading.
        carrier_hz: Carrier frequency.
        clients: Number of clients.
        seed: Different seeds, for instance of different base stations, are independent.
        k_factor: For Rician fading; K = 0 is Rayleigh fading.
        client_speed_mps: The clients' mean speed, for fading that is told no pace; 0 if they stand.

    Raises:
        InputError: If code of the user's own is no fading.
    """
    if isinstance(config, NoFading):
        return Constant()
    if isinstance(config, CustomFading):
        return _own(config, seed, clients, carrier_hz, client_speed_mps)
    if isinstance(config, GilbertElliott):
        bad_gain = 10.0 ** (config.bad_gain_db / 10.0)
        return Outages(config.mean_good_s, config.mean_bad_s, bad_gain, seed)
    coherence_s = coherence_time_s(config, carrier_hz, client_speed_mps)
    if isinstance(config, Jakes):
        doppler_hz = _COHERENCE / coherence_s
        return SampledJakes(doppler_hz, config.slot_s or 0.1 / doppler_hz, seed, clients)
    if isinstance(config, RayleighBlock):
        return BlockRayleigh(coherence_s, seed)
    if isinstance(config, Nakagami):
        return BlockNakagami(coherence_s, seed, config.m)
    return BlockRician(coherence_s, seed, k_factor)


def _own(
    config: CustomFading, seed: int, clients: int, carrier_hz: float, client_speed_mps: float
) -> FadingModel:
    """The user's own fading, once it has answered a first question as it must."""
    own = build_custom(
        config,
        FadingModel,
        "network.fading",
        seed=seed,
        clients=clients,
        carrier_hz=carrier_hz,
        client_speed_mps=client_speed_mps,
    )
    slot_s = getattr(own, "slot_s", None)
    if not (isinstance(slot_s, float | int) and slot_s > 0):
        raise InputError(
            f"network.fading: {config.target}: slot_s is {slot_s!r}; must be seconds, more than 0"
        )
    gain = np.asarray(own.gain("uplink", np.arange(min(clients, 2)), np.arange(3)))
    if gain.shape != (min(clients, 2), 3) or not (np.isfinite(gain).all() and (gain >= 0).all()):
        raise InputError(
            f"network.fading: {config.target}: gain gave {gain!r:.200} for {min(clients, 2)} "
            "clients and 3 slots; must be a gain of at least 0 for each [clients, slots]"
        )
    return own


def coherence_time_s(
    config: PacedFading, carrier_hz: float, client_speed_mps: float = 0.0
) -> float:
    """Coherence time as given, or 0.423 / Doppler frequency.

    Its speed is the one given, else the clients', else (they stand) 1 m/s.
    """
    if config.coherence_time_s is not None:
        return float(config.coherence_time_s)
    speed_mps = config.speed_mps or client_speed_mps or _WALKING_MPS
    return float(_COHERENCE * SPEED_OF_LIGHT_MPS / (speed_mps * carrier_hz))
