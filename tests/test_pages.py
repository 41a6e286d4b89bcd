"""The reference pages say what the code does, and their examples run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer.main

from docs.reference import renewed
from wirelessfl.cli import app
from wirelessfl.scenario import Scenario, loads
from wirelessfl.scenario.base import kinds, sections, yaml_fields
from wirelessfl.simulation import simulate
from wirelessfl.trace import Trace
from wirelessfl.trace.words import duration

DOCS = Path(__file__).parents[1] / "docs"
TRACE = (DOCS / "trace.md").read_text(encoding="utf-8")
ROOT = DOCS.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "results").rglob("README.md")]


@pytest.mark.parametrize("page", ["trace.md", "scenario.md"])
def test_the_page_is_current(page: str):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == renewed(text), "write it again: make pages"


def test_every_field_of_the_first_two_levels_is_on_the_scenario_page():
    page = (DOCS / "scenario.md").read_text(encoding="utf-8")
    for name, field in yaml_fields(Scenario).items():
        annotation = field.rebuild_annotation()
        assert f"`{name}`" in page
        for section in [] if kinds(annotation) else sections(annotation):
            for below in yaml_fields(section):
                assert f"`{below}`" in page or f"`{name}.{below}`" in page, (name, below)


@pytest.fixture(scope="module")
def trace() -> Trace:
    from tests.conftest import SMALL
    from wirelessfl.scenario import loads

    return simulate(loads(SMALL, "small.yaml", ["stop.rounds=2"]))


def test_parquet_carries_units_and_version(trace: Trace, tmp_path: Path):
    trace.write(tmp_path)
    for table in ("rounds", "clients", "events", "holdings"):
        schema = pq.read_schema(tmp_path / f"{table}.parquet")
        assert schema.metadata[b"schema_version"] == b"3"
        assert schema.metadata[b"table"] == table.encode()
        for field in schema:
            row = f"| `{field.name}` | {field.type} | {field.metadata[b'unit'].decode()} |"
            assert row in TRACE


def test_the_one_line_examples_run(trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    trace.write("runs/quickstart-seed-0")
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", TRACE, flags=re.DOTALL):
        exec(code, names)
    assert names["rounds"]["end_s"].tolist() == trace.rounds["end_s"].tolist()
    slowest = names["slowest"].set_index("profile")["max(upload_s)"].to_dict()
    assert slowest == trace.clients.groupby("profile")["upload_s"].max().to_dict()


def test_the_summary_has_the_fields_on_the_page_and_two_runs_differ_in_host_alone(
    trace: Trace, small: Callable[..., Scenario]
):
    table = TRACE[TRACE.index("## summary.json") : TRACE.index("## timeline.json")]
    told = {
        n for row in re.findall(r"^\| (`.*?) \|", table, re.M) for n in re.findall(r"`(\w+)`", row)
    }
    assert told - {"schema_version", "privacy", "ergodic"} == set(trace.summary)
    again = simulate(small("stop.rounds=2")).summary
    assert {k for k in again if again[k] != trace.summary[k]} == {"host"}
    assert set(trace.summary["model"]) == {"kind", "fingerprint", "parameters"}
    assert simulate(small("learning.task={kind: none}")).summary["model"] is None


def test_the_index_names_every_page_and_links_lead_somewhere():
    linked = set(re.findall(r"\]\((\w+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"README.md"}


def test_the_quickstart_scenario_changes_what_it_says(tmp_path: Path):
    from wirelessfl.scenario import load

    (scenario,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "quickstart.md").read_text(), re.DOTALL)
    base = DOCS.parent / "scenarios" / "quickstart.yaml"
    (tmp_path / "wide.yaml").write_text(scenario.replace("quickstart.yaml", str(base)))
    wide, narrow = load(tmp_path / "wide.yaml"), load(base)
    assert wide.network.uplink.bandwidth_hz == 5 * narrow.network.uplink.bandwidth_hz == 5e6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_is_one(page: Path):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(?: {4})?(?:\S+/)?wirelessfl ([a-z-].*)$", text, re.MULTILINE)
    lines += [part.replace("\n", " ") for part in re.findall(r"`wirelessfl\s([^`]+)`", text)]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in lines:
        name, *words = [part for part in shlex.split(line, comments=True) if part != "$"]
        if name.startswith("--"):
            assert name in ("--help", "--install-completion", "--show-completion"), line
            continue
        assert name in commands, line
        options = {option for param in commands[name].params for option in param.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert given <= options | {"--help"}, line
        for file in (word for word in words if word.startswith(("scenarios/", "results/strategy"))):
            assert (ROOT / file).exists() or f"`{file}`:" in text, line  # the page has it


@pytest.mark.parametrize("page", ["README.md", "docs/asynchronous.md", "docs/strategies.md"])
def test_a_scenario_on_a_page_is_one(page: str):
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    for text in found:
        loads(f"name: shown\n{text}", page)
    assert found


def test_the_table_of_the_readme_is_the_one_that_is_kept():
    kept = pd.read_csv(ROOT / "results" / "quickstart" / "table.csv").set_index("strategy")
    for name, row in kept.iterrows():
        ((first, second),) = re.findall(rf"^( {name}  .*)\n(.*)$", README, flags=re.MULTILINE)
        shown = [f"{row['reached']:.0f}/{row['runs']:.0f}", duration(row["time_s"])]
        shown += [f"{row['rounds']:.0f}"]
        shown += [f"{row['participants']:.1f}", f"{row['mean_rank']:.1f}", f"{row['speedup']:.2f}x"]
        assert re.split(r"\s{2,}", first.strip()) == [str(name), *shown]
        assert f"[{duration(row['time_low_s'])}–{duration(row['time_high_s'])}]" in second
        ratio = f"[{row['speedup_low']:.2f}–{row['speedup_high']:.2f}]"
        assert (ratio in second) != (name == kept.index[0])  # the one that others are measured by
