from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirelessfl.network.rate import rate_model
from wirelessfl.network.tables import load_table
from wirelessfl.scenario import loads
from wirelessfl.scenario.radio import CqiRate, GapRate, Harq, ShannonRate

STAIRCASE = CqiRate(harq=None)
CONFIGS = [ShannonRate(), GapRate(), STAIRCASE]
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
    assert efficiency(STAIRCASE, snr_db) == expected


# TS 38.214 Table 5.2.2.1-2: bits a symbol and code rate times 1024; SNR (dB) as written down here.
CQIS = [
    (2, 78, -6.7),
    (2, 120, -4.7),
    (2, 193, -2.3),
    (2, 308, 0.2),
    (2, 449, 2.4),
    (2, 602, 4.3),
    (4, 378, 5.9),
    (4, 490, 8.1),
    (4, 616, 10.3),
    (6, 466, 11.7),
    (6, 567, 14.1),
    (6, 666, 16.3),
    (6, 772, 18.7),
    (6, 873, 21.0),
    (6, 948, 22.7),
]


@pytest.mark.parametrize("index", range(15))
def test_each_cqi_begins_exactly_at_its_threshold(index: int):
    order, rate_1024, threshold_db = CQIS[index]
    at = np.array([10 ** (threshold_db / 10)])
    before = np.nextafter(at, 0.0)
    carried = order * rate_1024 / 1024
    lower = CQIS[index - 1][0] * CQIS[index - 1][1] / 1024 if index else 0.0
    model = rate_model(STAIRCASE)
    assert model.efficiency(at, narrowing=False)[0] == pytest.approx(carried, abs=5.1e-5)
    assert model.efficiency(before, narrowing=False)[0] == pytest.approx(lower, abs=5.1e-5)
    assert len(CQI["threshold_db"]) == len(CQI["efficiency_bps_hz"]) == 15


def test_narrowing_by_hand():
    """12 dB into the whole share meets CQI 10; 14.1 dB into 10^-0.21 of it meets CQI 11.

    3.3223 x 0.61660 = 2.0485 is less than 2.7305; at 13.9 dB, 3.3223 x 10^-0.02 = 3.1728 is more.
    """
    assert efficiency(STAIRCASE, 12.0, narrowing=True) == 2.7305
    assert efficiency(STAIRCASE, 13.9, narrowing=True) == pytest.approx(3.1728, abs=1e-4)
    assert efficiency(STAIRCASE, 13.9, narrowing=False) == 2.7305
    assert efficiency(STAIRCASE, -9.7, narrowing=True) == pytest.approx(0.1523 * 10**-0.3)


def test_the_tenth_of_blocks_that_a_cqi_loses_is_sent_again_unless_told_otherwise():
    assert efficiency(CqiRate(), 40.0) == pytest.approx(0.9 * 5.5547, rel=1e-15)
    assert loads("name: a\nnetwork: {rate: {kind: cqi}}").network.rate.harq == Harq(bler=0.1)
    assert loads("name: a\nnetwork: {rate: {kind: cqi, harq: null}}").network.rate == STAIRCASE


def test_gap_by_hand():
    """10 dB less 1.5 dB is 7.0795: log2(8.0795) = 3.01426; HARQ at 10 % leaves 0.9 of it."""
    assert efficiency(GapRate(), 10.0) == pytest.approx(3.01426, abs=1e-5)
    assert efficiency(GapRate(harq=Harq(bler=0.1)), 10.0) == pytest.approx(2.71283, abs=1e-5)
    assert efficiency(GapRate(harq=Harq(bler=0.25)), 60.0) == pytest.approx(0.75 * 5.5547)


def test_harq_is_the_mean_of_geometric_retries():
    """Blocks sent until one arrives: seed 3, 200 000 blocks lost with probability 0.3."""
    tries = np.random.default_rng(3).geometric(0.7, 200_000)
    plain, with_harq = (efficiency(GapRate(harq=harq), 9.0) for harq in (None, Harq(bler=0.3)))
    assert with_harq * tries.mean() == pytest.approx(plain, rel=0.005)


@given(st.floats(-40.0, 40.0))
def test_narrowing_to_part_of_the_share_is_the_best_such_choice(snr_db: float):
    """With all power in a part w of the share, SNR is snr/w and the whole carries w * e(snr/w)."""
    snr = 10 ** (snr_db / 10)
    thresholds = [10 ** (threshold / 10) for threshold in CQI["threshold_db"]]
    best = max(
        min(1.0, snr / threshold) * carried
        for threshold, carried in zip(thresholds, CQI["efficiency_bps_hz"], strict=True)
    )
    assert efficiency(STAIRCASE, snr_db, narrowing=True) == pytest.approx(best, rel=1e-9)


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
