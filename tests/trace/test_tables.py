"""Tables hold exactly the documented columns, and refuse anything else."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from tests.trace.conftest import a_round, some_clients, some_events
from wirelessfl.trace import Recorder, Trace
from wirelessfl.trace.tables import CLIENTS, EVENT_LOG, OUTCOMES, ROUNDS, Words, to_arrow


@pytest.mark.parametrize(
    "schema", [ROUNDS, CLIENTS, EVENT_LOG], ids=["rounds", "clients", "events"]
)
def test_every_column_says_what_it_means_and_in_which_unit(schema: pa.Schema):
    assert schema.metadata[b"schema_version"] == b"3"
    for field in schema:
        assert field.metadata[b"description"].endswith(b".")
        for suffix, unit in {"_s": b"s", "_j": b"J", "_bits": b"bit", "_m": b"m"}.items():
            assert (field.metadata[b"unit"] == unit) == field.name.endswith(suffix)


def test_missing_and_unknown_columns_are_named():
    row = a_round(1)
    del row["loss"]
    with pytest.raises(ValueError, match=r"'rounds'.*missing columns \['loss'\].*\['los'\]"):
        Recorder().append_round(row | {"los": 1.0})


def test_a_word_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"'outcome' cannot hold \['vanished'\]"):
        Recorder().append_clients(
            some_clients(1) | {"outcome": ["completed", "vanished", "dropped"]}
        )


def test_words_by_code_are_the_same_column_and_as_strictly_looked_at():
    columns = some_clients(1)
    by_code = columns | {"outcome": Words(OUTCOMES, np.array([0, 0, 1]))}
    assert to_arrow(by_code, CLIENTS) == to_arrow(columns, CLIENTS)
    strange = columns | {"outcome": Words(("completed", "vanished"), np.array([0, 0, 1]))}
    with pytest.raises(ValueError, match=r"'outcome' cannot hold \['vanished'\]"):
        to_arrow(strange, CLIENTS)


def test_columns_of_different_length_are_refused():
    with pytest.raises((ValueError, pa.ArrowInvalid), match="length"):
        Recorder().append_clients(some_clients(1) | {"rank": [1, 2]})


def test_only_measurements_may_be_missing():
    with pytest.raises(ValueError, match="'participants' has missing values"):
        Recorder().append_round(a_round(1, participants=None))


def test_a_fraction_is_not_silently_cut_to_a_whole_number():
    with pytest.raises(pa.ArrowInvalid):
        Recorder().append_round(a_round(1, participants=2.5))


def test_rows_come_back_in_the_order_and_type_given(trace: Trace):
    assert trace.rounds["round"].tolist() == [0, 1, 2]
    assert trace.rounds["planned"].tolist() == [False, True, False]
    assert math.isnan(trace.rounds["perplexity"][1])
    assert trace.clients["client"].tolist() == [0, 4, 7] * 2
    assert trace.clients["rank"].dtype == "int32"
    assert trace.clients["outcome"].tolist() == ["completed", "completed", "dropped"] * 2


def test_events_are_in_order_of_time_and_ties_in_the_order_given(trace: Trace):
    assert trace.events["time_s"].is_monotonic_increasing
    at_ten = trace.events[trace.events["time_s"] == 10.0]
    assert at_ten["event"].tolist() == ["aggregate", "round_start"]


def test_an_empty_run_has_empty_tables_with_all_columns():
    recorder = Recorder()
    assert list(recorder.rounds().columns) == ROUNDS.names
    assert list(recorder.clients().columns) == CLIENTS.names
    assert list(recorder.events().columns) == EVENT_LOG.names


def test_events_can_be_given_for_a_single_moment():
    recorder = Recorder()
    recorder.append_events({name: values[:1] for name, values in some_events(1).items()})
    assert len(recorder.events()) == 1


def test_many_small_rounds_take_little_memory_and_stay_in_order():
    """An asynchronous run has a round for every update; tables for each cost 50 KB."""
    recorder = Recorder()
    for number in range(1, 1001):
        recorder.append_round(a_round(number))
        recorder.append_clients(some_clients(number))
        recorder.append_events(some_events(number))
    kept = [table for some in (recorder._parts, recorder._recent) for table in some["clients"]]
    assert len(kept) < 300
    assert recorder.rounds()["round"].tolist() == list(range(1, 1001))
    clients = recorder.clients()
    assert clients["round"].tolist() == np.repeat(np.arange(1, 1001), 3).tolist()
    assert clients["outcome"].tolist() == ["completed", "completed", "dropped"] * 1000
    assert recorder.events()["time_s"].is_monotonic_increasing
