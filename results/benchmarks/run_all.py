"""All benchmarks, and docs/benchmarks.md from what they wrote.

python run_all.py               measure everything and write the page
python run_all.py --page-only   write the page from the JSON files that are there
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
import learning
import link
import planner
import scale

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
SCRIPTS = {"scale": scale, "link": link, "planner": planner, "learning": learning}
GROWTH = "growth-"
MOST_GROWTH = 2.0  # from 1e3 to 1e6 clients

INTRODUCTION = """# Benchmarks

`make bench` measures all of this again and writes this page; the numbers with every repeat are in
`results/benchmarks/*.json`. Each repeat is a process of its own. Given are the median of five
repeats (three where one takes 20 s or more) and [smallest, largest]; where these are far apart, the
machine had other things to do. Peak memory is that of the whole process, packages and compiler
included, which are most of it in the small cases. Times are of one process and one thread. A run's
time is that of `simulate`, from the scenario to the finished trace, without importing packages or
loading compiled loops (0.3 s). Tables for pandas are made when somebody looks at them; that time is
in the JSON (`tables_s`), not in these figures.
"""

GROWTH_TEXT = """Counted is the whole time of `simulate` (set-up and the strategy's work over
all clients included) over the participants of all rounds: what a participant's round
costs. From 1,000 to 1,000,000 clients it should not grow more than {most:g}x; it grows {grows:.1f}x
({verdict}). Up to 10,000 clients everybody takes part; beyond, 10,000 of them on average, so the
last rows also pay for what is done for each client, chosen or not, and for the path loss of all who
come up for the first time.
"""


def page(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of docs/benchmarks.md, from what the scripts wrote."""
    parts = [INTRODUCTION]
    for name, document in documents.items():
        script = SCRIPTS[name]
        cases = {
            case: found for case, found in document["cases"].items() if not case.startswith(GROWTH)
        }
        heading, text = (script.__doc__ or "").strip().split("\n\n", 1)
        parts.append(
            f"## {heading.rstrip('.')}\n\n{text}\n\n"
            f"Command: `python results/benchmarks/{name}.py`, with `--only CASE` for one case. "
            f"{_machine(document['machine'])}\n"
        )
        parts.append(_table(cases))
        if name == "scale":
            parts.append(_growth(document["cases"]))
    return "\n".join(parts)


def _machine(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"Measured on {machine['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['ram_gib']:g} GiB, {machine['system']}, Python {machine['python']}, {packages}."
    )


def _table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| case | what | measured | peak memory | target | met |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in cases.items():
        if "unavailable" in found:
            lines.append(
                f"| `{name}` | {found['what']} | not measured: {found['unavailable']} | | | |"
            )
            continue
        met = {None: "", True: "yes", False: "**no**"}[found["met"]]
        lines.append(
            f"| `{name}` | {found['what']} | {_value(found)}{_also(found)} | "
            f"{found['peak_mib']:.0f} MiB | {_target(found)} | {met} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f}" if unit == "flows/s" else f"{value:.3g}"


def _value(found: Mapping[str, Any]) -> str:
    unit = found["unit"]
    low, high = (_number(bound(found["values"]), unit) for bound in (min, max))
    return f"{_number(found['value'], unit)} {unit} [{low}, {high}]"


def _also(found: Mapping[str, Any]) -> str:
    also = found["also"]
    if "cohort_client_steps_per_s" in also:
        cohort, reference, bare = (
            also[f"{engine}_client_steps_per_s"] for engine in ("cohort", "reference", "bare")
        )
        return f"; client-steps/s {cohort:.0f}, bare loop {bare:.0f}, reference {reference:.0f}"
    if "held_mib" in also:
        return (
            f"; {also['held_mib']:.0f} MiB held, process grows by {also['process_mib']:.0f} MiB "
            f"({also['process_over_bound']:.2f} x), the first time by {also['first_mib']:.0f} MiB"
        )
    if "setup_s" in also:
        return f"; set-up {also['setup_s']:.2f} s, event loop {also['event_loop_s']:.2f} s"
    return ""


def _target(found: Mapping[str, Any]) -> str:
    parts = []
    if found["target"] is not None:
        sign = ">=" if found["more_is_better"] else "<"
        parts.append(f"{sign} {_number(found['target'], found['unit'])} {found['unit']}")
    if found["most_mib"] is not None:
        parts.append(f"< {found['most_mib']:.0f} MiB")
    return ", ".join(parts)


def _growth(cases: Mapping[str, Mapping[str, Any]]) -> str:
    found = {name: case for name, case in cases.items() if name.startswith(GROWTH)}
    if not found:
        return ""
    lines = ["### How cost grows with clients", ""]
    if {"growth-1e3", "growth-1e6"} <= found.keys():
        first, last = (
            found[f"{GROWTH}{end}"]["also"]["us_per_participant_round"] for end in ("1e3", "1e6")
        )
        verdict = "met" if last < MOST_GROWTH * first else "not met"
        lines.append(GROWTH_TEXT.format(most=MOST_GROWTH, grows=last / first, verdict=verdict))
    lines += [
        "| case | what | per participant-round | run | peak memory |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {case['what']} | {case['also']['us_per_participant_round']:.2f} us | "
        f"{_value(case)} | {case['peak_mib']:.0f} MiB |"
        for name, case in found.items()
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """See above."""
    parser = argparse.ArgumentParser(description="Run all benchmarks and write their page")
    parser.add_argument("--page-only", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=PAGE)
    chosen = parser.parse_args(arguments)
    if not chosen.page_only:
        for script in SCRIPTS.values():
            script.main([])
    documents = {name: harness.read(HERE / f"{name}.json") for name in SCRIPTS}
    there = {name: document for name, document in documents.items() if document is not None}
    chosen.out.write_text(page(there), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
