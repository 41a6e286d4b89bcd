"""Files that are either whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.trace.files import whole_file


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "a.txt"
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with whole_file(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert (path.read_text(), list(tmp_path.iterdir())) == ("whole", [path])


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="pipe is not an ordinary file"), whole_file(pipe):
        pass
    assert pipe.is_fifo()
