"""Odd command lines by the thousand: each ends in words and with a known exit code, and soon.

    python -m tests.fuzz_commands --cases 3000 --seed 0

Hypothesis draws a command, its options and their values: odd paths, numbers, lists, names and
fields, and folders of finished or unfinished runs of which something is damaged. A defect is an
exception that leaves the program, another exit code than 0 to 3, an exit code of 2 with no message
or with two, and more than `LONGEST_S`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.fuzz import HANGING_S, alarmed, whence
from wirelessfl.cli import main as wirelessfl_main

LONGEST_S = 8.0  # of processor time; a valid study of a few short runs is among the cases

TINY = """
name: tiny
stop: {rounds: 2}
devices: {count: 4}
learning:
  model: {kind: tiny-vit, hidden: 16, layers: 1, heads: 2, pretrain_steps: 2}
  task: {kind: none}
  local: {steps: 1, batch: 1}
strategy: {kind: uniform, participation: {expected: 2}}
strategies:
  mine: {kind: full}
"""

# No path here may be one that a defect would let a superuser write to: all stay in the workplace.
ODD = (
    "", " ", "\t", "\n", "-", "--", "-1", "a", "a b", "a,b", ".", "..", "~", "*", "=", ",",
    ",,,", "0", "²", "٣", "𝟘", "１", "NaN", "inf", "1e400", "9" * 40, "9" * 5000, "0x10", "1_0",
    "null", "{}", "[]", "{", "]", "&a [*a]", "!!python/object:os.system", "[" * 200, "\x00",
    "a\x00b", "\x1b[31m", "\u202e", "é", "😀", "\udcff", "a" * 300, "a/" * 3000, "x" * 20_000,
    "[red]", "%s", "/proc/self/mem", "/proc/1", "/dev/null/a", "file.txt",
    "file.txt/below", "../../..", "tiny.yaml", "broken.yaml", "bytes.yaml", "run", "sweep", "empty",
    "nowhere", "loop", "dangling", "pipe", "full/" + "a" * 250,
)  # fmt: skip
SEEDS = (
    "5-2", "0-999999999999", "0-9223372036854775808", "9223372036854775807", "9" * 20, "-3", "0--1",
    "1-2-3", "²", "0-²", "٣", "1,1,1", "0, 1", "0-0", "1e3", "0-", "-", ",", "1,", " 1 ", "+1",
    "1.0", ",".join(["3"] * 5000), "0-100000", "0-99,0-99,0-99,0-9999", "9223372036854775808",
)  # fmt: skip
NAMES = (
    "uniform,uniform", ",", "nobody", "uniform,nobody", "full,", "adaptive", "../x", "Uniform",
    "strategies", "kind", "fedbuff", "luo", "custom", ",".join(["full"] * 3000), "uniform full",
)  # fmt: skip
FIELDS = (
    "seed", "stop.rounds", "devices.count", "devices", "strategy.kind", "strategy", "strategies",
    "strategy.participation.expected", "network.uplink.bandwidth", "network.carrier", "name",
    "learning.lora.rank", "learning.task.kind", "network.topology.file", "devices.mix", "extends",
    "strategies.mine", "strategies.mine.server.step", "trace.events", "stop", "stop.time", ".",
    "nothing.here", "a..b", "devices.count.x", "network.fading.kind", "stop.target", " ", "seed ",
    "devices.availability.kind", "devices.profiles", "server.deadline", "learning.seed", "x" * 9000,
    ".".join("a" * 900), "description",
)  # fmt: skip
VALUES = (
    "1", "2", "3", "0", "-1", "1.5", "1 MHz", "5 MHz", "1 parsec", "null", "true", "full",
    "uniform", "{kind: full}", "{kind: nobody}", "{a: {b: c}}", "[1, 2]", "x.csv", "file.txt",
    "/dev/zero", "9" * 30, "1e300 s", "1 s", "on_off", "rayleigh", "{expected: 2}", "'",
    f"[{'1,' * 5000}1]",
    '"a', "{a: 1", "*a", "2, 3", "1 MHz, 1 MHz", "1,,2", "1MHz,1 MHz,1e6 Hz", "{kind: none}",
    ",".join(map(str, range(200))), "custom", "os:system", "not.there:Thing", "2,3,2.0", "1e0,1",
)  # fmt: skip
RANGES = (
    "server.step=8..1", "server.step=nan..1", "server.step=1..inf", "kind=1..2", "a=b", "=", "..",
    "server.step=1", "nothing=1..2", "server.step=1e-300..1e300", "server.step=٣..٤", "server=1..2",
    "participation.expected=0.001..9999999999999999999999", "server.step=1e-9..1e-8",
)  # fmt: skip
NUMBERS = ("0", "-1", "1.5", "1e3", "²", "0x1", "99999999999999999999", "9223372036854775807")

Choice = tuple[str, tuple[str, ...], tuple[str, ...]]  # an option, good values, and less good ones
FLAG: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def _pairs(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{field}={value}" for field in FIELDS for value in values)


FILE: Choice = ("", ("tiny.yaml",), ("broken.yaml", "bytes.yaml", "run/scenario.yaml"))
TARGET: Choice = ("", ("target.yaml",), ("tiny.yaml", "broken.yaml", "run/scenario.yaml"))
FOLDER: Choice = ("", ("run", "sweep"), ("stopped", "empty", "file.txt", "run/scenario.yaml"))
OUT: Choice = ("--out", ("made", "made/below", "run"), ("sweep", "stopped", "empty", "file.txt"))
SET: Choice = ("--set", ("seed=3", "devices.count=3", "stop.rounds=1"), _pairs(VALUES))
SHOWN: Choice = ("--json", *FLAG)
SHARED: tuple[Choice, ...] = (SET, OUT, SHOWN, ("--quiet", *FLAG), ("--allow-custom", *FLAG))
STUDY: tuple[Choice, ...] = (
    ("--seeds", ("0", "1,2"), SEEDS),
    ("--jobs", ("1",), NUMBERS),
    ("--executor", ("local",), ("ray", "none")),
    ("--overwrite", *FLAG),
    ("--memo", ("made",), ("file.txt", "run", "nowhere")),
    *SHARED,
)
VARY: Choice = ("--vary", ("devices.count=3,4", "seed=1"), _pairs(VALUES))
STRATEGIES: Choice = ("--strategies", ("uniform", "mine,uniform"), NAMES)
STRATEGY: Choice = ("--strategy", ("uniform", "mine"), NAMES)
PATHS = ("made/x.png", "x.html"), ("empty", "file.txt", "run", "made/a/b/c/d.svg")

# The command, what it must be given, and what it may.
COMMANDS: tuple[tuple[str, tuple[Choice, ...], tuple[Choice, ...]], ...] = (
    ("run", (FILE,), (("--seed", ("1",), NUMBERS), ("--resume", *FLAG), ("--overwrite", *FLAG),
                      ("--timing-only", *FLAG), ("--require-target", *FLAG), *SHARED)),
    ("compare", (TARGET, ("--jobs", ("0",), ("x",))), (STRATEGIES, *STUDY)),
    ("compare", (TARGET, ("--strategies", ("nobody",), NAMES)), STUDY),
    ("sweep", (FILE, VARY, ("--jobs", ("1",), NUMBERS)), (VARY, VARY, STRATEGIES, *STUDY)),
    ("tune", (TARGET, STRATEGY, ("--trials", ("0",), NUMBERS[:5])), STUDY),
    ("tune", (TARGET, STRATEGY, ("--over", ("a=1..2",), RANGES[:9])), STUDY),
    ("plan", (FILE,), (STRATEGY, ("--from", ("run",), ("sweep", "empty", "file.txt")), *SHARED)),
    ("validate", (FILE,), (SET, SET, SET, *SHARED)),
    ("draw", (FILE,), (SET, ("--out", *PATHS))),
    ("list", (), (("", ("fading", "strategy"), ("nothing", "FADING", "fadin", "profiles")),)),
    ("schema", (), (SHOWN,)),
    ("report", (FOLDER,), (("--out", *PATHS),)),
    ("export", (FOLDER,), (("--csv", *PATHS), ("--tensorboard", *PATHS))),
    ("calibrate", (("--repeats", ("0",), NUMBERS[:5]),), (("--out", *PATHS),)),
)  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, ...]:
    """Arguments of `wirelessfl`: a command that could do, with up to three odd values in it."""
    command, needed, possible = draw(st.sampled_from(COMMANDS))
    chosen = [*needed, *draw(st.lists(st.sampled_from(possible or (SHOWN,)), max_size=4))]
    odd = draw(st.sets(st.integers(0, len(chosen) - 1), max_size=3)) if chosen else set()
    line = [command]
    for at, (option, good, less_good) in enumerate(chosen):
        if not good:
            line.append(option)
            continue
        pool = st.sampled_from(less_good) | st.sampled_from(ODD) | st.text(max_size=8)
        value = draw(pool if at in odd else st.sampled_from(good))
        if option and draw(st.booleans()):
            line.append(f"{option}={value}")
        else:
            line += [option, value] if option else [value]
    extra = draw(st.sampled_from([None] * 20 + list(ODD)))
    return tuple(line if extra is None else [*line, extra])


@dataclass(frozen=True)
class Damage:
    """Something wrong with one file of a folder."""

    folder: str
    number: int

    def make(self, place: Path) -> str:
        """Copy the folder to `damaged` and damage it; what was done, for people."""
        rng = random.Random(f"{self.folder}/{self.number}")
        target = place / "damaged"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(place / self.folder, target)
        files = sorted(path for path in target.rglob("*") if path.suffix in _DAMAGED)
        path = rng.choice(files)
        return f"{self.folder}/{path.relative_to(target)} {_damage(path, rng)}"


_DAMAGED = (".json", ".parquet", ".yaml", ".csv", ".safetensors")


def _damage(path: Path, rng: random.Random) -> str:
    choice = rng.randrange(10)
    data = path.read_bytes()
    if choice == 0:
        path.unlink()
        return "is gone"
    if choice == 1:
        path.unlink()
        path.mkdir()
        return "is a folder"
    if choice == 2:
        path.write_bytes(data[: rng.randrange(len(data))])
        return "is cut"
    if choice == 3:
        path.write_bytes(
            rng.choice([b"", b"\0" * 50, b"\xff\xfe", b"{}", b"[]", b"1", b"PAR1PAR1"])
        )
        return "is something else"
    if choice == 4 or path.suffix not in (".json", ".parquet"):
        at = rng.randrange(len(data))
        flipped = bytes([rng.randrange(256)]) * rng.choice((1, 1, 8))
        path.write_bytes(data[:at] + flipped + data[at + len(flipped) :])
        return f"has another byte at {at}"
    if path.suffix == ".json":
        return _damage_json(path, rng)
    return _damage_table(path, rng)


def _damage_json(path: Path, rng: random.Random) -> str:
    tree = json.loads(path.read_text())
    key = rng.choice(sorted(tree))  # what is deeper is not checked when it is read
    tree[key] = rng.choice([0.5, "../..", [None], {"a": None}])
    path.write_text(json.dumps(tree))
    return f"has {tree[key]!r} at {key}"


def _damage_table(path: Path, rng: random.Random) -> str:
    table = pq.read_table(path)
    choice = rng.randrange(4)
    if choice == 0:
        pq.write_table(table.slice(0, 0), path)
        return "has no rows"
    column = rng.randrange(table.num_columns)
    name = table.column_names[column]
    if choice == 1:
        pq.write_table(table.remove_column(column), path)
        return f"lacks {name}"
    if choice == 2:
        texts_ = pa.array(["x"] * table.num_rows)
        pq.write_table(table.set_column(column, name, texts_), path)
        return f"has texts in {name}"
    if table.schema.field(column).nullable:
        return f"is whole, though {name} might be missing"
    nulls = pa.nulls(table.num_rows, table.schema.field(column).type)
    pq.write_table(table.set_column(column, name, nulls), path)
    return f"has nulls in {name}"


@dataclass(frozen=True)
class Answer:
    """What came of a command line."""

    code: int
    out: str
    err: str
    error: BaseException | None
    took_s: float

    @property
    def defect(self) -> str | None:
        """What is wrong with it, if anything."""
        if self.error is not None:
            return f"{type(self.error).__name__}: {str(self.error)[:90]!r}: {whence(self.error)}"
        if self.code not in (0, 1, 2, 3):
            return f"exit code {self.code}"
        said = [line for line in self.err.splitlines() if line.startswith("error:")]
        messages = len(said) + self.err.count("─ Error ─")
        if self.code == 2 and messages != 1 and "runs failed" not in self.err:
            return f"exit code 2 with {messages} messages"
        if self.code == 1 and not self.err.strip():
            return "exit code 1 without a word"
        if "Traceback" in self.err:
            return "a traceback is printed"
        if self.took_s > LONGEST_S:
            return f"took {self.took_s:.0f} s"
        return None


def call(arguments: list[str], place: Path) -> Answer:
    """Run `wirelessfl` in this process, in a folder, with strict UTF-8 output."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", e) for e in ("strict", "backslashreplace")]
    before = Path.cwd()
    os.chdir(place)
    started, code, error = time.process_time(), 0, None
    try:
        with (
            alarmed(4 * LONGEST_S, HANGING_S + 4 * LONGEST_S),
            contextlib.redirect_stdout(streams[0]),
            contextlib.redirect_stderr(streams[1]),
            mock.patch.object(sys, "argv", ["wirelessfl", *arguments]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", hypothesis.errors.HypothesisWarning)
            wirelessfl_main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        error = raised
    finally:
        os.chdir(before)
    said = []
    for stream in streams:
        stream.flush()
        said.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return Answer(code, said[0], said[1], error, time.process_time() - started)


def prepare(place: Path) -> None:
    """Files and folders that the command lines name."""
    (place / "tiny.yaml").write_text(TINY)
    target = "stop: {rounds: 2, target: {metric: loss, below: 0.1}}"
    (place / "target.yaml").write_text(
        TINY.replace("stop: {rounds: 2}", target).replace("  task: {kind: none}\n", "")
    )
    (place / "broken.yaml").write_text("name: [")
    (place / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (place / "file.txt").write_text("words")
    (place / "x.csv").write_text("a,b\n1,2\n")
    (place / "empty").mkdir()
    (place / "loop").symlink_to("loop")
    (place / "dangling").symlink_to("gone/away")
    os.mkfifo(place / "pipe")
    for arguments in (
        ["run", "tiny.yaml", "--out", "run", "--quiet"],
        ["sweep", "tiny.yaml", "--vary", "devices.count=3,4", "--strategies", "uniform,full",
         "--out", "sweep", "--jobs", "1", "--quiet"],
    ):  # fmt: skip
        answer = call(arguments, place)
        if answer.code != 0 or answer.error is not None:
            raise RuntimeError(f"{arguments}: {answer}")
    stop_early(place)


def stop_early(place: Path) -> None:
    """Leave in `stopped` what a run would that was interrupted after its first round."""
    from wirelessfl.scenario import load
    from wirelessfl.simulation.checkpoint import Checkpoint, write_checkpoint

    saved = Checkpoint(1, (), {"a": np.zeros(3)})
    write_checkpoint(place / "stopped" / "checkpoint", load(place / "tiny.yaml"), saved)


@dataclass(frozen=True)
class Case:
    """A command line, after something may have been damaged."""

    arguments: tuple[str, ...]
    damage: Damage | None

    def answer(self, place: Path) -> tuple[str, Answer]:
        """What comes of it, and what was damaged."""
        shutil.rmtree(place / "made", ignore_errors=True)
        what = "" if self.damage is None else self.damage.make(place)
        return what, call(list(self.arguments), place)


def cases() -> st.SearchStrategy[Case]:
    """Odd command lines, and good ones on damaged folders."""
    odd = command_lines().map(lambda line: Case(line, None))
    meets = {
        "run": (
            ("report", "damaged", "--out", "made.html"),
            ("export", "damaged", "--csv", "made"),
            ("export", "damaged", "--tensorboard", "made"),
            ("plan", "tiny.yaml", "--from", "damaged"),
            ("run", "tiny.yaml", "--out", "damaged"),
            ("run", "tiny.yaml", "--out", "damaged", "--json", "--resume"),
        ),
        "sweep": (
            ("report", "damaged", "--out", "made.html"),
            ("export", "damaged", "--csv", "made"),
            ("sweep", "tiny.yaml", "--vary", "devices.count=3,4", "--strategies", "uniform,full",
             "--out", "damaged", "--jobs", "1"),
        ),
        "stopped": (
            ("run", "tiny.yaml", "--out", "damaged", "--resume"),
            ("run", "tiny.yaml", "--out", "damaged"),
            ("run", "tiny.yaml", "--out", "damaged", "--overwrite"),
        ),
    }  # fmt: skip
    pairs = [(folder, line) for folder, lines in meets.items() for line in lines]
    damaged = st.builds(
        lambda pair, number: Case(pair[1], Damage(pair[0], number)),
        st.sampled_from(pairs),
        st.integers(0, 10**6),
    )
    return st.one_of(odd, odd, damaged)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder of its own for the command lines, and for what they keep in the cache."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "a" / "b" / "c" / "work"
        place.mkdir(parents=True)
        with mock.patch.dict(os.environ, {"HOME": name, "WIRELESSFL_CACHE": f"{name}/cache"}):
            prepare(place)
            yield place


def main() -> None:
    """Run many cases and print the defects, each kind once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    defects: dict[str, str] = {}
    codes: dict[int, int] = {}
    started = said = time.monotonic()
    with workplace() as place:

        @hypothesis.seed(options.seed)
        @hypothesis.settings(
            max_examples=options.cases,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(cases())
        def each(case: Case) -> None:
            nonlocal said
            what, answer = case.answer(place)
            codes[answer.code] = codes.get(answer.code, 0) + 1
            defect = answer.defect
            if defect is not None and defect not in defects:
                line = [
                    text if len(text) < 60 else f"{text[:50]}...({len(text)})"
                    for text in case.arguments
                ]
                defects[defect] = f"{line} {what}"
                print(
                    f"{defect}\n    {defects[defect]!r}\n    {answer.err[-300:]!r}", file=sys.stderr
                )
            if time.monotonic() - said > 10:
                said = time.monotonic()
                print(
                    f"[{sum(codes.values())}/{options.cases}] {codes}, {len(defects)} defects",
                    file=sys.stderr,
                )

        each()
    print(
        f"{sum(codes.values())} command lines in {time.monotonic() - started:.0f} s: exit codes "
        f"{dict(sorted(codes.items()))}, {len(defects)} kinds of defect"
    )
    sys.exit(1 if defects else 0)


if __name__ == "__main__":
    main()
