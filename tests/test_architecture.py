"""The rooms stand on top of one another, and imports only go down."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wirelessfl

PACKAGE = Path(wirelessfl.__file__).parent
FLOORS = [
    {"__init__", "cli"},
    {"cli_study", "cli_export", "cli_report", "cli_machine"},
    {"cli_options"},
    {"plan_tables", "study_tables"},
    {"console", "completion"},
    {"study", "doctor"},
    {"simulation"},
    {"strategy", "learning", "network", "device"},
    {"trace"},
    {"scenario"},
    {"randomness", "errors", "arrays", "compiled"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(path: Path) -> set[str]:
    """Rooms of this package that a module imports, at its top or inside a function."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"wirelessfl.{alias.name}" for alias in node.names]
                if node.module == "wirelessfl"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "wirelessfl" and len(parts) > 1 and parts[1] in LEVEL:
                rooms.add(parts[1])
    return rooms


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_module_belongs_to_a_room():
    assert {room_of(path) for path in modules()} <= set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path):
    room = room_of(path)
    for other in imported_rooms(path) - {room}:
        assert LEVEL[other] > LEVEL[room], f"{room} must not import {other}"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("wirelessfl.scenario", {"numpy", "torch"}),
        ("wirelessfl.cli", {"numpy", "pandas", "torch", "matplotlib", "pydantic"}),
        ("wirelessfl.network", {"torch"}),
        ("wirelessfl.device", {"torch"}),
        ("wirelessfl.strategy", {"torch"}),
        ("wirelessfl.trace", {"torch"}),
        (
            "wirelessfl.simulation.world",
            {"torch", "pandas", "matplotlib", "numba", "scipy", "optuna", "sklearn"},
        ),
    ],
)
def test_heavy_libraries_are_imported_only_where_they_are_used(module: str, forbidden: set[str]):
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {forbidden!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
