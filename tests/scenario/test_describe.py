from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario.describe import json_schema, list_kinds, list_text


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for section in (schema, *schema["$defs"].values()):
        yield from section.get("properties", {}).items()


def test_the_shipped_schema_is_the_present_one():
    shipped = files("wirelessfl.scenario").joinpath("data/schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == json_schema(), (
        "write it again: wirelessfl schema > wirelessfl/scenario/data/schema.json"
    )


def test_the_schema_speaks_yaml():
    schema = json_schema()
    names = {name for name, _ in properties(schema)}
    assert {"bandwidth", "time", "overhead"} <= names
    assert not {name for name in names if name.endswith(("_hz", "_s", "_dbm", "_m"))}
    assert next(iter(schema["properties"])) == "extends"
    assert schema["anyOf"] == [{"required": ["name"]}, {"required": ["extends"]}]


def test_every_field_has_a_description():
    undescribed = {
        name for name, field in properties(json_schema()) if not field.get("description")
    }
    assert undescribed == {"kind"}


def test_defaults_in_the_schema_have_their_units():
    with_pattern = [f for _, f in properties(json_schema()) if "pattern" in f and "default" in f]
    assert len(with_pattern) > 10
    for field in with_pattern:
        assert re.match(field["pattern"], field["default"])


def test_a_section_with_a_choice_requires_its_kind():
    definitions = json_schema()["$defs"]
    assert definitions["Jakes"]["required"] == ["kind"]
    assert definitions["FixedPlacement"]["required"] == ["kind", "distances"]
    assert "required" not in definitions["LoraConfig"]


def test_kinds_have_a_summary_and_their_fields_with_default_and_unit():
    fading = {kind.name: kind for kind in list_kinds("fading")}
    assert {"none", "rayleigh_block", "jakes", "gilbert_elliott"} <= set(fading)
    assert fading["none"].summary == "The gain never changes."
    options = {option.name: option.default for option in fading["gilbert_elliott"].options}
    assert options == {"mean_good": "10 s", "mean_bad": "1 s", "bad_gain": "-20 dB"}
    assert all(kind.summary for kind in list_kinds())
    assert all(option.description for kind in list_kinds() for option in kind.options)


def test_fields_of_inner_sections_have_dotted_names():
    (uniform,) = [kind for kind in list_kinds("strategy") if kind.name == "uniform"]
    options = {option.name: option.default for option in uniform.options}
    assert options["participation.expected"] == "10.0"
    assert options["adapter.sketch"] == "off (or fixed, tiers)"
    assert options["bandwidth"] == "work_conserving"


def test_a_preset_is_listed_with_its_own_defaults():
    (preset,) = [kind for kind in list_kinds("strategy") if kind.name == "hetlora"]
    options = {option.name: option.default for option in preset.options}
    assert options["adapter.method"].startswith("hetlora (or ")
    assert options["adapter.sketch"] == "tiers (or off, fixed)"
    assert options["server.step"] == "1.0"


def test_strategies_have_a_list_of_one_line_each():
    lines = list_text("strategies").splitlines()
    assert [line.split(": ")[0] for line in lines] == [k.name for k in list_kinds("strategy")]
    assert "full: Every client takes part in every round." in lines


def test_fields_that_are_one_of_a_few_words_are_listed_too():
    (association,) = list_kinds("association")
    assert association.name == "nearest | strongest"
    assert association.summary.startswith("Which base station serves a client")
    assert [kind.name for kind in list_kinds("engine")] == [
        "auto | slotted | virtual_time",
        "cohort | reference",
    ]
    with pytest.raises(InputError, match="unknown topic 'planner'"):
        list_kinds("planner")  # an option of the kinds of strategy


@pytest.mark.parametrize("topic", ["mobility", "topology", "association", "interference"])
def test_list_and_schema_know_cells_and_movement(topic: str):
    assert all(kind.summary for kind in list_kinds(topic))
    network = json_schema()["$defs"]["NetworkConfig"]["properties"][topic]
    named = network.get("enum") or list(network["discriminator"]["mapping"])
    listed = [word for kind in list_kinds(topic) for word in kind.name.split(" | ")]
    assert sorted(named) == sorted(listed)


def test_the_catalogue_of_devices_is_listed():
    assert "jetson-nano" in {kind.name for kind in list_kinds("devices")}
    assert "memory = 4 GB" in list_text("devices")


def test_the_list_has_one_paragraph_a_topic():
    topics = [paragraph.splitlines()[0] for paragraph in list_text().split("\n\n")]
    assert len(topics) == len(set(topics))
    assert {"path_loss", "fading", "strategy", "task", "model", "devices"} <= set(topics)
    assert list_text("fading").startswith("fading\n  none: The gain never changes.\n")


def test_an_unknown_topic_gets_the_nearest_one():
    with pytest.raises(InputError, match=r"unknown topic 'pathloss'; did you mean 'path_loss'\?"):
        list_text("pathloss")
