"""`wirelessfl export`, as a user calls it."""

from __future__ import annotations

from pathlib import Path

from tests.test_cli import answered
from tests.trace.conftest import make_trace


def test_a_comparison_is_exported_run_by_run(tmp_path: Path):
    for name in ("uniform/seed-0", "full/seed-0"):
        make_trace().write(tmp_path / "runs" / name)
    done = answered("export", "runs", "--csv", "tables", "--tensorboard", "logs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 runs exported to tables, logs\n"
    assert (tmp_path / "tables" / "full" / "seed-0" / "clients.csv").is_file()
    assert len(list((tmp_path / "logs").rglob("events.out.tfevents*"))) == 2


def test_bad_use_exits_with_2_and_one_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    make_trace().write(tmp_path / "run")
    for arguments, message in (
        (("run",), "say where to"),
        (("none", "--csv", "t"), "holds no finished run"),
        (("run", "--csv", "file"), "cannot be written"),
    ):
        done = answered("export", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert "Traceback" not in done.stderr
