"""Every mistake is answered in one line: where, which field, what was written, what is allowed."""

from __future__ import annotations

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import loads


def message(text: str, *overrides: str, named: bool = True) -> str:
    with pytest.raises(InputError) as caught:
        loads(("name: a\n" if named else "") + text, "x.yaml", overrides)
    return str(caught.value)


def test_a_bad_value_is_shown_as_written_with_the_bound_in_its_unit():
    assert (
        message("network: {uplink: {bandwidth: -5 MHz}}")
        == "x.yaml:2:31: network.uplink.bandwidth: '-5 MHz' must be at least 1 Hz"
    )
    assert message("seed: -1") == "x.yaml:2:7: seed: -1 must be at least 0"


def test_a_bare_number_is_told_to_bring_its_unit():
    assert message("stop: {time: 5}").startswith(
        "x.yaml:2:14: stop.time: 5 must be a time with its unit, e.g. '1.5 s' (units: s, ms, "
    )
    assert message("network: {placement: {kind: fixed, distances: [50]}}").startswith(
        "x.yaml:2:48: network.placement.distances.0: 50 must be a length with its unit"
    )
    assert message("network: {fading: {kind: rician, k_factor: 9}}").startswith(
        "x.yaml:2:44: network.fading.k_factor: 9 must be a ratio in decibels with its unit"
    )
    assert message(
        "devices: {profiles: {mine: {memory_bandwidth: 5, memory: 1 GB, "
        "effective_flops: 1 GFLOP/s}}}"
    ).startswith(
        "x.yaml:2:47: devices.profiles.mine.memory_bandwidth: 5 must be a memory bandwidth"
    )


def test_a_list_is_not_called_too_short_for_a_bad_value_in_it():
    text = "network: {placement: {kind: fixed, distances: [0 m]}}"
    expected = "network.placement.distances.0: '0 m' must be greater than 0 m"
    assert message(text) == f"x.yaml:2:48: {expected}"
    empty = message("network: {placement: {kind: fixed, distances: []}}")
    assert empty.endswith("network.placement.distances: a list must have at least 1 item, not 0")


def test_an_unknown_key_gets_the_nearest_name():
    assert message("network: {uplink: {bandwith: 5 MHz}}") == (
        "x.yaml:2:20: network.uplink.bandwith: unknown key 'bandwith'; did you mean 'bandwidth'? "
        "(allowed: bandwidth, power, noise_figure, power_mode, engine)"
    )


def test_python_names_are_not_yaml_names():
    assert "unknown key 'bandwidth_hz'; did you mean 'bandwidth'?" in message(
        "network: {uplink: {bandwidth_hz: 5 MHz}}"
    )


def test_an_unknown_or_missing_kind_gets_the_kinds():
    assert message("network: {path_loss: {kind: freespace}}") == (
        "x.yaml:2:29: network.path_loss.kind: unknown kind 'freespace'; "
        "did you mean 'free_space'? (allowed: tr38901, log_distance, free_space, fixed, custom)"
    )
    assert message("network: {rate: {gap: 3 dB}}") == (
        "x.yaml:2:17: network.rate.kind: is missing; one of: shannon, gap, cqi"
    )
    assert message("network: {rate: {kind: [gap]}}").startswith(
        "x.yaml:2:24: network.rate.kind: unknown kind a list"
    )
    assert message("network: {rate: gap}") == (
        "x.yaml:2:17: network.rate: 'gap' must be a mapping such as {kind: gap} "
        "(kinds: shannon, gap, cqi)"
    )
    assert message("strategies: {mine: {kind: unifrm}}").startswith(
        "x.yaml:2:27: strategies.mine.kind: unknown kind 'unifrm'; did you mean 'uniform'?"
    )


