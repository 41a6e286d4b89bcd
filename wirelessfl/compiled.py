"""Machine code for loops that whole-array operations cannot express, by numba.

A compiled function takes numbers and contiguous arrays, and computes what it would as Python: no
fast-math, no threads, so that results depend on neither the processor nor the machine code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """The function, compiled when first called and kept on disk for later processes.

    What it calls should be in the same file, or never change: numba looks only at that file's age.
    """
    try:
        fast = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep it: every process compiles anew
        fast = numba.njit(error_model="numpy")(function)
    return cast(Function, fast)
