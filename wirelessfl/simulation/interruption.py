"""Ctrl-C and SIGTERM: a run that saves its state stops at the end of a round, not in its midst.

The first signal asks, and whoever runs looks at `asked_to_stop` where stopping is safe; the second
raises KeyboardInterrupt at once. A worker process of a study is asked by the terminal, by the
process that started it, or by both, so there every further signal is ignored: its parent ends it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2

_asked = False  # signals belong to the process, and so does what is known of them
_waits = False  # whether a run is under way that stops where it is safe
_works = False  # whether this is a worker process


def asked_to_stop() -> bool:
    """Whether this process should stop where it is safe."""
    return _asked


@contextmanager
def stops_wait() -> Iterator[None]:
    """Within the block the first signal only asks.

    Raises:
        KeyboardInterrupt: At the block's end, if it was asked and did not stop; or on a second
            signal.
    """
    global _asked, _waits
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals, and it will
        return
    before = {number: signal.signal(number, _ask) for number in _SIGNALS}
    _waits = True
    try:
        yield
        if _asked:
            raise KeyboardInterrupt
    finally:
        _waits = False
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = _asked and _works


def work() -> None:
    """From now on this is a worker process: it stops once, however often it is asked."""
    global _works
    _works = True
    for number in _SIGNALS:
        signal.signal(number, _ask)


def tell_the_user() -> None:
    """Say what is going on; a signal may come while something else is being printed."""
    os.write(_STDERR, b"\nstopping after this round; once more stops at once\n")


def _ask(number: int, frame: FrameType | None) -> None:
    global _asked
    again, _asked = _asked, True
    if again and _works:
        return
    if again or not _waits:
        raise KeyboardInterrupt
    if not _works:
        tell_the_user()
