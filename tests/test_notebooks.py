"""Every notebook runs from top to bottom; they are kept without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
HELD = {
    "02_channel_variation.ipynb": """
assert (memoised["misses"] > 0).tolist() == [True, False, False]
assert (memoised["hits"] >= 20).tolist() == [False, True, True]
assert memoised["loss"].nunique() == 1 and memoised["simulated_s"].nunique() == 3
assert max(retimed_s) < trained_s
"""
}
"""What must hold at the end of a notebook."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's own packages
@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs(name: str):
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(HELD.get(name, "")))
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    shown = [cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"]
    assert any(outputs for outputs in shown)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept_without_outputs(name: str):
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
