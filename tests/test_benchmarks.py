"""The benchmarks in results/benchmarks run, in a size that takes no time."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "results" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))

    def get(name: str) -> ModuleType:
        return importlib.import_module(name)

    return get


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("scale", "rayleigh"),
        ("scale", "million"),
        ("link", "poisson"),
        ("link", "poisson-one-by-one"),
        ("link", "proportional_fair"),
        ("planner", "1e4"),
        ("planner", "1e4-mean-field"),
    ],
)
def test_a_reduced_case_runs(script, capsys, name: str, case: str):
    script(name).main(["--here", case, "--scale", "0.002"])
    found = json.loads(capsys.readouterr().out)
    assert found["value"] > 0
    assert found["peak_mib"] > 0


@pytest.mark.slow
def test_both_gradient_engines_are_timed(script, capsys):
    script("learning").main(["--here", "tiny-vit-batch-4", "--scale", "0"])
    found = json.loads(capsys.readouterr().out)
    for loop, ratio in (("bare", "value"), ("reference", "reference_over_cohort_20")):
        rates = found["cohort_client_steps_per_s"], found[f"{loop}_client_steps_per_s"]
        assert found[ratio] == pytest.approx(rates[0] / rates[1])


@pytest.mark.slow
def test_the_bare_loop_does_what_the_engines_do(script):
    learning = script("learning")
    bare = learning.Bare("encoder", 4, small=True)
    learner, _ = learning.build("encoder", "cohort", 4, small=True)
    work = learning.jobs(learner, 3)
    updates = learner.train(work, {0: learner.initial}, learner.method())
    for job, update in zip(work, updates, strict=True):
        [changes] = bare.train([bare.rows(job)])
        norms = [float((change**2).sum()) for change in changes]
        assert sum(norms) ** 0.5 == pytest.approx(float(np.linalg.norm(update.delta)), rel=1e-4)


@pytest.mark.slow
def test_the_memory_of_a_cohort_is_measured(script, capsys):
    script("learning").main(["--here", "encoder-memory", "--scale", "0"])
    found = json.loads(capsys.readouterr().out)
    bound_mib = 1.5 * found["adapters_mib"] + found["activations_mib"]
    assert found["value"] == pytest.approx(found["held_mib"] / bound_mib)
    assert found["process_over_bound"] == pytest.approx(found["process_mib"] / bound_mib)


def test_repeats_are_written_and_other_cases_kept(script, tmp_path, monkeypatch):
    harness = script("harness")
    runs = iter([3.0, 1.0, 2.0, 5.0, 4.0])
    monkeypatch.setattr(
        harness,
        "_run",
        lambda *_: {"value": next(runs), "elapsed_s": 1.0, "peak_mib": 100.0, "rows": 7.0},
    )
    out = tmp_path / "some.json"
    out.write_text(json.dumps({"cases": {"kept": {"value": 9.0}}}))
    cases = {
        "kept": harness.Case("something else", dict),
        "fast": harness.Case("something", dict, target=3.5, most_mib=100.0),
    }
    harness.main("some.py", cases, ["--only", "fast", "--out", str(out)])
    written = json.loads(out.read_text())["cases"]
    assert list(written) == ["kept", "fast"]
    assert written["fast"]["value"] == 3.0
    assert written["fast"]["values"] == [3.0, 1.0, 2.0, 5.0, 4.0]
    assert written["fast"]["also"] == {"rows": 7.0}
    assert written["fast"]["met"] is False  # under 3.5 s, but not under 100 MiB


@pytest.mark.parametrize(("value", "met"), [(9.9, False), (10.0, True)])
def test_a_target_is_a_bound_on_the_good_side(script, value: float, met: bool):
    case = script("harness").Case
    assert case("speed", dict, target=10.0, more_is_better=True).met(value, 0.0) is met
    assert case("time", dict, target=10.0).met(value, 0.0) is not met


def test_the_page_says_what_was_missed_and_how_cost_grows(script):
    run_all = script("run_all")

    def found(us: float, met: bool | None) -> dict[str, object]:
        return {
            "what": "a run",
            "unit": "s",
            "value": 2.0,
            "values": [1.0, 2.0, 3.0],
            "target": None if met is None else 1.5,
            "most_mib": None,
            "more_is_better": False,
            "met": met,
            "peak_mib": 100.0,
            "also": {"us_per_participant_round": us, "setup_s": 0.5, "event_loop_s": 1.25},
        }

    machine = script("harness").machine()
    cases = {
        "flat": found(1.0, False),
        "ergodic": {"what": "a run", "unavailable": "no such field"},
        "growth-1e3": found(4.0, None),
        "growth-1e6": found(12.0, None),
    }
    documents = {name: {"machine": machine, "cases": {}} for name in run_all.SCRIPTS}
    documents["scale"] = {"machine": machine, "cases": cases}
    text = run_all.page(documents)
    flat = "| `flat` | a run | 2 s [1, 3]; set-up 0.50 s, event loop 1.25 s"
    assert f"{flat} | 100 MiB | < 1.5 s | **no** |" in text
    assert "not measured: no such field" in text
    assert "it grows 3.0x\n(not met)" in text
