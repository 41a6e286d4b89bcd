"""docs/physics.md names code, fields and numbers that exist."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest

from wirelessfl.network.path_loss import environment
from wirelessfl.network.tables import load_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "physics.md").read_text(encoding="utf-8")
CODE = re.findall(r"`((?:[\w/]+/)?\w+\.py)(?:: ([\w, ]+))?`", PAGE)
ROOMS = ("wirelessfl/network", "wirelessfl/device", "", "wirelessfl")


def table_row(label: str) -> list[str]:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_it_names_enough_code():
    assert len(CODE) > 20


@pytest.mark.parametrize(("file", "names"), sorted(set(CODE)), ids=str)
def test_code_that_is_named_exists(file: str, names: str):
    path = next(ROOT / room / file for room in ROOMS if (ROOT / room / file).is_file())
    text = path.read_text(encoding="utf-8")
    for name in filter(None, names.split(", ")):
        assert re.search(rf"(def|class) {name}\b", text), f"{file} has no {name}"


def test_every_link_within_the_page_leads_somewhere():
    headings = re.findall(r"^#+ (.+)$", PAGE, flags=re.M)
    anchors = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE)
    assert len(links) > 15
    assert set(links) <= anchors


def test_every_picture_is_there_and_drawn_by_the_script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    shown = set(re.findall(r"\(images/physics-([\w-]+)\.png\)", PAGE))
    script = runpy.run_path(str(ROOT / "docs" / "physics_pictures.py"))
    assert shown == set(script["PICTURES"]) | set(script["MAPS"])
    for name in shown:
        assert (ROOT / "docs" / "images" / f"physics-{name}.png").stat().st_size > 10_000


def test_the_cqi_table_is_the_one_in_use():
    table = load_table("cqi")
    assert [float(cell) for cell in table_row(r"$\eta_i$")] == table["efficiency_bps_hz"]
    assert [float(cell) for cell in table_row(r"$\gamma_i$ (dB)")] == table["threshold_db"]


def test_the_gap_of_each_cqi_to_shannon_is_what_the_page_says():
    table = load_table("cqi")
    pairs = zip(table["efficiency_bps_hz"], table["threshold_db"], strict=True)
    gaps_db = [threshold - 10 * math.log10(2**efficiency - 1) for efficiency, threshold in pairs]
    assert [float(cell) for cell in table_row("gap to Shannon (dB)")] == [
        round(gap_db, 1) for gap_db in gaps_db
    ]


def test_the_shadowing_table_is_the_one_in_use():
    distances = table_row(r"$d_{corr}$ LOS / NLOS (m)")
    for name, cell in zip(("uma", "umi", "rma", "inh-open"), distances, strict=True):
        table = environment(name)
        assert [float(part) for part in cell.split("/")] == [
            table.los["decorrelation_m"],
            table.nlos["decorrelation_m"],
        ]
