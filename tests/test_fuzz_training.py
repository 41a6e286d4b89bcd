"""What is valid trains, whatever is combined; what `tests.fuzz_training` found stays mended."""

from __future__ import annotations

from unittest import mock

import pytest

from tests.fuzz_commands import workplace
from tests.fuzz_training import train
from wirelessfl.errors import InputError
from wirelessfl.scenario import loads
from wirelessfl.simulation import simulate


@pytest.mark.slow
def test_combinations_that_are_valid_train_and_are_reported_on():
    with workplace() as place:
        done = train(place, 20, seed=1)
    assert done.codes[0] == 40
    assert not done.defects


def test_an_asynchronous_run_in_which_nobody_is_ever_done_ends():
    never = loads(
        "{name: a, devices: {count: 2}, server: {deadline: 1 ms}, learning: {task: {kind: none}}, "
        "strategy: {kind: fedbuff, buffer: 1, participation: {concurrency: 2}}}"
    )
    with (
        mock.patch("wirelessfl.simulation.async_server.MOST_IN_VAIN", 300),
        pytest.raises(InputError, match=r"no update has arrived in 30\d attempts .*deadline"),
    ):
        simulate(never)
    limited = never.model_copy(update={"stop": never.stop.model_copy(update={"time_s": 0.5})})
    outcomes = simulate(limited).clients["outcome"]
    assert len(outcomes) > 300
    assert "completed" not in set(outcomes)
