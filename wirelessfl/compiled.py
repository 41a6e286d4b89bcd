"""Machine code for loops that whole-array operations cannot express, by numba.

A compiled function takes numbers and contiguous arrays, and computes what it would as Python: no
fast-math, no threads, so that results depend on neither the processor nor the machine code. Where
they do in any case, because libraries multiply the matrices, sums may be `reordered`. numba itself
takes longer to import than a scenario takes to be checked, so it waits for the first call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])


class _Compiled:
    """A function until it is called; from then on, in its module too, its machine code."""

    def __init__(self, function: Callable[..., object], reordered: bool) -> None:
        functools.update_wrapper(self, function)
        self._function, self._fast = function, cast(Any, None)
        # No flag that assumes numbers to be finite: what diverges has to be seen.
        self._fast_math = {"contract", "nsz", "reassoc"} if reordered else set[str]()

    def __call__(self, *arguments: object) -> object:
        """What the function gives."""
        if self._fast is None:
            self.fast()
        return self._fast(*arguments)

    def fast(self) -> Any:
        """The machine code, of everything it calls too."""
        if self._fast is not None:
            return self._fast
        import numba

        room = self._function.__globals__
        for name in self._function.__code__.co_names:
            if isinstance(called := room.get(name), _Compiled):
                room[name] = called.fast()
        jit = functools.partial(numba.njit, error_model="numpy", fastmath=self._fast_math)
        try:
            self._fast = jit(cache=True)(self._function)
        except RuntimeError:  # nowhere to keep it: every process compiles anew
            self._fast = jit()(self._function)
        name = self._function.__name__
        if room.get(name) is self:
            room[name] = self._fast
        return self._fast


def compiled(function: Function) -> Function:
    """The function, compiled when first called and kept on disk for later processes.

    What it calls should be in the same file, or never change: numba looks only at that file's age.
    """
    return cast(Function, _Compiled(function, reordered=False))


def reordered(function: Function) -> Function:
    """As `compiled`, but sums may be added in any order, which is several times as fast."""
    return cast(Function, _Compiled(function, reordered=True))
