from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, Target, dump, fingerprint, load, loads
from wirelessfl.scenario.describe import list_kinds
from wirelessfl.scenario.document import Stop
from wirelessfl.scenario.located import read_yaml
from wirelessfl.scenario.network import NetworkConfig, Uplink
from wirelessfl.scenario.place import FixedPlacement
from wirelessfl.scenario.yaml_text import yaml_text

QUICKSTART = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
breaks = "\x85\u2028\u2029\ufeff\r\n\t\0\x7f"  # what YAML escapes, folds or gives a meaning
text = st.text(st.characters(codec="utf-8")) | st.text(
    st.sampled_from(f"{breaks} :#'\"\\\\-?&*!%@=<~1e")
)
scenarios = st.builds(
    Scenario,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    description=text,
    seed=st.integers(0, 2**63 - 1),
    stop=st.builds(
        Stop,
        rounds=st.integers(1, 10**9),
        time_s=st.none() | positive,
        target=st.none() | st.builds(Target, below=finite, smooth=st.integers(1, 9)),
    ),
    network=st.builds(
        NetworkConfig,
        uplink=st.builds(Uplink, bandwidth_hz=st.floats(1, 1e15), power_dbm=st.floats(-200, 200)),
        placement=st.builds(FixedPlacement, distances=st.tuples(positive)),
        antenna_gain_db=finite,
    ),
)


@settings(max_examples=30, deadline=None)
@given(scenarios)
@pytest.mark.slow
def test_a_dump_loads_back_to_the_same_scenario(scenario: Scenario):
    again = loads(dump(scenario))
    assert again == scenario
    assert dump(again) == dump(scenario)
    assert fingerprint(again) == fingerprint(scenario)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(text, text, min_size=1, max_size=3))
def test_any_text_survives_yaml_as_key_and_as_value(values: dict[str, str]):
    assert read_yaml(yaml_text(values), "text").plain() == values


@pytest.mark.parametrize("around", ["{}", "a{}b", " {} ", "a\n{}\n", "{0}{0}", "x: {}#"])
def test_every_control_character_survives_yaml(around: str):
    texts = [around.format(char) for char in (*map(chr, range(0xA1)), *breaks, "\uffff")]
    values = dict(zip(texts, texts, strict=True))
    assert read_yaml(yaml_text(values), "text").plain() == values


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_half_a_surrogate_pair_is_refused_as_it_has_no_utf_8(text: str):
    with pytest.raises(ValidationError, match="unicode string"):
        Scenario(name="a", description=text)
    with pytest.raises(ValidationError, match="unicode string"):
        Scenario(name="a", devices={"mix": {text: 1.0}})


def test_the_quickstart_survives_a_round_trip_with_every_strategy():
    quickstart = load(QUICKSTART)
    for kind in list_kinds("strategy"):
        if kind.name == "custom":
            continue  # tests/test_custom.py
        scenario = quickstart.with_strategy(kind.name)
        assert loads(dump(scenario)) == scenario


@pytest.mark.parametrize(
    "topic", ["fading", "path_loss", "rate", "jitter", "partition", "placement"]
)
def test_every_kind_survives_a_round_trip(topic: str):
    extra = {"fixed": ", distances: [50 m]"} if topic == "placement" else {}
    section = {"jitter": "devices", "partition": "learning"}.get(topic, "network")
    shadowing = ", shadowing: {kind: none}" if topic == "path_loss" else ""
    for kind in list_kinds(topic):
        if kind.name in ("natural", "custom"):
            continue  # need a task that knows its owners, and code of one's own
        value = f"{{kind: {kind.name}{extra.get(kind.name, '')}}}"
        scenario = loads(f"name: a\n{section}: {{{topic}: {value}{shadowing}}}")
        assert getattr(getattr(scenario, section), topic).kind == kind.name
        assert loads(dump(scenario)) == scenario


def test_a_dump_is_in_schema_order_with_units_and_all_defaults():
    lines = dump(Scenario(name="a")).splitlines()
    assert lines[:2] == ["name: a", "description: ''"]
    sections = [line.split(":")[0] for line in lines if not line.startswith(" ")]
    assert sections == list(Scenario.model_fields)
    assert "    bandwidth: 5 MHz" in lines
    assert "  time: null" in lines


def test_the_fingerprint_tells_scenarios_apart_and_not_their_texts():
    a = loads("name: a\nnetwork: {carrier: 3500 MHz}")
    assert fingerprint(a) == fingerprint(loads("name: a\nnetwork: {carrier: 3.5 GHz}"))
    assert fingerprint(a) == fingerprint(Scenario(name="a"))
    assert fingerprint(a) != fingerprint(loads("name: a\nseed: 1"))
    assert len(fingerprint(a)) == 64


@pytest.mark.parametrize("given_", [{}, {"below": 1.0, "above": 1.0}])
def test_a_target_has_exactly_one_direction(given_: dict[str, float]):
    with pytest.raises(ValidationError, match="exactly one of below and above"):
        Target(**given_)


@pytest.mark.parametrize("bound", [{"above": 85.0}, {"above": -0.1}, {"below": 1.5}])
def test_an_accuracy_is_a_fraction(bound: dict[str, float]):
    with pytest.raises(ValidationError, match="between 0 and 1"):
        Target(metric="accuracy", **bound)


def test_a_target_reads_like_a_condition():
    assert str(Target(below=0.6)) == "loss <= 0.6"
    assert str(Target(metric="accuracy", above=0.85, smooth=3)) == (
        "accuracy >= 0.85 (mean of 3 evaluations)"
    )


def test_a_target_is_something_the_task_measures():
    with pytest.raises(InputError, match=r"metric: 'perplexity' is not measured by .*loss, acc"):
        loads("name: a\nstop: {target: {metric: perplexity, below: 2}}")


def test_with_strategy_takes_named_ones_then_the_configured_one_then_presets():
    scenario = loads(
        "name: a\n"
        "strategy: {kind: uniform, participation: {expected: 3}}\n"
        "strategies: {few: {kind: uniform, participation: {expected: 2}}}\n"
    )
    assert scenario.with_strategy("few").strategy.participation.expected == 2.0
    assert scenario.with_strategy("uniform").strategy == scenario.strategy
    assert scenario.with_strategy("full").strategy.kind == "full"
    assert scenario.with_strategy("few").strategies == {}


def test_with_strategy_suggests_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown strategy 'unifrm'; did you mean 'uniform'\?"):
        Scenario(name="a").with_strategy("unifrm")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "-a", "a\n"])
def test_a_name_can_be_a_folder(name: str):
    with pytest.raises(ValidationError):
        Scenario(name=name)


def test_a_scenario_cannot_change():
    with pytest.raises(ValidationError, match="frozen"):
        Scenario(name="a").seed = 3


def test_reading_a_scenario_needs_neither_numpy_nor_torch():
    code = (
        "import sys, wirelessfl.scenario as s, wirelessfl.scenario.describe as d\n"
        "s.dump(s.loads('name: a')); d.json_schema(); d.list_text()\n"
        "print(*sorted({'numpy', 'scipy', 'pandas', 'torch', 'simpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
