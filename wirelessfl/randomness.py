"""Randomness as a pure function of (seed, stream, counters): the same value in any order.

Every random draw of the simulated world hashes its own coordinates (Steele, Lea and Flood's
SplitMix64 finaliser, OOPSLA 2014), so a draw never depends on which draws came before it. That is
what gives all strategies of a comparison the same channel, and a resumed run the same future.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_SHIFT1, _SHIFT2, _SHIFT3 = np.uint64(30), np.uint64(27), np.uint64(31)


def finalise(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 output function: a bijection of 64-bit words with full avalanche.

    It works in place on arrays, which is twice as fast for the short arrays of an event.
    """
    x ^= x >> _SHIFT1
    x *= _MIX1
    x ^= x >> _SHIFT2
    x *= _MIX2
    x ^= x >> _SHIFT3
    return x


@lru_cache(maxsize=1024)
def _key(seed: int, stream: str) -> np.uint64:
    digest = hashlib.blake2b(f"{seed}:{stream}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def absorbed(seed: int, stream: str, *counters: ArrayLike) -> NDArray[np.uint64]:
    """What `bits` knows when it has seen some counters; arguments and shape as for it."""
    with np.errstate(over="ignore"):
        state = np.asarray(_key(seed, stream))
        for counter in counters:
            word = np.asarray(counter, dtype=np.int64).view(np.uint64)
            state = state ^ word
            state += GOLDEN
            state = finalise(state)
        return state


def bits(seed: int, stream: str, *counters: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits for every element of the broadcast integer `counters`.

    Args:
        seed: The scenario's seed (any Python integer).
        stream: Name of the quantity drawn; different names are independent.
        counters: Integer arrays (negative allowed) that broadcast together, e.g. client and slot.

    Returns:
        Array of the counters' broadcast shape.
    """
    with np.errstate(over="ignore"):
        return finalise(absorbed(seed, stream, *counters) + GOLDEN)


def uniform(seed: int, stream: str, *counters: ArrayLike) -> NDArray[np.float64]:
    """Uniform draws on the open interval (0, 1); arguments as for `bits`."""
    draws = (bits(seed, stream, *counters) >> np.uint64(12)).astype(np.float64)
    draws += 0.5
    draws *= 2.0**-52
    return draws


def normal(seed: int, stream: str, *counters: ArrayLike) -> NDArray[np.float64]:
    """Standard normal draws by inversion; arguments as for `bits`."""
    from scipy.special import ndtri  # slow to import, and not every program draws these

    return np.asarray(ndtri(uniform(seed, stream, *counters)), dtype=np.float64)


def exponential(seed: int, stream: str, *counters: ArrayLike) -> NDArray[np.float64]:
    """Unit-mean exponential draws by inversion; arguments as for `bits`."""
    return -np.log(uniform(seed, stream, *counters))


def generator(seed: int, stream: str, *counters: int) -> np.random.Generator:
    """A NumPy generator for draws of unknown number, e.g. one client's batches in one round."""
    key = int(bits(seed, stream, *counters))
    return np.random.Generator(np.random.Philox(key=key))


def subseed(seed: int, stream: str, *counters: int) -> int:
    """A 63-bit seed for a library with its own generator (torch)."""
    return int(bits(seed, stream, *counters) >> np.uint64(1))
