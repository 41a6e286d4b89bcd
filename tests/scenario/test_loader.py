from __future__ import annotations

from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.scenario import Scenario, load, loads


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(files))}.yaml"


def error(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value)


def test_everything_but_the_name_has_a_default():
    assert loads("name: a") == Scenario(name="a")


def test_units_are_read_and_lists_become_tuples():
    scenario = loads(
        "name: a\n"
        "stop: {time: 12 h}\n"
        "devices: {count: 2}\n"
        "network: {placement: {kind: fixed, distances: [50 m, 0.1 km]}}\n"
    )
    assert scenario.stop.time_s == 43_200.0
    assert scenario.network.placement.distances_m == (50.0, 100.0)


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    assert error(tmp_path / "no.yaml") == f"{tmp_path / 'no.yaml'}: no such file"
    assert error(tmp_path) == f"{tmp_path}: is a folder, not a scenario file"
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"name: \xff\xfe")
    assert error(binary) == f"{binary}: is not UTF-8 text (byte 6)"
    binary.write_bytes(b"#" * (2**20 + 1))
    assert error(binary) == f"{binary}: is larger than 1 MiB"
    assert "cannot be read" in error(tmp_path / "nul\0.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a")
    assert load(path).name == "a"


def test_extends_merges_section_by_section(tmp_path: Path):
    path = write(
        tmp_path,
        top="extends: base.yaml\nnetwork: {uplink: {bandwidth: 1 MHz}}",
        base="name: base\nseed: 4\n"
        "network: {carrier: 2 GHz, uplink: {bandwidth: 9 MHz, power: 20 dBm}}",
    )
    scenario = load(path)
    assert (scenario.name, scenario.seed) == ("base", 4)
    assert scenario.network.carrier_hz == 2e9
    assert scenario.network.uplink.bandwidth_hz == 1e6
    assert scenario.network.uplink.power_dbm == 20.0


def test_extends_is_relative_to_its_own_file_and_may_be_chained(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    write(tmp_path, base="name: base\nseed: 7")
    write(tmp_path / "deep", middle="extends: ../base.yaml\nname: middle")
    top = write(tmp_path, top="extends: deep/middle.yaml")
    assert load(top) == Scenario(name="middle", seed=7)


def test_a_section_that_changes_its_kind_starts_afresh(tmp_path: Path):
    path = write(
        tmp_path,
        top="extends: base.yaml\nnetwork: {path_loss: {kind: fixed}, shadowing: {kind: none}}",
        base="name: a\nnetwork: {path_loss: {kind: tr38901, environment: umi}}",
    )
    assert load(path).network.path_loss.kind == "fixed"


def test_lists_are_replaced(tmp_path: Path):
    path = write(
        tmp_path,
        top="extends: base.yaml\nlearning: {lora: {targets: [value]}}",
        base="name: a\nlearning: {lora: {targets: [query, key]}}",
    )
    assert load(path).learning.lora.targets == ("value",)


def test_a_problem_in_an_extended_file_points_there(tmp_path: Path):
    path = write(
        tmp_path, top="extends: base.yaml\nsed: 3", base="name: a\nnetwork:\n  carrier: 5\n"
    )
    first, second = error(path).splitlines()
    assert first.startswith(f"{tmp_path / 'base.yaml'}:3:12: network.carrier: 5 must be")
    assert second.startswith(f"{path}:2:1: sed: unknown key 'sed'; did you mean 'seed'?")


def test_circles_of_extends_are_refused(tmp_path: Path):
    path = write(tmp_path, a="extends: b.yaml", b="extends: ./a.yaml")
    assert error(path) == f"{tmp_path / 'b.yaml'}:1:10: extends: {path} extends itself"
    alone = write(tmp_path, alone="name: a\nextends: alone.yaml")
    assert error(alone) == f"{alone}:2:10: extends: {alone} extends itself"


def test_what_extends_cannot_read_is_said_where_it_was_asked_for(tmp_path: Path):
    path = write(tmp_path, top="extends: none.yaml")
    assert error(path) == f"{path}:1:10: extends: {tmp_path / 'none.yaml'}: no such file"
    path = write(tmp_path, top="extends: [a]")
    assert error(path) == f"{path}:1:10: extends: a list must be the path of a scenario file"


def test_overrides_come_as_texts_or_as_a_mapping():
    texts = ("seed=3", "network.uplink.bandwidth=2 MHz", "strategy={kind: full}")
    mapping = {
        "seed": 3,
        "network.uplink.bandwidth": "2 MHz",
        "strategy": {"kind": "full"},
    }
    scenario = loads("name: a\nnetwork: {uplink: {power: 9 dBm}}", overrides=texts)
    assert scenario == loads("name: a\nnetwork: {uplink: {power: 9 dBm}}", overrides=mapping)
    assert (scenario.seed, scenario.strategy.kind) == (3, "full")
    assert scenario.network.uplink.bandwidth_hz == 2e6
    assert scenario.network.uplink.power_dbm == 9.0


def test_an_override_replaces_what_it_names_as_a_whole():
    text = "name: a\ndevices: {mix: {jetson-nano: 0.5, orin-nano: 0.5}}"
    assert loads(text, overrides=["devices.mix={orin-nano: 1}"]).devices.mix == {"orin-nano": 1.0}


def test_the_order_of_overrides_does_not_matter():
    text = "name: a\nstrategy: {kind: adaptive, server: {step_max: 2}}"
    overrides = ["strategy.participation.expected=5", "strategy.kind=uniform"]
    scenario = loads(text, overrides=overrides)
    assert scenario == loads(text, overrides=overrides[::-1])
    assert scenario.strategy.participation.expected == 5.0


def test_of_two_overrides_of_one_field_the_last_counts():
    assert loads("name: a", overrides=["seed=1", "seed=2"]).seed == 2


def test_an_override_that_is_not_yaml_is_refused():
    with pytest.raises(InputError, match=r"--set seed: <object .* is not a YAML value"):
        loads("name: a", overrides={"seed": object()})
