"""The page: whole, escaped, the same every time, and readable in a browser."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wirelessfl as wfl
from tests.study.report.browser import CHROMIUM, Browser
from tests.study.report.runs import a_run, a_study, scenario
from wirelessfl.study import Study
from wirelessfl.study.report import report_folder
from wirelessfl.trace import Trace

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Elements(HTMLParser):
    """What a browser would make of the page: elements, attributes, and text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)
        else:
            self.words += data


def hostile_trace() -> Trace:
    """A run in which everything that a user can name is named to do harm."""
    trace = a_run(10.0, [4.0, 2.0, 1.0])
    summary = {"name": HOSTILE, "strategy": HOSTILE, "seed": 0, "versions": {HOSTILE: HOSTILE}}
    summary |= {"fingerprint": HOSTILE, "diverged": HOSTILE}
    clients = trace.clients.assign(profile=HOSTILE)
    holdings = pd.DataFrame({"client": [0, 1], "class": [HOSTILE, "b"], "samples": [3, 4]})
    yaml = f"name: '{HOSTILE}'\n# </pre></script>{HOSTILE}\n"
    return Trace(trace.rounds, clients, trace.events, summary, yaml, holdings=holdings)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    a_study().report(tmp_path / "report.html")
    return tmp_path / "report.html"


def test_a_page_is_one_file_that_names_nothing_elsewhere(page: Path):
    found = Elements(page.read_text(encoding="utf-8"))
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(found.tags)
    sources = [value for name, value in found.attributes if name in ("src", "href") and value]
    assert sources and all(value.startswith(("#", "data:image/")) for value in sources)
    assert page.stat().st_size < 3_000_000


@pytest.mark.slow
def test_equal_studies_give_equal_bytes(page: Path, tmp_path: Path):
    wfl.report(a_study(), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_nothing_that_a_user_named_becomes_markup(page: Path, tmp_path: Path):
    folder = tmp_path / HOSTILE.replace("/", "∕")
    folder.mkdir()
    wfl.report(hostile_trace(), folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    found = Elements(text)
    harmless = Elements(page.read_text(encoding="utf-8"))
    assert found.tags.count("script") == harmless.tags.count("script") == 3
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert HOSTILE not in text
    assert found.words.count(HOSTILE) >= 5  # and yet all of it can be read
    data = json.loads(found.scripts[0])
    assert "<" not in json.dumps([chart["figures"] for chart in data])  # Plotly reads markup too


def test_members_that_failed_and_warnings_are_told_first(tmp_path: Path):
    study = a_study()
    from wirelessfl.study.executor import Member

    failed = {Member("quick", scenario(), None): RuntimeError("the moon was full")}
    wfl.report(Study(study.scenario, study.strategies, study.traces, failed), tmp_path / "r.html")
    words = Elements((tmp_path / "r.html").read_text(encoding="utf-8")).words
    assert words.index("the moon was full") < words.index("time to target")


def test_the_commands_and_the_scenario_of_a_page_run_again(page: Path):
    words = Elements(page.read_text(encoding="utf-8")).words
    command = "wirelessfl compare scenario.yaml --strategies quick,slow,hopeless --seeds 0,1"
    assert command in words
    yaml = words[words.index("name: by-hand") : words.index("Made by wirelessfl")].rstrip()
    from wirelessfl.scenario import loads

    assert loads(yaml) == scenario()


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wirelessfl.cli", "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "160"},
        check=False,
    )


