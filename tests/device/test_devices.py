"""The catalogue is complete and sourced, and a wrong mix is caught when the scenario is read."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wirelessfl.scenario.devices import DeviceProfile, DevicesConfig, catalogue

ROOF = {"memory_bandwidth": "25.6 GB/s", "memory": "4 GB"}


def test_every_profile_of_the_catalogue_says_where_its_numbers_come_from():
    profiles = catalogue()
    assert {"phone-sd778g", "jetson-nano", "orin-nano", "raspberry-pi-5"} <= set(profiles)
    for profile in profiles.values():
        assert len(profile.source) > 40
        if profile.peak_flops is not None:
            assert "not measured here" in profile.source


def test_the_measured_anchors_follow_from_the_published_step_times():
    step_flop = 4 * 268.1e6 * 8 * 64
    assert catalogue()["phone-sd778g"].training_flops == pytest.approx(step_flop / 169.8, rel=0.01)
    assert catalogue()["jetson-nano"].training_flops == pytest.approx(step_flop / 11.81, rel=0.01)


def test_derated_profiles_share_the_one_utilisation_that_was_measured():
    measured = catalogue()["jetson-nano"].training_flops / 472e9
    derated = [p.utilisation for p in catalogue().values() if p.utilisation is not None]
    assert len(derated) >= 5
    assert derated == pytest.approx([measured] * len(derated), rel=0.01)


def test_peak_and_utilisation_stand_in_for_a_measurement():
    profile = DeviceProfile.model_validate({"peak_flops": "2 TFLOP/s", "utilisation": 0.1, **ROOF})
    assert profile.training_flops == pytest.approx(2e11)


@pytest.mark.parametrize(
    "speed",
    [
        {},
        {"peak_flops": "1 TFLOP/s"},
        {"utilisation": 0.1},
        {"effective_flops": "1 GFLOP/s", "peak_flops": "1 TFLOP/s", "utilisation": 0.1},
        {"effective_flops": "1 GFLOP/s", "utilisation": 0.1},
    ],
)
def test_a_speed_given_not_at_all_twice_or_in_half_is_refused(speed: dict[str, object]):
    with pytest.raises(ValidationError, match="either effective_flops, or both"):
        DeviceProfile.model_validate({**speed, **ROOF})


def test_a_misspelt_device_is_told_the_nearest_name():
    with pytest.raises(ValidationError, match="did you mean 'jetson-nano'"):
        DevicesConfig(mix={"jetson-nanu": 1.0})


def test_shares_must_sum_to_one():
    with pytest.raises(ValidationError, match=r"sum to 0\.9"):
        DevicesConfig(mix={"jetson-nano": 0.5, "orin-nano": 0.4})


def test_own_profiles_come_before_the_catalogue():
    own = DeviceProfile.model_validate({"effective_flops": "1 GFLOP/s", **ROOF})
    config = DevicesConfig(mix={"jetson-nano": 1.0}, profiles={"jetson-nano": own})
    assert config.profile("jetson-nano").training_flops == 1e9


def test_the_section_survives_its_own_yaml_names():
    config = DevicesConfig(count=7, mix={"raspberry-pi-4": 1.0})
    assert DevicesConfig.model_validate(config.model_dump(mode="json")) == config


def test_energy_is_told_by_power_or_by_the_processor_not_by_both():
    cpu = {"frequency": "2 GHz"}
    with pytest.raises(ValidationError, match="either compute_power or cpu"):
        DeviceProfile.model_validate({"cpu": cpu, "compute_power": "5 W", **ROOF})
    with pytest.raises(ValidationError, match="either effective_flops, or both"):
        DeviceProfile.model_validate({"cpu": cpu, "effective_flops": "1 GFLOP/s", **ROOF})


def test_background_work_that_leaves_no_room_is_refused():
    background = {"jobs_per_hour": 100, "duration": "35 s"}
    with pytest.raises(ValidationError, match="busy 97% of the time; at most 90%"):
        DevicesConfig.model_validate({"background": background})
    two = {"effective_flops": "1 GFLOP/s", "workers": 2, **ROOF}
    DevicesConfig.model_validate(
        {"background": background, "profiles": {"two": two}, "mix": {"two": 1}}
    )


def test_a_battery_needs_devices_of_known_power():
    with pytest.raises(ValidationError, match="'phone-sd778g' gives neither compute_power nor cpu"):
        DevicesConfig.model_validate({"battery": {"capacity": "1 kJ"}})
    DevicesConfig.model_validate({"battery": {"capacity": "1 kJ"}, "mix": {"jetson-nano": 1}})
