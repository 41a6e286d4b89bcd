"""The numbers of the report against runs whose numbers are known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.study.report.runs import a_run, a_study, scenario
from wirelessfl.scenario import dump, loads
from wirelessfl.study import Study
from wirelessfl.study.report.clients import MOST_CLIENTS, participation
from wirelessfl.study.report.convergence import POINTS, convergence
from wirelessfl.study.report.headline import answer, headline, question
from wirelessfl.study.report.protocols import (
    cost_to_target,
    predictions,
    quality_under_budget,
    robustness,
)
from wirelessfl.study.report.rounds import MOST_ROWS, breakdown, gantt, plan_and_fact
from wirelessfl.study.report.subject import Subject, of_study, of_trace
from wirelessfl.study.report.tables import Table
from wirelessfl.trace import Trace


@pytest.fixture
def subject() -> Subject:
    return of_study(a_study())


def texts(table: Table) -> dict[str, list[str]]:
    return {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}


def test_the_answer_says_who_is_first_by_how_much_and_what_is_only_a_bound(subject: Subject):
    assert question(subject) == "Which strategy gets to loss ≤ 1 first?"
    assert answer(subject) == (
        "quick reaches loss 1 in 30.0 s on average, 2x sooner than slow, "
        "more than 3.5x sooner than hopeless."
    )


def test_the_answer_names_the_fastest_even_if_it_is_not_what_others_are_measured_against():
    study = a_study()
    turned = Study(study.scenario, ("slow", "quick"), study.traces)
    assert answer(of_study(turned)) == (
        "quick reaches loss 1 in 30.0 s on average; slow, which others are measured against, "
        "takes 2x as long."
    )


def test_ratios_that_seeds_do_not_tell_apart_are_said_to_be_so():
    ten, twenty = a_run(10.0, [4.0, 1.0]), a_run(20.0, [4.0, 1.0])
    thirty = a_run(30.0, [4.0, 1.0])
    traces = {"quick": {0: ten, 1: thirty}, "slow": {0: twenty, 1: twenty}}
    said = answer(of_study(Study(scenario(), ("quick", "slow"), traces)))
    assert "not told apart" in said


def test_a_run_says_when_it_arrived_or_that_it_did_not():
    came = answer(of_trace(a_run(10.0, [4.0, 2.0, 1.0])))
    assert came == "uniform reaches loss 1 in 20.0 s, in 2 rounds."
    late = answer(of_trace(a_run(10.0, [4.0, 3.0, 2.0])))
    assert late == "uniform did not reach loss 1 in 20.0 s and 2 rounds."


def test_the_headline_has_the_numbers_of_the_study_table(subject: Subject):
    rows = texts(headline(subject))
    assert rows["quick"] == ["30.0 s", "1.00x", "2/2", "2", "15.0 s", "3.0", "8.0"]
    assert rows["slow"][:3] == ["60.0 s", "2.00x", "2/2"]
    assert rows["hopeless"][:3] == ["> 1.7 min", "> 3.46x", "1/2"]


def test_a_run_without_a_target_neither_reaches_nor_misses_it():
    trace = a_run(10.0, [4.0, 2.0, 1.0])
    trace.scenario_yaml = dump(loads("name: aimless"))
    shown = headline(of_trace(trace))
    assert shown.columns == ("strategy", "simulated time", "rounds", "round", "clients", "rank")
    assert texts(shown) == {"uniform": ["20.0 s", "2", "10.0 s", "3.0", "8.0"]}


def test_quality_under_a_budget_is_the_last_evaluation_that_it_pays_for(subject: Subject):
    time, traffic, energy = quality_under_budget(subject)
    # The cheapest is quick with 30 s on average, so budgets are 7.5, 15 and 30 s.
    assert time.columns == ("strategy", "7.5 s", "15.0 s", "30.0 s")
    assert texts(time)["quick"] == ["4.000", "3.000", "1.500"]
    assert texts(time)["slow"] == ["4.000", "4.000", "3.000"]
    # Every round costs 5 Mbit and 12 J, so after two rounds of each all are equal.
    assert traffic.columns == ("strategy", "2.5 Mbit", "5 Mbit", "10 Mbit")
    assert texts(traffic)["quick"] == texts(traffic)["slow"] == ["4.000", "2.000", "1.000"]
    assert energy.columns == ("strategy", "6 J", "12 J", "24 J")


def test_cost_to_target_counts_until_arrival_and_marks_bounds(subject: Subject):
    rows = texts(cost_to_target(subject))
    assert rows["quick"] == ["30.0 s", "2", "10 Mbit", "24 J"]
    assert rows["hopeless"] == ["> 1.7 min", "> 2", "> 10 Mbit", "> 24 J"]


def test_a_device_that_counts_no_energy_leaves_energy_unknown():
    trace = a_run(10.0, [4.0, 2.0, 1.0])
    trace.rounds.loc[1, "energy_j"] = math.nan
    subject = of_trace(trace)
    assert "energy" not in cost_to_target(subject).columns
    assert len(quality_under_budget(subject)) == 2
    chart = convergence(subject)
    assert chart is not None and "energy" not in chart.selectors[1].options


def test_robustness_names_best_and_worst_seed_and_the_lost_work(subject: Subject):
    rows = texts(robustness(subject))
    assert rows["quick"][:3] == ["2/2", "20.0 s", "40.0 s"]
    spread = np.std([20.0, 40.0], ddof=1) / 30.0
    assert rows["quick"][3:] == [f"{spread:.0%}", "67%", "4 dropped"]


def test_plans_are_compared_with_what_came_of_them(subject: Subject):
    table = predictions(subject)
    assert table is not None
    assert texts(table)["quick"] == ["7.5 s", "15.0 s", "+100.0%", "3.5", "3.0"]


def test_convergence_is_the_mean_over_seeds_of_steps(subject: Subject):
    chart = convergence(subject)
    assert chart is not None
    by_time = chart.figures["0-0"]
    quick = next(line for line in by_time["data"] if line.get("name") == "quick")
    assert quick["x"] == pytest.approx([0, 10 / 60, 20 / 60, 40 / 60], rel=1e-4)
    assert quick["y"] == [4.0, 3.0, 1.5, 1.0]
    assert by_time["layout"]["xaxis"]["title"]["text"] == "simulated time (min)"
    options = [range(len(selector.options)) for selector in chart.selectors]
    assert set(chart.figures) == {f"{i}-{j}" for i in options[0] for j in options[1]}


def test_what_the_target_judges_is_shown_first():
    text = scenario().model_dump_json().replace('"smooth":1', '"smooth":2')
    smooth = type(scenario()).model_validate_json(text)
    study = a_study()
    chart = convergence(of_study(Study(smooth, study.strategies, study.traces)))
    assert chart is not None
    assert chart.selectors[0].options[0] == "loss, mean of 2"
    lines = chart.figures["0-1"]["data"]
    assert next(one for one in lines if "hovertemplate" in one)["y"] == [4.0, 3.0, 1.5]


def test_a_gantt_chart_shows_the_first_the_median_and_the_longest_round():
    trace = a_run(10.0, [4.0, 3.0, 2.5])
    trace.rounds.loc[trace.rounds["round"] == 2, "duration_s"] = 12.0
    chart = gantt(of_trace(trace))
    assert chart is not None
    captions = [chart.figures[f"0-{j}"]["caption"] for j in range(3)]
    assert captions == [
        "Round 1: 10.0 s, 3 clients",
        "Round 1: 10.0 s, 3 clients",
        "Round 2: 12.0 s, 3 clients",
    ]
    download, queue, compute, upload = chart.figures["0-0"]["data"]
    assert download["y"][-1] == "4 · phone-sd778g"  # the last to deliver is on top
    assert [part["base"][-1] for part in (download, queue, compute, upload)] == [0, 1, 2, 7]
    assert [part["x"][-1] for part in (download, queue, compute, upload)] == [1, 1, 5, 2]


def big_run(clients: int, rounds: int) -> Trace:
    trace = a_run(10.0, [4.0, *(3.0 for _ in range(rounds))])
    frame = trace.clients.iloc[np.zeros(clients * rounds, np.int64)].reset_index(drop=True)
    frame["client"] = np.tile(np.arange(clients, dtype=np.int32), rounds)
    frame["round"] = np.repeat(np.arange(1, rounds + 1, dtype=np.int32), clients)
    return Trace(trace.rounds, frame, trace.events, trace.summary, trace.scenario_yaml)


def test_big_runs_are_thinned_out_and_it_is_said():
    subject = of_trace(big_run(clients=1000, rounds=2 * POINTS))
    lines, bars = convergence(subject), participation(subject)
    assert lines is not None and bars is not None
    assert all(len(one["x"]) <= POINTS for one in lines.figures["0-0"]["data"])
    assert sum(len(one["x"]) for one in bars.figures["0-0"]["data"]) == MOST_CLIENTS
    assert f"Of 1,000 clients {MOST_CLIENTS} are shown" in bars.note
    rounds = gantt(subject)
    assert rounds is not None
    assert len(rounds.figures["0-0"]["data"][0]["y"]) == MOST_ROWS
    assert f"the last {MOST_ROWS} to end are shown" in rounds.figures["0-0"]["caption"]
    whole = [breakdown(subject), plan_and_fact(subject)]
    assert all(chart is not None and len(str(chart.document())) < 200_000 for chart in whole)
