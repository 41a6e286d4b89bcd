"""Results of training, kept on disk by all that they follow from: nothing is trained twice.

Local training and evaluation are pure functions. Where two studies learn the same on different
networks, the second finds what the first computed and only has to time it again.

An entry is what one pass of the engine gave (a cohort is trained as one, and who is in it moves the
last bits), so a run with a memo gives the bytes of one without. The key is a SHA-256 of everything
that goes in. Entries are safetensors in one SQLite file; each has the hash of its content, and one
that does not match is computed again. When they exceed the limit, those unused for longest go.
"""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from wirelessfl.errors import InputError
from wirelessfl.learning.jobs import Vector
from wirelessfl.learning.local import LocalResult, LocalWork
from wirelessfl.learning.state import State

LIMIT_BYTES = 2_000_000_000
_WAIT_S = 60.0  # for another process that is writing
_TABLE = """
CREATE TABLE IF NOT EXISTS results
    (key BLOB PRIMARY KEY, used INTEGER, size INTEGER, sha256 BLOB, data BLOB);
CREATE INDEX IF NOT EXISTS by_use ON results (used, size);
"""
_USED = "(SELECT COALESCE(MAX(used), 0) + 1 FROM results)"


class Memo:
    """Results by their keys; several processes may use one folder.

    Args:
        folder: Where `results.sqlite` is, or will be.
        limit_bytes: What all entries together may take.

    Attributes:
        hits: Results that were there.
        misses: Results that were not, and had to be computed.

    Raises:
        InputError: If the folder cannot be used.
    """

    def __init__(self, folder: str | Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._path, self._limit = Path(folder) / "results.sqlite", limit_bytes
        self.hits = self.misses = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._database() as database:
                database.execute("PRAGMA user_version")
        except (OSError, sqlite3.OperationalError) as error:
            raise InputError(f"{folder}: results cannot be kept here: {error}") from None
        except sqlite3.DatabaseError as error:
            self._begin_again(error)

    def trained(
        self,
        learner: bytes,
        works: Sequence[LocalWork],
        residual: Vector | None,
        train: Callable[[], list[LocalResult]],
    ) -> list[LocalResult]:
        """What a cohort's training gives.

        Args:
            learner: Fingerprint of the learner.
            works: The cohort, in its order.
            residual: Change of the frozen weights, if there is one.
            train: Trains the cohort.
        """

        def compute() -> State:
            results = train()
            losses = np.array([result.loss for result in results])
            return {"loss": losses} | {f"{n}": result.change for n, result in enumerate(results)}

        state = self._recalled(_training_key(learner, works, residual), compute)
        losses = state["loss"].tolist()
        return [LocalResult(state[f"{n}"], loss) for n, loss in enumerate(losses)]

    def measured(
        self, learner: bytes, model: bytes, measure: Callable[[], dict[str, float]]
    ) -> dict[str, float]:
        """The metrics of a model, by name.

        Args:
            learner: Fingerprint of the learner.
            model: Hash of the model.
            measure: Evaluates it.
        """

        def compute() -> State:
            return {name: np.asarray(value) for name, value in measure().items()}

        state = self._recalled(digest([learner, b"evaluate", model]), compute)
        return {name: float(value) for name, value in state.items()}

    def _recalled(self, key: bytes, compute: Callable[[], State]) -> State:
        """The result of a key: what is kept, or else what `compute` gives, which is then kept."""
        if (found := self._get(key)) is not None:
            self.hits += 1
            return found
        self.misses += 1
        computed = compute()
        self._put(key, save(computed))
        return computed

    def _get(self, key: bytes) -> State | None:
        state: State | None = None
        with self._tolerant(), self._database() as database:
            row = database.execute("SELECT sha256, data FROM results WHERE key = ?", (key,))
            found = row.fetchone()
            if found is not None and hashlib.sha256(found[1]).digest() == found[0]:
                database.execute(f"UPDATE results SET used = {_USED} WHERE key = ?", (key,))
                state = load(found[1])
        return state

    def _put(self, key: bytes, data: bytes) -> None:
        if len(data) > self._limit:
            return
        with self._tolerant(), self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                f"INSERT OR REPLACE INTO results VALUES (?, {_USED}, ?, ?, ?)",
                (key, len(data), hashlib.sha256(data).digest(), data),
            )
            excess = database.execute("SELECT SUM(size) FROM results").fetchone()[0] - self._limit
            while excess > 0:
                oldest, size = database.execute(
                    "SELECT rowid, size FROM results ORDER BY used LIMIT 1"
                ).fetchone()
                database.execute("DELETE FROM results WHERE rowid = ?", (oldest,))
                excess -= size

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """The database, for one transaction; a power cut may damage it, and then it is noticed."""
        with closing(sqlite3.connect(self._path, timeout=_WAIT_S)) as database:
            database.execute("PRAGMA synchronous = OFF")
            database.executescript(_TABLE)
            with database:
                yield database

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """What goes wrong with the file costs time, and no result."""
        try:
            yield
        except sqlite3.OperationalError as error:
            warnings.warn(f"{self._path}: a result is not kept: {error}", stacklevel=2)
        except sqlite3.DatabaseError as error:
            self._begin_again(error)

    def _begin_again(self, error: Exception) -> None:
        warnings.warn(f"{self._path} is damaged ({error}) and begins anew", stacklevel=2)
        self._path.unlink(missing_ok=True)


def _training_key(learner: bytes, works: Sequence[LocalWork], residual: Vector | None) -> bytes:
    parts = [learner, b"train", _bytes(residual)]
    for work in works:
        start = work.start
        parts.append(repr((work.client, work.round, start.rank, start.gain)).encode())
        parts += [_bytes(start.compact), _bytes(start.trained), _bytes(work.rows)]
        parts.append(repr(work.rows.shape).encode())
    return digest(parts)


def digest(parts: Sequence[bytes]) -> bytes:
    """SHA-256 of byte strings, each with its length."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


def _bytes(array: np.ndarray | None) -> bytes:
    return b"none" if array is None else array.tobytes()