def test_a_choice_lists_what_it_may_be():
    assert (
        message("network: {uplink: {power_mode: totl}}")
        == "x.yaml:2:32: network.uplink.power_mode: 'totl' must be 'total' or 'per_rb'"
    )
    assert (
        message("strategy: {kind: adaptive, server: {step: fast}}")
        == "x.yaml:2:43: strategy.server.step: 'fast' must be a number or 'coupled'"
    )


@pytest.mark.parametrize("value", ["true", "'3'", "1.5", ".nan", "null", "[3]", "{a: 3}", "three"])
def test_numbers_are_not_guessed_from_other_types(value: str):
    assert message(f"seed: {value}").endswith("must be a whole number")


@pytest.mark.parametrize("value", ["1", "yes", "'true'"])
def test_booleans_are_not_guessed_from_other_types(value: str):
    assert message(f"trace: {{events: {value}}}").endswith("must be true or false")


def test_a_boolean_is_no_quantity():
    assert "network.carrier: true must be a frequency with its unit" in message(
        "network: {carrier: true}"
    )


def test_a_missing_field_is_named_where_it_should_be():
    assert message("seed: 1", named=False) == "x.yaml:1:1: name: is missing"
    assert (
        message("network: {placement: {kind: fixed}}")
        == "x.yaml:2:22: network.placement.distances: is missing"
    )


def test_fields_that_do_not_go_together_are_placed():
    assert (
        message("stop: {target: {metric: loss}}")
        == "x.yaml:2:16: stop.target: give exactly one of below and above"
    )
    assert message("strategy: {kind: uniform, adapter: {sketch: fixed, rank: 99}}") == (
        "x.yaml:2:58: strategy.adapter.rank: 99 is more than the adapter's rank, "
        "learning.lora.rank = 16"
    )
    assert message("strategies: {low: {kind: adaptive, adapter: {k_min: 17}}}").startswith(
        "x.yaml:2:53: strategies.low.adapter.k_min: 17 is more than the adapter's rank"
    )
    assert message("network: {placement: {kind: fixed, distances: [9 m, 8 m]}}").startswith(
        "x.yaml:2:47: network.placement.distances: has 2 values for 40 clients"
    )


def test_all_problems_come_at_once_in_the_order_of_the_file():
    text = "devices: {count: 0}\nnetwork: {carrier: 5, colour: red}\nevaluate: {every: x}\n"
    assert [line.split(": ")[0] for line in message(text).splitlines()] == [
        "x.yaml:2:18",
        "x.yaml:3:20",
        "x.yaml:3:23",
        "x.yaml:4:19",
    ]


