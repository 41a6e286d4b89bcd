"""Compiled functions compute what they say, wherever their machine code can be kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wirelessfl.compiled import compiled

LOOP = """
def harmonic(values):
    total = 0.0
    for value in values:
        total += 1.0 / value
    return total
"""


def harmonic(values):
    total = 0.0
    for value in values:
        total += 1.0 / value
    return total


def test_sums_are_added_in_the_order_written():
    values = np.random.default_rng(1).exponential(size=1001) ** 3
    assert compiled(harmonic)(values) == harmonic(values)  # fast-math would add lanes of a register


def test_a_function_whose_machine_code_nobody_can_keep_is_compiled_all_the_same():
    room: dict = {}
    exec(LOOP, room)  # of no file
    assert compiled(room["harmonic"])(np.array([1.0, 2.0])) == 1.5


def test_machine_code_is_kept_for_later_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "loops_of_a_test.py").write_text(LOOP)
    monkeypatch.syspath_prepend(tmp_path)
    import loops_of_a_test

    assert compiled(loops_of_a_test.harmonic)(np.ones(3)) == 3.0
    assert list(tmp_path.rglob("*.nbi"))
