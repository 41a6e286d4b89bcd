"""A training that writes down what it answers, and can answer again what an earlier run was told.

All that a simulation knows of its training are the answers of these calls. Given the same ones, it
does the same again: so a stopped run is played from its beginning without training anything, until
the answers are used up; then the real training takes its state back and goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.learning.aggregation import Sampling
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.scenario import Scenario
from wirelessfl.simulation.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from wirelessfl.simulation.training import Bools, Floats, Ints, Learned, RealTraining, jobs_of

Answer = TypeVar("Answer")


class LoggedTraining:
    """See `wirelessfl.simulation.training.Training`: another one, with a memory on disk.

    Args:
        training: The other one, at its start.
        folder: Where states are saved, and where one may lie from which to go on.
        scenario: What is run.

    Raises:
        InputError: As `read_checkpoint`; later, if the run turns out to be another one than that
            whose state was there.
    """

    def __init__(self, training: RealTraining, folder: Path, scenario: Scenario) -> None:
        self._training, self._folder, self._scenario = training, folder, scenario
        self._past = read_checkpoint(folder, scenario)
        self._answers = [] if self._past is None else list(self._past.answers)
        self._played = 0
        self.version = training.version
        self.resumed_after = None if self._past is None else self._past.round
        data = (training.data_fingerprint,)
        self._answer("data", data, lambda: None, lambda _: None, lambda _: None)

    def save(self, round: int) -> None:
        """Save the state after a round; while an earlier run is played again it is still there."""
        if self._past is None and round != self.resumed_after:
            checkpoint = Checkpoint(round, self._answers, self._training.state())
            write_checkpoint(self._folder, self._scenario, checkpoint)

    def capped(self, ranks: Ints) -> Ints:
        """See `Training.capped`."""

        def text(capped: Ints) -> list[int] | None:
            return None if np.array_equal(capped, ranks) else capped.tolist()

        return self._answer(
            "capped",
            (ranks,),
            lambda: self._training.capped(ranks),
            text,
            lambda capped: ranks if capped is None else np.array(capped, ranks.dtype),
        )

    def begin(self, round: int, clients: Ints, ranks: Ints) -> list[GradientJob]:
        """See `Training.begin`."""
        version = self.version
        return self._answer(
            "begin",
            (round, clients, ranks),
            lambda: self._training.begin(round, clients, ranks),
            lambda jobs: None,
            lambda _: jobs_of(version, round, clients, ranks),
        )

    def restart(self) -> None:
        """See `Training.restart`."""
        self._answer("restart", (), self._training.restart, lambda _: None, lambda _: None)

    def finish(
        self,
        jobs: list[GradientJob],
        received: Bools,
        weights: Floats,
        step: float,
        sampling: Sampling | None,
    ) -> Learned:
        """See `Training.finish`."""
        return self._answer(
            "finish",
            (jobs, received, weights, step, sampling),
            lambda: self._training.finish(jobs, received, weights, step, sampling),
            lambda learned: [
                learned.useful.tolist(),
                learned.squared_norms.tolist(),
                learned.update_squared_norm,
                learned.losses.tolist(),
                learned.update_product,
            ],
            lambda text: Learned(
                useful=np.array(text[0], bool),
                squared_norms=np.array(text[1], float),
                update_squared_norm=text[2],
                losses=np.array(text[3], float),
                update_product=text[4],
            ),
        )

    def true_norms(
        self, round: int, clients: Ints, rank: int, shares: Floats
    ) -> tuple[Floats, float]:
        """See `Training.true_norms`."""
        return self._answer(
            "true_norms",
            (round, clients, rank, shares),
            lambda: self._training.true_norms(round, clients, rank, shares),
            lambda norms: [norms[0].tolist(), norms[1]],
            lambda text: (np.array(text[0], float), text[1]),
        )

    def evaluate(self) -> dict[str, float]:
        """See `Training.evaluate`."""
        return self._answer("evaluate", (), self._training.evaluate, dict, dict)

    def adapter_files(self) -> dict[str, bytes]:
        """See `Training.adapter_files`."""
        return self._training.adapter_files()

    def diagnostics(self) -> dict[str, float]:
        """See `Training.diagnostics`."""
        return self._training.diagnostics()

    def summary(self) -> dict[str, Any]:
        """See `Training.summary`."""
        return self._training.summary()

    def _answer(
        self,
        call: str,
        arguments: tuple[Any, ...],
        ask: Callable[[], Answer],
        text: Callable[[Answer], Any],
        from_text: Callable[[Any], Answer],
    ) -> Answer:
        """The answer to a call: of the earlier run while it is played, then of the training.

        Args:
            call: Name of the call.
            arguments: What it depends on.
            ask: Asks the training.
            text: An answer as JSON values; `from_text` goes back.
            from_text: See above.
        """
        asked = [call, _digest(arguments)]
        if self._past is None:
            answer = ask()
            self.version = self._training.version
            self._answers.append(json.dumps([*asked, self.version, text(answer)]))
            return answer
        *was, self.version, found = json.loads(self._answers[self._played])
        if was != asked:
            raise InputError(
                f"{self._folder} is not the state of this run: its call {self._played} of the "
                f"training was {was[0]}({was[1]}), and is now {call}({asked[1]}); the code or "
                "the data must have changed. Start again with --overwrite"
            )
        self._played += 1
        if self._played == len(self._answers):
            self._training.load(self._past.state)
            self._past = None
        return from_text(found)


def _digest(arguments: tuple[Any, ...]) -> str:
    """Equal for equal arguments, and for no others."""
    digest = hashlib.blake2b(digest_size=8)
    for argument in arguments:
        if isinstance(argument, Sampling):
            argument = (*vars(argument).values(),)
        if isinstance(argument, tuple):
            content = _digest(argument).encode()
        elif isinstance(argument, np.ndarray):
            content = argument.tobytes()
        else:
            content = repr(argument).encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()
