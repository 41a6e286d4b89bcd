"""Broken scenarios are refused in words; each defect that `tests.fuzz` found stays mended."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.fuzz import FOLDER, Counts, fuzz, one
from wirelessfl.device.poisson import PoissonPoints
from wirelessfl.errors import InputError
from wirelessfl.learning.model_size import sized_workload
from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate

STRATEGY = "strategy: {kind: uniform, participation: {expected: 2}}"


@pytest.mark.slow
def test_two_hundred_broken_scenarios_get_an_answer():
    counts = fuzz(200, seed=0)
    assert counts.cases == 200
    assert counts.valid > 20
    assert counts.kinds["InputError"] > 100
    assert not counts.defects


def test_the_fuzzer_notices_what_is_not_an_answer(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of the program")

    monkeypatch.setattr("tests.fuzz.check", fail)
    counts = Counts()
    one(f"{{name: a, devices: {{count: 4}}, {STRATEGY}}}", counts, simulated=False)
    assert [defect.split(":")[1].strip() for defect in counts.defects] == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    ("section", "field", "said"),
    [
        ("network: {uplink: {power: 2e+41 dBm}}", "network.uplink.power", "at most 200 dBm"),
        ("network: {downlink: {power: -1e+9 dBm}}", "network.downlink.power", "at least -200 dBm"),
        ("network: {uplink: {noise_figure: 1e9 dB}}", "network.uplink.noise_figure", "100 dB"),
        ("network: {downlink: {bandwidth: 1e-300 Hz}}", "network.downlink.bandwidth", "1 Hz"),
        ("learning: {lora: {rank: 80000000000000000000}}", "learning.lora.rank", "at most 65536"),
        (
            "devices: {count: 4, availability: {kind: on_off, mean_off: 5e+80 min}}",
            "devices.availability.mean_off",
            "at most",
        ),
        ("server: {overhead: 1.5e13 min}", "server.overhead", "at most"),
        (
            "network: {fading: {kind: rician, coherence_time: 1e-10 ms}}",
            "network.fading.coherence_time",
            "at least 1 us",
        ),
        ("network: {fading: {kind: rician, speed: 1e40 m/s}}", "network.fading.speed", "at most"),
        (
            f"learning: {{task: {{kind: none, tokens: 1{'0' * 400}}}}}",
            "learning.task.tokens",
            "at most 1",
        ),
        ("server: {evaluate_time: 1e11 s}", "server.evaluate_time", "at most"),
        (
            "devices: {count: 4, background: {jobs_per_hour: 1e300, duration: 1 s}}",
            "devices.background.jobs_per_hour",
            "at most",
        ),
    ],
)
def test_numbers_beyond_any_device_are_refused_where_they_stand(
    section: str, field: str, said: str
):
    devices = "" if "devices" in section else "devices: {count: 4}, "
    with pytest.raises(InputError) as refused:
        loads(f"{{name: a, {devices}{section}, {STRATEGY}}}")
    assert f"{field}: " in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("t_s", [5e81, np.inf, np.nan])
def test_a_time_beyond_exact_cells_is_an_error_in_words(t_s: float):
    points = PoissonPoints(1, "background", 10.0)
    with pytest.raises(InputError, match=r"beyond what can be told in steps of 10 s"):
        points.last(np.arange(2), np.array([1.0, t_s]))


def test_the_last_exact_cells_still_have_points():
    points = PoissonPoints(1, "background", 10.0)
    after_s, _ = points.next(np.arange(3), 1e12)
    assert (after_s > 1e12).all()
    assert (after_s < 1e12 + 1000).all()


def test_a_model_larger_than_any_memory_is_counted():
    named = loads(f"{{name: a, devices: {{count: 4}}, {STRATEGY}}}").timing_only()
    load = sized_workload(named.learning, 4, seed=0)
    huge = dataclasses.replace(load, head_size=10**30)
    assert huge.trained_numbers([1, 2]) == pytest.approx([1e30, 1e30])
    small = [rank * load.component_size + load.head_size for rank in (1, 2)]
    assert load.trained_numbers([1, 2]).tolist() == small


def test_a_transfer_without_an_end_is_an_error_in_words():
    text = (FOLDER / "drone-swarm.yaml").read_text(encoding="utf-8")
    far = {"network.placement.distances": ["300 m"] * 5 + ["6e14 m"]}
    changes = far | {"stop.rounds": 2, "strategy": {"kind": "full"}}
    scenario = loads(text, str(FOLDER / "fuzzed.yaml"), changes).timing_only()
    with pytest.raises(InputError, match=r"client 5 .* coherence slots"):
        simulate(scenario)