def test_very_many_problems_are_cut_short():
    lines = message("".join(f"key{i}: 1\n" for i in range(30))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


def test_overrides_are_named_as_the_option_they_came_from():
    assert (
        message("", "network.uplink.bandwidth=-2 MHz")
        == "--set network.uplink.bandwidth: '-2 MHz' must be at least 1 Hz"
    )
    assert message("", "network.uplnk.bandwidth=2 MHz").startswith(
        "--set network.uplnk: unknown key 'uplnk'; did you mean 'uplink'?"
    )
    assert message("", "stop.time=5").startswith("--set stop.time: 5 must be a time with its unit")
    assert message("", "seed=") == "--set seed: null must be a whole number"
    assert message("", "seed=[1").startswith("--set seed:1:3: not valid YAML: ")


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=3", ".seed=3"])
def test_an_override_is_a_path_and_a_value(override: str):
    assert message("", override) == (
        f"--set {override}: write a field and its value, e.g. 'stop.rounds=50'"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "x.yaml: is empty"),
        ("# nothing\n", "x.yaml: is empty"),
        ("[1, 2]", "x.yaml:1:1: a scenario is a mapping (name: ...), not a list"),
        ("just words", "x.yaml:1:1: a scenario is a mapping (name: ...), not 'just words'"),
        ("a: [1\n", "x.yaml:2:1: not valid YAML: while parsing a flow sequence, expected ',' or"),
        ("\ta: 1", "x.yaml:1:1: not valid YAML: while scanning for the next token, found char"),
        ("a: *b", "x.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: not valid YAML: expected a single document"),
        ("a: 1\nb: \x01", "x.yaml:2:4: not valid YAML: special characters are not allowed"),
        ("a: 1\na: 2", "x.yaml:2:1: a: duplicate key 'a' (first in line 1)"),
        ("b: {a: 1, a: 2}", "x.yaml:1:11: b.a: duplicate key 'a' (first in line 1)"),
        ("5: 1", "x.yaml:1:1: a key must be text"),
        ("<<: {a: 1}", "x.yaml:1:1: a key must be text"),
        ("a: !thing 1", "x.yaml:1:4: a: the tag !thing is not allowed"),
        ("a: !!python/name:os.system x", "x.yaml:1:4: a: the tag tag:yaml.org,2002:python/name:"),
        ("a: !!set {b}", "x.yaml:1:4: a: the tag tag:yaml.org,2002:set is not allowed"),
        ("a: !!binary aGk=", "x.yaml:1:4: a: the tag tag:yaml.org,2002:binary is not allowed"),
        ("a: !!int x", "x.yaml:1:4: a: 'x' is not valid here"),
        ("a: !!bool x", "x.yaml:1:4: a: 'x' is not valid here"),
        ("a: " + "9" * 5000, "x.yaml:1:4: a: '999"),
        ('a: "\\ud800"', "x.yaml:1:4: a: "),
        ("[" * 5000, "x.yaml:1:33: values are nested deeper than 32"),
        ("a: &a [*a]", "x.yaml:1:4: too many or too deeply nested values, or aliases that repeat"),
    ],
    ids=lambda text: repr(text[:16]),
)
def test_what_is_not_a_mapping_of_plain_values_is_refused(text: str, expected: str):
    assert message(text, named=False).startswith(expected)


def test_aliases_that_multiply_are_refused():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "aliases that repeat" in message(bomb)


def test_an_alias_used_in_good_faith_is_fine():
    scenario = loads(
        "name: a\nnetwork:\n  uplink: {bandwidth: &b 3 MHz}\n  downlink: {bandwidth: *b}"
    )
    assert scenario.network.uplink.bandwidth_hz == scenario.network.downlink.bandwidth_hz == 3e6


@pytest.mark.parametrize(
    ("network", "where", "why"),
    [
        ("fading: {kind: jakes}", "fading", "jakes does not go with fidelity: ergodic"),
        ("replay: {file: rates.csv}", "replay", "measured rates have no law"),
        ("uplink: {engine: slotted}", "uplink.engine", "slotted follows coherence slots"),
        ("downlink: {engine: slotted}", "downlink.engine", "slotted follows coherence slots"),
        ("downlink: {mode: multicast}", "downlink.mode", "at the rate of the worst in each"),
        (
            "downlink: {sharing: {kind: proportional_fair}}",
            "downlink.sharing",
            "proportional_fair divides every coherence slot anew",
        ),
        (
            "downlink: {sharing: {kind: equal_finish, resolve: every_slot}}",
            "downlink.sharing",
            "equal_finish, resolve: every_slot divides every coherence slot anew",
        ),
    ],
)
def test_what_lives_from_slots_is_refused_where_there_are_none(network: str, where: str, why: str):
    said = message(f"network: {{fidelity: ergodic, {network}}}")
    assert f": network.{where}: " in said
    assert why in said
    assert "fidelity: exact" in said


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ("strategy: {kind: full, bandwidth: {kind: proportional_fair}}", "strategy.bandwidth"),
        (
            "strategies: {fair: {kind: full, bandwidth: {kind: proportional_fair}}}",
            "strategies.fair.bandwidth",
        ),
    ],
)
def test_a_strategy_that_shares_by_slots_is_refused_where_there_are_none(section: str, where: str):
    said = message(f"network: {{fidelity: ergodic}}\n{section}")
    assert f": {where}: proportional_fair divides every coherence slot anew" in said
