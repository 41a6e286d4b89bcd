"""Updates in fewer bits: unbiased where it is said, and as long as the payload says."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.learning.conftest import trained
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.quantise import encode
from wirelessfl.scenario.adapter import FixedAdapter, Method, UplinkDtype

JOB = GradientJob(0, 3, 7, 2)
ROWS = np.array([4, 1, 5])
UPDATE = np.random.default_rng(0).normal(scale=1e-3, size=10).astype(np.float32)


def test_int8_is_right_in_the_mean_within_six_standard_errors():
    draws = 4000
    got = np.array(
        [encode(UPDATE, ROWS, "int8", seed, JOB).decode() for seed in range(draws)], np.float64
    )
    scale = np.repeat(np.maximum.reduceat(np.abs(UPDATE), [0, 4, 5]) / 127, ROWS).astype(float)
    part = UPDATE / scale - np.floor(UPDATE / scale)
    error = scale * np.sqrt(part * (1 - part) / draws)
    assert (np.abs(got.mean(axis=0) - UPDATE) <= 6 * error + 1e-6 * np.abs(UPDATE)).all()
    inside = part * (1 - part) > 0.01
    np.testing.assert_allclose(
        got.std(axis=0)[inside], (scale * np.sqrt(part * (1 - part)))[inside], rtol=0.1
    )


numbers = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True)


@given(arrays(np.float32, 10, elements=numbers), st.integers(0, 2**40))
def test_int8_is_off_by_less_than_a_step_of_its_row(update: np.ndarray, seed: int):
    message = encode(update, ROWS, "int8", seed, JOB)
    assert message.scales is not None
    step = np.repeat(message.scales.astype(np.float64), ROWS)
    assert (np.abs(message.numbers.astype(int)) <= 127).all()
    error = np.abs(message.numbers * step - update.astype(np.float64))
    assert (error <= step * (1 + 1e-12)).all()


def test_a_row_of_zeros_stays_zero():
    update = UPDATE.copy()
    update[:4] = 0.0
    assert not encode(update, ROWS, "int8", 0, JOB).decode()[:4].any()


def test_the_rounding_follows_from_seed_client_and_round():
    def numbers(seed: int = 0, **changes: int) -> bytes:
        return encode(UPDATE, ROWS, "int8", seed, replace(JOB, **changes)).numbers.tobytes()

    assert numbers() == numbers() == numbers(version=5, rank=1)
    assert len({numbers(), numbers(1), numbers(client=4), numbers(round=8)}) == 4


@given(arrays(np.float32, 10, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_sixteen_bits_are_torchs(update: np.ndarray):
    for dtype, twin in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        limit = np.float32(torch.finfo(twin).max)
        within = np.clip(update, -limit, limit)
        wanted = torch.from_numpy(within).to(twin).float().numpy()
        np.testing.assert_array_equal(encode(within, ROWS, dtype, 0, JOB).decode(), wanted)  # type: ignore[arg-type]


def test_float16_ends_at_its_largest_number():
    update = np.array([1e6, -1e6], np.float32)
    assert encode(update, np.array([2]), "float16", 0, JOB).decode().tolist() == [65504, -65504]


@pytest.mark.parametrize("dtype", get_args(UplinkDtype))
@pytest.mark.parametrize("name", get_args(Method))
def test_the_payload_is_the_message_to_the_bit(learner: Learner, name: Method, dtype: UplinkDtype):
    method = learner.method(FixedAdapter(method=name))
    workload = replace(learner.workload, method=name, uplink_dtype=dtype)
    for rank in (1, 3, 8):
        job = GradientJob(0, 2, 1, rank)
        support = method.support(job)
        update = np.ones(len(support.places), np.float32)
        assert support.rows.sum() == len(update) == len(set(support.places.tolist()))
        assert encode(update, support.rows, dtype, 0, job).bits == workload.upload_bits(rank)


@pytest.mark.parametrize(
    "adapter",
    [FixedAdapter(sketch_mode="update"), *(FixedAdapter(method=m) for m in get_args(Method))],
    ids=lambda adapter: f"{adapter.method}-{adapter.sketch_mode}",
)
def test_nothing_of_an_update_lies_where_it_is_not_sent(learner: Learner, adapter: FixedAdapter):
    method = learner.method(adapter)
    job = GradientJob(0, 2, 1, 3)
    start = method.initial(trained(learner, 0))
    [update] = learner.train([job], {0: start}, method)
    assert update is not None
    places = np.flatnonzero(update.delta)
    assert len(places) and set(places) <= set(method.support(job).places)
