"""Worker processes of this machine, each with a pipe of its own.

A killed worker (out of memory, `kill -9`) takes nothing along but the run it was busy with, which
is tried once more when all others are done, alone, since then there is more memory. A pool whose
workers share queues cannot promise that: who dies holding the queue's lock stops everyone.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, cast

from wirelessfl.errors import InputError
from wirelessfl.simulation import Progress
from wirelessfl.study.executor import Endings, Member, OnProgress, Outcome, run_member

GRACE_S = 15.0  # for a worker that is told to stop, to save what it was doing
READY = "ready"
_CONTEXT = multiprocessing.get_context("spawn")  # fork is not safe once torch has threads


class KilledError(RuntimeError):
    """The process of a run ended before the run did."""


def attempt(member: Member, on_progress: OnProgress) -> Outcome:
    """The member's trace, or the exception it ended with; its traceback is among its notes."""
    try:
        return run_member(member, lambda progress: on_progress(member, progress))
    except Exception as error:  # handed to the caller, who reports it
        if not isinstance(error, InputError):
            error.add_note(traceback.format_exc())
        return error


def run_in_processes(waiting: deque[Member], jobs: int, on_progress: OnProgress) -> Endings:
    """Run the members, `jobs` at a time, each in a worker process, yielding each as it ends."""
    once_killed: deque[Member] = deque()
    tries_left = dict.fromkeys(waiting, 2)
    workers: list[_Worker] = []
    try:
        while waiting or once_killed or workers:
            while waiting and len(workers) < jobs:
                workers.append(_Worker(waiting.popleft()))
            if not workers:
                workers.append(_Worker(once_killed.popleft()))
            pipes = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in pipes]:
                member = worker.member
                message = worker.receive()
                if isinstance(message, Progress):
                    on_progress(member, message)
                elif isinstance(message, KilledError):
                    workers.remove(worker)
                    tries_left[member] -= 1
                    if tries_left[member]:
                        once_killed.append(member)
                    else:
                        yield member, message
                elif message is not None:
                    yield member, message
                    if waiting:
                        worker.give(waiting.popleft())
                    else:
                        workers.remove(worker)
                        worker.end()
    finally:
        _stop(workers)


class _Worker:
    """A process that runs one member after another."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        self._ready = False
        with _interrupts_wait():
            self._process.start()
        theirs.close()

    def give(self, member: Member) -> None:
        """Let it run the member."""
        self.member = member
        try:
            self.pipe.send(member)
        except OSError:  # it has died, and the next `receive` says how
            return

    def receive(self) -> Progress | Outcome | None:
        """The next thing it says, which must be there; None if it is not for the caller.

        Raises:
            RuntimeError: If workers cannot start at all.
        """
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):  # OSError: it died within a message
            self.end()
            return self._death(self._process.exitcode or 0)
        if message == READY:
            self._ready = True
            self.give(self.member)
            return None
        return cast("Progress | Outcome", message)

    def _death(self, code: int) -> KilledError:
        if code < 0:
            name = signal.Signals(-code).name
            return KilledError(
                f"its process was killed by {name}, twice; if memory ran out, run fewer at a time"
            )
        if not self._ready:
            raise RuntimeError(
                "a worker process could not start: a script that runs a study needs "
                "`if __name__ == '__main__':` around its work, or jobs=1"
            )
        return KilledError(f"its process ended with exit code {code}, twice")

    def end(self) -> None:
        """Let it go, as it has nothing more to do."""
        self.pipe.close()
        self._process.join()

    def interrupt(self) -> None:
        """Let it stop where it is, as by Ctrl-C."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGINT)

    def wait(self, until_s: float) -> None:
        """Wait for its end, at most until then by the monotonic clock."""
        self._process.join(max(until_s - time.monotonic(), 0.0))

    def kill(self) -> None:
        """End it at once if it has not ended."""
        self._process.kill()
        self.end()


def _stop(workers: Collection[_Worker]) -> None:
    """Tell all to stop and see that they do, at once if the user asks again."""
    try:
        for worker in workers:
            worker.interrupt()
        until_s = time.monotonic() + GRACE_S
        for worker in workers:
            worker.wait(until_s)
    finally:
        for worker in workers:
            worker.kill()


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C comes after the block; a process started within has it blocked until it is ready."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """The terminal and the parent may both say stop; the second must not disturb the saving."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _serve(pipe: Connection[Any, Any]) -> None:
    """What a worker does: ask, run, tell, until there is nobody to tell, or it is told to stop."""
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        pipe.send(READY)
        while True:
            member: Member = pipe.recv()
            pipe.send(portable(attempt(member, lambda _, progress: pipe.send(progress))))
    except (KeyboardInterrupt, EOFError, ConnectionError):
        return


def portable(outcome: Outcome) -> Outcome:
    """The outcome as another process can read it, which some libraries' exceptions are not."""
    if isinstance(outcome, Exception):
        try:
            pickle.loads(pickle.dumps(outcome))
        except Exception:
            plain = RuntimeError(f"{type(outcome).__name__}: {outcome}")
            for note in getattr(outcome, "__notes__", ()):
                plain.add_note(note)
            return plain
    return outcome
