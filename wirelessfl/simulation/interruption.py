"""Ctrl-C and SIGTERM: a run that saves its state stops at the end of a round, not in its midst.

The first signal asks, and whoever runs looks at `asked_to_stop` where stopping is safe; the second
raises KeyboardInterrupt at once. The processes of a study are asked by the one that started them
as well, for a signal may reach only that one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2

_asked = False  # signals belong to the process, and so does what is known of them
_told: Event | None = None


def asked_to_stop() -> bool:
    """Whether this process should stop where it is safe."""
    return _asked or (_told is not None and _told.is_set())


@contextmanager
def stops_wait() -> Iterator[None]:
    """Within the block the first signal only asks.

    Raises:
        KeyboardInterrupt: At the block's end, if it was asked and did not stop; or on a second
            signal.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals, and it will
        return
    before = {number: signal.signal(number, _ask) for number in _SIGNALS}
    try:
        yield
        if _asked:
            raise KeyboardInterrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = False


def obey(told: Event) -> None:
    """Signals to this worker process only ask, from now on, and so does the event `told`."""
    global _told
    _told = told
    for number in _SIGNALS:
        signal.signal(number, _ask)


def tell_the_user() -> None:
    """Say what is going on; a signal may come while something else is being printed."""
    os.write(_STDERR, b"\nstopping after this round; once more stops at once\n")


def _ask(number: int, frame: FrameType | None) -> None:
    global _asked
    if _asked:
        raise KeyboardInterrupt
    _asked = True
    if _told is None:
        tell_the_user()
