"""Broken scenarios by the thousand: whatever is written, there is an answer, soon and in words.

    python -m tests.fuzz --cases 10000 --seed 0

Every scenario of `scenarios/` is taken apart and put together wrongly: fields go missing, change
their type, get extreme numbers, other units, odd text, deep or aliased structures, or what another
field has. Each case is loaded and checked as `wirelessfl validate` would; of those that are valid
some run two rounds without learning. What is not an `InputError` is a defect, as are more than two
seconds or 500 MB.
"""

from __future__ import annotations

import argparse
import collections
import copy
import faulthandler
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ruamel.yaml import YAML

from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.scenario.yaml_text import yaml_text
from wirelessfl.simulation.world import check

FOLDER = Path(__file__).parents[1] / "scenarios"
LONGEST_S = 2.0
HANGING_S = 60.0
SAID_EVERY_S = 10.0
MOST_BYTES = 500 << 20

NUMBERS = (
    0, -1, 1, 2, 3, 7, 0.5, -0.0, 1e-300, 1e-9, 1e9, 1e18, 1e300, 1.7e308, 5e-324, float("inf"),
    float("-inf"), float("nan"), 2**31, 2**63 - 1, 2**63, 10**30, 10**400, -(10**30), 1.5, 0.999999,
)  # fmt: skip
UNITS = (
    "Hz", "kHz", "MHz", "GHz", "THz", "s", "ms", "us", "min", "h", "d", "days", "m", "km", "mm",
    "m/s", "km/h", "W", "mW", "J", "kJ", "B", "MB", "GiB", "bit/s", "Gbit/s", "dB", "dBm", "FLOP/s",
    "TFLOP/s", "GB/s", "kg", "%", "°", "",
)  # fmt: skip
TEXTS = (
    "", " ", "none", "null", "~", "auto", "yes", "NaN", "1e999999999", "0x10", "1_000", "-", "..",
    "/", "../..", "/dev/zero", "/dev/stdin", "/proc/self/mem", "a\0b", "é", "ß" * 200, "\u202e",
    "😀", "\ud800", "<script>", "'; DROP", "%s%n", "{0}", "${HOME}", "a" * 5000, "9" * 6000, "\x85",
    "uniform", "tr38901", "custom", "this:That", "this",
)  # fmt: skip


@dataclass
class Counts:
    """What became of the cases, and the defects with the texts that show them."""

    cases: int = 0
    valid: int = 0
    run: int = 0
    slowest_s: float = 0.0
    defects: dict[str, str] = field(default_factory=dict)
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)

    def __str__(self) -> str:
        """The counts in one line."""
        return (
            f"{self.valid} valid, {self.run} run, {len(self.defects)} kinds of defect; slowest "
            f"{self.slowest_s:.2f} s of processor time, peak {peak_bytes() >> 20} MiB"
        )


class TooLong(BaseException):
    """A case took longer than it may; no `except Exception` on its way keeps it."""


def trees() -> list[tuple[str, Any]]:
    """Name and content of every example."""
    yaml = YAML(typ="safe", pure=True)
    return [(path.stem, yaml.load(path)) for path in sorted(FOLDER.glob("*.yaml"))]


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, child in items:
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


def value(rng: random.Random, donor: Any) -> Any:
    """Something that may be written anywhere."""
    choice = rng.randrange(8)
    if choice == 0:
        return rng.choice(NUMBERS)
    if choice == 1:
        return f"{rng.choice(NUMBERS)} {rng.choice(UNITS)}"
    if choice == 2:
        return rng.choice(TEXTS)
    if choice == 3:
        return rng.choice([None, True, False, [], {}, [[]], [None], {"": None}])
    if choice == 4:
        deep: Any = rng.choice(NUMBERS)
        for _ in range(rng.choice((2, 20, 31, 40, 200))):
            deep = {"a": deep} if rng.random() < 0.5 else [deep]
        return deep
    if choice == 5:
        return [rng.choice(NUMBERS) for _ in range(rng.choice((1, 2, 40, 3000)))]
    found = list(places(donor))
    node = donor
    for key in rng.choice(found):
        node = node[key]
    return copy.deepcopy(node)


def broken(rng: random.Random, examples: list[tuple[str, Any]]) -> str:
    """The text of a scenario with one to four things wrong with it."""
    tree = copy.deepcopy(rng.choice(examples)[1])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        path = rng.choice(list(places(tree)) or [("name",)])
        section = tree
        for key in path[:-1]:
            section = section[key]
        change, key = rng.randrange(8), path[-1]
        if change == 0:
            del section[key]
            tree = tree or {"name": "a"}
        elif change == 1 and isinstance(section, dict):
            section[rng.choice((*TEXTS[:12], "kind", "extends", "file", f"{key}x"))] = section[key]
        elif change <= 4:
            section[key] = rng.choice(NUMBERS) if rng.random() < 0.5 else scaled(rng, section[key])
        else:
            section[key] = value(rng, rng.choice(examples)[1])
    return written(rng, tree)


