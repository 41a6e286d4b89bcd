"""One run of a study: what it is, where its trace belongs, and whether it is there already."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, fingerprint
from wirelessfl.simulation import Progress, simulate
from wirelessfl.trace import Trace

Value = float | int | str


@dataclass(frozen=True, eq=False)
class Member:
    """One run of a study: a resolved scenario, the strategy's name, and the folder it fills.

    Attributes:
        point: In a sweep, the value of every axis, by path.
        place: In a sweep, the same for people.
    """

    strategy: str
    scenario: Scenario
    folder: Path | None
    point: Mapping[str, Value] = field(default_factory=dict)
    place: str = ""

    @property
    def seed(self) -> int:
        """The scenario's seed."""
        return self.scenario.seed

    @property
    def label(self) -> str:
        """A name for people, unique in the study."""
        where = f"{self.place}, " if self.place else ""
        return f"{where}{self.strategy} seed {self.seed}"


OnProgress = Callable[[Member, Progress], None]
Outcome = Trace | Exception
Endings = Generator[tuple[Member, Outcome], None, None]


def finished_trace(member: Member) -> Trace | None:
    """The member's trace if its folder already holds it.

    Raises:
        InputError: If the folder holds the trace of another scenario or another version.
    """
    if member.folder is None or not (member.folder / "summary.json").exists():
        return None
    trace = Trace.read(member.folder)
    if trace.summary["fingerprint"] != fingerprint(member.scenario):
        raise InputError(
            f"{member.folder} holds a run of another scenario; "
            "choose another --out, or replace it with --overwrite"
        )
    return trace


def run_member(member: Member, on_progress: Callable[[Progress], None] | None = None) -> Trace:
    """Simulate one member and write its trace where it belongs."""
    trace = simulate(member.scenario, on_progress=on_progress)
    if member.folder is not None:
        trace.write(member.folder)
    return trace
