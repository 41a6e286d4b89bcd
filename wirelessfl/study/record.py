"""`study.json`: what a folder of runs is, so that it can be read back, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from wirelessfl.errors import InputError, reason
from wirelessfl.scenario import Scenario, dump
from wirelessfl.scenario.located import read_yaml
from wirelessfl.study.axes import Axis
from wirelessfl.study.executor import Member
from wirelessfl.trace.files import whole_file

SCHEMA_VERSION = 1
FILE = "study.json"
Kind = Literal["comparison", "sweep"]


@dataclass(frozen=True)
class Record:
    """What a study is, whether or not its members have run.

    Attributes:
        kind: Whether it compares strategies on one scenario, or varies the scenario.
        scenario: The scenario that members are made of.
        strategies: Their names; the first is the one others are measured against.
        seeds: Every strategy meets every seed.
        axes: What is varied; nothing in a comparison.
        members: Its runs.
        command: The command line that ran it, if one did.
    """

    kind: Kind
    scenario: Scenario
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    axes: tuple[Axis, ...]
    members: tuple[Member, ...]
    command: str | None = None

    def write(self, folder: Path, failures: Mapping[Member, Exception]) -> None:
        """Write `study.json`, and the scenario beside it; makes the folder if it is not there.

        Raises:
            OSError: If that cannot be.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "scenario.yaml", dump(self.scenario))
        document = {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "name": self.scenario.name,
            "command": self.command,
            "strategies": self.strategies,
            "seeds": self.seeds,
            "vary": [asdict(axis) for axis in self.axes],
            "members": [_entry(member, folder, failures.get(member)) for member in self.members],
        }
        write_text(folder / FILE, json.dumps(document, indent=2, allow_nan=False) + "\n")


def read_record(folder: Path) -> tuple[Record, dict[Member, Exception]]:
    """A study as it was written, and what its failed members failed with.

    Files that scenarios name are not looked for: they may be elsewhere by now.

    Raises:
        InputError: If the folder holds no study, or one of another version.
    """
    document = read_document(folder)
    scenario = _scenario(folder / "scenario.yaml")
    axes = [
        Axis(one["path"], one["unit"], tuple(one["values"]), tuple(one["texts"]))
        for one in document["vary"]
    ]
    failures: dict[Member, Exception] = {}
    members = []
    for entry in document["members"]:
        home = folder / entry["folder"]
        scenario_of_member = _scenario(home / "scenario.yaml")
        member = Member(entry["strategy"], scenario_of_member, home, entry["point"], entry["place"])
        members.append(member)
        if entry["error"] is not None:
            failures[member] = _error(entry["error"])
    record = Record(
        document["kind"],
        scenario,
        tuple(document["strategies"]),
        tuple(document["seeds"]),
        tuple(axes),
        tuple(members),
        document["command"],
    )
    return record, failures


def read_document(folder: Path) -> dict[str, Any]:
    """What `study.json` says.

    Raises:
        InputError: If it is not there, is damaged, or was written by another version.
    """
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} holds no comparison or sweep (no {FILE})") from None
    except ValueError as error:
        raise InputError(f"{folder / FILE}: is damaged: {reason(error)}") from None
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"{folder / FILE}: was written by another version of wirelessfl")
    return document


def finished(folder: Path) -> tuple[int, int]:
    """How many members of a folder's study have finished, and how many there are.

    Raises:
        InputError: As `read_document`.
    """
    members = read_document(folder)["members"]
    done = sum((folder / one["folder"] / "summary.json").exists() for one in members)
    return done, len(members)


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def _entry(member: Member, folder: Path, error: Exception | None) -> dict[str, Any]:
    assert member.folder is not None
    said = None
    if error is not None:
        notes = getattr(error, "__notes__", [])
        said = {"type": type(error).__name__, "message": str(error), "notes": notes}
    return {
        "folder": member.folder.relative_to(folder).as_posix(),
        "strategy": member.strategy,
        "seed": member.seed,
        "point": dict(member.point),
        "place": member.place,
        "error": said,
    }


def _error(said: Mapping[str, Any]) -> Exception:
    kind = InputError if said["type"] == "InputError" else RuntimeError
    error = kind(said["message"])
    for note in said["notes"]:
        error.add_note(note)
    return error


def _scenario(path: Path) -> Scenario:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, but its study names it") from None
    try:
        plain = read_yaml(text, str(path)).plain()
        return Scenario.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: is of another version of wirelessfl: {reason(error)}") from None