def scaled(rng: random.Random, old: Any) -> Any:
    """A number, with its unit if it has one, made much larger or smaller."""
    by = rng.choice((-1.0, 0.0, 1e-12, 1e-3, 0.5, 2.0, 10.0, 1e3, 1e6, 1e12, 1e40))
    if isinstance(old, bool) or not isinstance(old, int | float | str) or len(str(old)) > 40:
        return old
    if isinstance(old, int):
        return int(old * by) if rng.random() < 0.8 else old * by
    if isinstance(old, float):
        return old * by
    number, _, unit = old.partition(" ")
    try:
        return f"{float(number) * by:g} {unit}"
    except ValueError:
        return old


def written(rng: random.Random, tree: Any) -> str:
    """The tree as YAML or JSON, sometimes with the text itself broken."""
    try:
        text = yaml_text(tree) if rng.random() < 0.5 else json.dumps(tree)
    except Exception:  # half a surrogate pair has no YAML; JSON escapes it
        text = json.dumps(tree)
    wrong = rng.random()
    if wrong < 0.04:
        at = rng.randrange(len(text) + 1)
        garbage = ("\t", "\0", "{", "]", "&a ", "*a", "!!python/object:os.system ", "%", "\ufeff")
        text = text[:at] + rng.choice(garbage) + text[at:]
    elif wrong < 0.06:
        text = text[: rng.randrange(len(text) + 1)]
    elif wrong < 0.07:
        text += "\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(9))
    return text


@contextmanager
def alarmed(longest_s: float, hanging_s: float) -> Iterator[None]:
    """Ends a block that takes too long, by an exception or, in compiled code, with the process."""

    def alarm(*_: object) -> None:
        raise TooLong(f"more than {longest_s:g} s")

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, longest_s, 1.0)  # what swallows one alarm gets the next
    faulthandler.dump_traceback_later(hanging_s, exit=True)  # an alarm never ends compiled code
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def whence(error: BaseException) -> str:
    """The last three lines of the package that an exception went through, the last one first."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "wirelessfl" in f.filename]
    return " < ".join(own[::-1][:3])


def one(text: str, counts: Counts, simulated: bool) -> None:
    """One case; a defect is noted with its text."""
    from wirelessfl.simulation import simulate

    started = time.process_time()
    counts.cases += 1
    step = "load"
    try:
        with alarmed(4 * LONGEST_S, HANGING_S):  # a busy machine is not a slow program
            scenario = loads(text, str(FOLDER / "fuzzed.yaml"))
            step = "check"
            check(scenario)
            counts.valid += 1
            if simulated and scenario.devices.count <= 2000:
                step = "run"
                light = scenario.timing_only()
                stop = light.stop.model_copy(update={"rounds": 2})
                simulate(light.model_copy(update={"stop": stop}))
                counts.run += 1
    except InputError as error:
        if not str(error).strip():
            counts.defects.setdefault("an error without words", text)
        counts.kinds[type(error).__name__] += 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        counts.defects.setdefault(
            f"{step}: {type(error).__name__}: {str(error)[:90]}: {whence(error)}", text
        )
    took_s = time.process_time() - started
    counts.slowest_s = max(counts.slowest_s, took_s)
    if took_s > LONGEST_S:
        counts.defects.setdefault(f"{step}: took {took_s:.1f} s", text)


def peak_bytes() -> int:
    """Most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(
    cases: int, seed: int, first: int = 0, run_every: int = 5, log: TextIO | None = None
) -> Counts:
    """Cases from the `first` to before `cases`; the same for the same seed; progress to `log`."""
    examples, counts, before = trees(), Counts(), peak_bytes()
    for _, tree in examples:  # the first to need something imported or compiled would wait for it
        one(yaml_text(tree), Counts(), simulated=True)
    said_s, found = time.monotonic(), 0
    for case in range(first, cases):
        rng = random.Random(f"{seed}/{case}")
        one(broken(rng, examples), counts, simulated=case % run_every == 0)
        if log is None:
            continue
        for defect in list(counts.defects)[found:]:
            print(f"case {case}: {defect}", file=log, flush=True)
        found = len(counts.defects)
        if time.monotonic() - said_s > SAID_EVERY_S:
            said_s = time.monotonic()
            print(f"[{case + 1}/{cases}] {counts}", file=log, flush=True)
    grown = peak_bytes() - before
    if grown > MOST_BYTES:
        counts.defects.setdefault(f"memory: {grown >> 20} MiB", "")
    return counts


def main() -> None:
    """Run many cases and write down the defects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="Begin with this case.")
    parser.add_argument("--defects", type=Path, help="Folder for the texts of defects.")
    options = parser.parse_args()
    started = time.perf_counter()
    counts = fuzz(options.cases, options.seed, options.first, log=sys.stderr)
    print(f"{counts.cases} cases in {time.perf_counter() - started:.0f} s: {counts}")
    for number, (defect, text) in enumerate(counts.defects.items()):
        print(f"  {number}: {defect}")
        if options.defects is not None:
            options.defects.mkdir(parents=True, exist_ok=True)
            (options.defects / f"{number}.yaml").write_text(
                text, encoding="utf-8", errors="replace"
            )
    sys.exit(1 if counts.defects else 0)


if __name__ == "__main__":
    main()
