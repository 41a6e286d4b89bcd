"""Numbers as people read them."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Seconds as people read them: '850 ms', '42.0 s', '12.3 min', '5.20 h', '3.10 d'.

    >>> duration(90)
    '90.0 s'
    >>> duration(738)
    '12.3 min'
    """
    if math.isnan(seconds):
        return "–"
    for limit, unit_s, unit, digits in (
        (1.0, 1e-3, "ms", 0),
        (100.0, 1.0, "s", 1),
        (6000.0, 60.0, "min", 1),
        (172_800.0, 3600.0, "h", 2),
    ):
        if abs(seconds) < limit:
            return f"{seconds / unit_s:.{digits}f} {unit}"
    return f"{seconds / 86_400:.2f} d"
