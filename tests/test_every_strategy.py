"""Every kind of strategy, from the command line to the trace, on one small scenario."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.conftest import SMALL
from wirelessfl.cli import app
from wirelessfl.scenario.base import kinds
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.scenario.strategy import StrategyConfig
from wirelessfl.trace import Trace

ROOT = Path(__file__).parents[1]
KINDS = [kind for kind in kinds(StrategyConfig) if kind != "custom"]  # see test_custom.py


def wirelessfl(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def options(kind: str) -> str:
    """A strategy for six clients."""
    levels = {"full": "", "adaptive": "pilot_expected: 3, pilot_rounds: 1"}
    levels["adaptive-paper"] = levels["adaptive"]
    levels["adaptive-async"] = "concurrency_max: 3"
    levels["fedasync"] = levels["fedbuff"] = "concurrency: 3"
    level = levels.get(kind, "expected: 3")
    return f"{{kind: {kind}" + (f", participation: {{{level}}}}}" if level else "}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_from_the_command_line(kind: str, small_file: Path, tmp_path: Path):
    out = tmp_path / "out"
    wirelessfl("run", small_file, "--set", f"strategy={options(kind)}", "--out", out)
    trace = Trace.read(out)
    assert trace.summary["strategy"] == kind
    assert len(trace.rounds) == 4
    assert trace.rounds["loss"].notna().all()
    assert (trace.rounds["end_s"].diff().dropna() > 0).all()
    assert trace.clients["weight"].notna().any()


@pytest.mark.slow
def test_all_can_be_compared(small_file: Path, tmp_path: Path):
    strategies = "".join(f"  {kind}: {options(kind)}\n" for kind in KINDS if kind != "uniform")
    text = small_file.read_text(encoding="utf-8")
    small_file.write_text(f"{text}strategies:\n{strategies}", encoding="utf-8")
    target = "stop.target={metric: loss, below: 3}"
    wirelessfl(
        *("compare", small_file, "--strategies", ",".join(KINDS), "--seeds", "0"),
        *("--set", target, "--out", tmp_path / "out", "--jobs", "1"),
    )
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table["strategy"].tolist() == KINDS


def ablations() -> list[tuple[str, ...]]:
    """What the page on strategies says to set, line by line."""
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    lines = page.partition("### Ablations")[2].partition("\n\n`adaptive-paper`")[0].splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return [tuple(re.findall("`([^`]+)`", cell)) for cell in cells]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rounds of `adaptive` with nothing switched off."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(SMALL, encoding="utf-8")
    return ablated(folder / "small.yaml", folder / "out", ())


def ablated(file: Path, out: Path, switches: tuple[str, ...]) -> pd.DataFrame:
    """Rounds of `adaptive`, whose step is far too large at first, with something switched off."""
    base = "{kind: adaptive, participation: {pilot_rounds: 1}, server: {step_max: 50}}"
    far = ("network.cells.radius=1500 m", "learning.lora.rank=16", "seed=3")  # ranks are planned
    settings = [
        "stop.rounds=8",
        f"strategy={base}",
        *(f"strategy.{one}" for one in switches),
        *far,
    ]
    if any(one.startswith("server={") for one in switches):
        settings[1] = "strategy={kind: adaptive, participation: {pilot_rounds: 1}}"
    wirelessfl("run", file, "--out", out, *(word for one in settings for word in ("--set", one)))
    return Trace.read(out).rounds


@pytest.mark.slow
@pytest.mark.parametrize("switches", ablations(), ids=" ".join)
def test_every_ablation_of_the_page_runs_and_makes_a_difference(
    switches: tuple[str, ...], whole: pd.DataFrame, small_file: Path, tmp_path: Path
):
    rounds = ablated(small_file, tmp_path / "out", switches)
    assert len(rounds) == len(whole) == 9
    assert not np.array_equal(rounds["loss"], whole["loss"])


def test_all_are_listed_on_one_line_each():
    lines = wirelessfl("list", "strategies").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [*KINDS, "custom"]
    assert all(kind.summary.endswith(".") for kind in list_kinds("strategy"))
