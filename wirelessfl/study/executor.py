"""One run of a study: what it is, where its trace belongs, and whether it is there already."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, differences, fingerprint
from wirelessfl.simulation import Progress, simulate
from wirelessfl.simulation.checkpoint import read_checkpoint, remove_checkpoint
from wirelessfl.trace import Trace

Value = float | int | str


@dataclass(frozen=True, eq=False)
class Member:
    """One run of a study: a resolved scenario, the strategy's name, and the folder it fills.

    Attributes:
        point: In a sweep, the value of every axis, by path.
        place: In a sweep, the same for people.
        memo: Where results of training are kept, if anywhere (see `simulate`).
    """

    strategy: str
    scenario: Scenario
    folder: Path | None
    point: Mapping[str, Value] = field(default_factory=dict)
    place: str = ""
    memo: Path | None = None

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return self.scenario.seed

    @property
    def label(self) -> str:
        """A name for people, unique in the study."""
        where = f"{self.place}, " if self.place else ""
        return f"{where}{self.strategy} seed {self.seed}"

    @property
    def checkpoint(self) -> Path | None:
        """Where its state is while it is unfinished; None if it has no folder."""
        return None if self.folder is None else self.folder / "checkpoint"


OnProgress = Callable[[Member, Progress], None]
Outcome = Trace | Exception
OnEnd = Callable[[Member, Outcome], None]
Endings = Generator[tuple[Member, Outcome], None, None]


def finished_trace(member: Member) -> Trace | None:
    """The member's trace if its folder already holds it.

    Raises:
        InputError: If the folder holds the trace of another scenario or another version.
    """
    if member.folder is None or not (member.folder / "summary.json").exists():
        return None
    trace = Trace.read(member.folder)
    if trace.summary.get("fingerprint") == fingerprint(member.scenario):
        return trace
    if unfinished_after(member) is not None:  # this run was about to replace the other
        return None
    raise InputError(
        f"{member.folder} holds a run of another scenario; choose another --out, or replace it "
        "with --overwrite. It differs (- that run, + now) in:\n"
        f"{differences(trace.scenario_yaml, member.scenario)}"
    )


def unfinished_after(member: Member) -> int | None:
    """The round after which the member was stopped, if its state was saved.

    Raises:
        InputError: If the folder holds the state of another run.
    """
    if member.checkpoint is None:
        return None
    found = read_checkpoint(member.checkpoint, member.scenario)
    return None if found is None else found.round


def begin_again(member: Member) -> None:
    """Forget what an unfinished run left; a finished one stays until another is complete."""
    if member.checkpoint is not None:
        remove_checkpoint(member.checkpoint)


def run_member(member: Member, on_progress: Callable[[Progress], None] | None = None) -> Trace:
    """Simulate one member, from where it was stopped if it was, and write its trace."""
    trace = simulate(member.scenario, on_progress, member.checkpoint, member.memo)
    if member.folder is not None:
        trace.write(member.folder)
    begin_again(member)
    return trace