@pytest.mark.slow
def test_the_command_reports_on_a_run_and_what_cannot_be_is_one_error_with_exit_code_2(
    tmp_path: Path,
):
    run = tmp_path / "run"
    a_run(10.0, [4.0, 2.0, 1.0]).write(run)
    done = report(run)
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "report.html").stat().st_size > 1_000_000
    empty = tmp_path / "empty"
    empty.mkdir()
    damaged = tmp_path / "damaged"
    a_run(10.0, [4.0, 2.0, 1.0]).write(damaged)
    (damaged / "clients.parquet").write_bytes(b"PAR1 no more")
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "study.json").write_text("{")
    failed = report(damaged)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
    for folder, out, said in (
        (tmp_path / "nowhere", None, "no such folder"),
        (empty, None, "holds no finished run"),
        (damaged, None, "is damaged"),
        (odd, None, "is damaged"),
        (run, tmp_path, "is a folder"),
        (run, tmp_path / "no" / "r.html", "there is no folder"),
    ):
        with pytest.raises(wfl.InputError, match=said):
            report_folder(folder, out)


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@needs_browser
@pytest.mark.slow
def test_a_browser_draws_every_chart_without_complaint_or_network(page: Path, browser: Browser):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(page, 1200, 900)
    charts = browser.ask("JSON.parse(document.getElementById('charts').textContent).length")
    plots = "[...document.querySelectorAll('.plot')]"
    drawn = browser.ask(f"{plots}.filter(plot => plot.querySelector('svg.main-svg')).length")
    assert drawn == charts >= 5
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("hostile", [False, True])
def test_a_phone_needs_no_sideways_scrolling(
    hostile: bool, tmp_path: Path, page: Path, browser: Browser
):
    if hostile:
        page = tmp_path / "hostile.html"
        wfl.report(hostile_trace(), page)
    browser.dialogs.clear()
    browser.open(page, 390, 844)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    assert browser.dialogs == []


@needs_browser
@pytest.mark.slow
def test_a_phone_shows_long_names_whole(tmp_path: Path, browser: Browser):
    runs = a_study().traces["quick"]
    for trace in runs.values():
        trace.clients["profile"] = "phone-sd778g"
    path = tmp_path / "names.html"
    Study(scenario(), ("data_proportional",), {"data_proportional": runs}).report(path)
    browser.open(path, 390, 844)
    names = "[...document.querySelectorAll('tbody th')]"
    assert browser.ask(f"{names}.some(name => name.textContent === 'data_proportional')")
    assert browser.ask(f"{names}.every(name => name.scrollWidth <= name.clientWidth)")
    right = "document.querySelector('#chart-breakdown {}').getBoundingClientRect().right"
    assert browser.ask(f"{right.format('.xtitle')} <= {right.format('.plot')}")


@needs_browser
@pytest.mark.slow
def test_charts_follow_the_screen_into_the_dark_and_the_buttons(page: Path, browser: Browser):
    browser.open(page, 1200, 900)
    colour = "getComputedStyle(document.querySelector('#chart-convergence .xtick text')).fill"
    title = "document.querySelector('#chart-convergence .xtitle').textContent"
    light = browser.ask(colour)
    browser.scheme(dark=True)
    wait = "new Promise(done => setTimeout(() => done({}), 300))"
    dark = browser.ask(wait.format(colour))
    assert light != dark
    assert browser.ask(title) == "simulated time (min)"
    buttons = "[...document.querySelectorAll('#chart-convergence button')]"
    browser.ask(f"{buttons}.find(button => button.textContent === 'rounds').click()")
    assert browser.ask(wait.format(title)) == "round"


@needs_browser
@pytest.mark.slow
def test_a_sweep_is_reported_with_a_line_a_strategy_and_a_row_a_point(
    tmp_path: Path, browser: Browser
):
    small = wfl.load(Path(__file__).parents[3] / "scenarios" / "closed-form.yaml")
    vary = {"network.uplink.bandwidth": ["1 MHz", "2 MHz"]}
    path = tmp_path / "sweep.html"
    wfl.sweep(small, vary, seeds=[0, 1], jobs=1).report(path)
    found = Elements(path.read_text(encoding="utf-8"))
    assert "change with network.uplink.bandwidth?" in found.words
    assert found.tags.count("tr") == 1 + 2
    for name, version in (("numpy", np.__version__), ("python", platform.python_version())):
        assert f"{name}{version}" in found.words
    figures = json.loads(found.scripts[0])[0]["figures"]
    assert figures["0"]["data"][0]["x"] == [1e6, 2e6]
    browser.open(path, 390, 844)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
