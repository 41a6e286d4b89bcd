"""Which samples of a user's data are kept for evaluation, where the data do not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.texts import Text

_SPLIT_SEED = 0  # the split does not depend on a scenario's seed


def hold_out(
    rows: Sequence[Text],
    groups: Sequence[int],
    fraction: float,
    source: str,
    *,
    keep_some: bool = False,
) -> tuple[list[Text], list[Text]]:
    """Parts the rows into those to learn from and those to evaluate on, each in its order.

    Every group (a class, a file) gives its share, to within one row: shares are rounded so that
    they add up to that of all rows, so a fifth of a hundred files of one row each is twenty.

    Args:
        rows: All rows.
        groups: Group of each row, from 0.
        fraction: Share held out.
        source: What messages call the data.
        keep_some: Whether every group must keep a row to learn from.

    Raises:
        InputError: If that leaves nothing to learn from, or nothing to evaluate on.
    """
    group = np.array(groups, np.int64)
    sizes = np.bincount(group)
    quota = np.diff(np.floor(fraction * np.cumsum(sizes) + 0.5), prepend=0.0).astype(np.int64)
    if keep_some:
        quota = np.minimum(quota, sizes - 1)
    held_out: NDArray[np.bool_] = np.zeros(len(rows), bool)
    for number, wanted in enumerate(quota):
        rng = randomness.generator(_SPLIT_SEED, "table-split", number)
        held_out[rng.permutation(np.flatnonzero(group == number))[:wanted]] = True
    if held_out.all() or not held_out.any():
        raise InputError(
            f"{source}: {len(rows)} samples cannot be split with test_fraction {fraction:g}"
        )
    pairs = list(zip(rows, held_out, strict=True))
    return [row for row, out in pairs if not out], [row for row, out in pairs if out]
