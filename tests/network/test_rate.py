from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.network.rate import rate_model
from wirelessfl.network.tables import load_table
from wirelessfl.scenario.radio import CqiRate, GapRate, Harq, ShannonRate

CONFIGS = [ShannonRate(), GapRate(), CqiRate()]
CQI = load_table("cqi")


def efficiency(config, snr_db: float, narrowing: bool = False) -> float:
    snr = np.array([[10 ** (snr_db / 10)]])
    return float(rate_model(config).efficiency(snr, narrowing)[0, 0])


def test_shannon_and_gap_formulas():
    assert efficiency(ShannonRate(), 10.0) == pytest.approx(log2(11.0))
    assert efficiency(GapRate(), 10.0) == pytest.approx(log2(1 + 10**0.85))
    assert efficiency(GapRate(gap_db=3.0), 10.0) == pytest.approx(log2(1 + 10**0.7))


def test_gap_stops_at_the_largest_cqi_and_shannon_does_not():
    assert efficiency(GapRate(), 60.0) == 5.5547
    assert efficiency(ShannonRate(), 60.0) == pytest.approx(log2(1 + 1e6))


@pytest.mark.parametrize(
    ("snr_db", "expected"),
    [(-7.0, 0.0), (-6.6, 0.1523), (0.1, 0.3770), (0.3, 0.6016), (22.6, 5.1152), (40.0, 5.5547)],
)
def test_cqi_staircase(snr_db: float, expected: float):
    assert efficiency(CqiRate(), snr_db) == expected


@given(st.floats(-40.0, 40.0))
def test_narrowing_to_part_of_the_share_is_the_best_such_choice(snr_db: float):
    """With all power in a part w of the share, SNR is snr/w and the whole carries w * e(snr/w)."""
    snr = 10 ** (snr_db / 10)
    thresholds = [10 ** (threshold / 10) for threshold in CQI["threshold_db"]]
    best = max(
        min(1.0, snr / threshold) * carried
        for threshold, carried in zip(thresholds, CQI["efficiency_bps_hz"], strict=True)
    )
    assert efficiency(CqiRate(), snr_db, narrowing=True) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("narrowing", [False, True])
def test_harq_divides_by_the_expected_transmissions(config, narrowing: bool):
    with_harq = config.model_copy(update={"harq": Harq(bler=0.1)})
    for snr_db in (-5.0, 7.0, 50.0):
        assert efficiency(with_harq, snr_db, narrowing) == pytest.approx(
            efficiency(config, snr_db, narrowing) / (1 / 0.9)
        )


@given(st.sampled_from(CONFIGS), st.floats(-50, 50), st.floats(0, 20), st.booleans())
def test_more_signal_never_carries_less(config, snr_db, more_db, narrowing):
    low, high = (efficiency(config, level, narrowing) for level in (snr_db, snr_db + more_db))
    assert high >= low * (1 - 1e-12)
    assert low >= 0.0
