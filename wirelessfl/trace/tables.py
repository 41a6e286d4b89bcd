"""The columns of a trace: names, types, units and meaning, the same in memory and on disk.

Times are simulated seconds since the start of the run. NaN in memory is null on disk.

A round of an asynchronous run (`fedasync`, `fedbuff`) is one update of the model. It begins when
the one before is over, and its participants are the updates aggregated in it and those whose work
came to nothing meanwhile: a client may be among them more than once, and may have begun long before
the round. Those still at work when the run ends are participants of its last round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA_VERSION = 3

PHASES = ("initial", "pilot", "planned")
OUTCOMES = ("completed", "dropped", "crashed", "offline", "lost", "cancelled")
EVENTS = (
    "round_start",
    "download_end",
    "compute_start",
    "compute_end",
    "upload_start",
    "upload_end",
    "drop",
    "crash",
    "offline",
    "lost",
    "wait",
    "aggregate",
    "evaluate",
    "plan",
)
SERVER = -1  # the client number of the server's own events

_CODED = pa.dictionary(pa.int32(), pa.string())
_INT, _FLOAT, _TEXT, _BOOL = pa.int32(), pa.float64(), pa.string(), pa.bool_()


def _column(name: str, kind: pa.DataType, unit: str, description: str) -> pa.Field:
    """A column; floats may be missing, everything else may not."""
    metadata = {"unit": unit, "description": description}
    return pa.field(name, kind, nullable=kind == _FLOAT, metadata=metadata)


def _schema(table: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, {"table": table, "schema_version": str(SCHEMA_VERSION)})


ROUNDS = _schema(
    "rounds",
    _column("round", _INT, "", "Number of the round; 0 is the evaluation before the first."),
    _column("start_s", _FLOAT, "s", "When the round began."),
    _column("end_s", _FLOAT, "s", "When it ended, the server's overhead included."),
    _column("duration_s", _FLOAT, "s", "end_s - start_s."),
    _column("phase", _TEXT, "", f"One of {', '.join(PHASES)}; fixed strategies are 'planned'."),
    _column("planned", _BOOL, "", "Whether the strategy made a new plan for this round."),
    _column("available", _INT, "", "Clients that could be called upon when it began."),
    _column("participants", _INT, "", "Clients that took part."),
    _column("completed", _INT, "", "Clients whose update arrived."),
    _column("dropped", _INT, "", "Clients that dropped out by themselves."),
    _column("crashed", _INT, "", "Clients whose device crashed."),
    _column("offline", _INT, "", "Clients that went off or ran out of battery."),
    _column("lost", _INT, "", "Clients whose update arrived corrupt."),
    _column("expected_participants", _FLOAT, "", "Sum of the plan's probabilities."),
    _column("expected_round_s", _FLOAT, "s", "Duration that the plan predicted."),
    _column("server_step", _FLOAT, "", "Multiplier of the aggregated update."),
    _column("noise_to_signal", _FLOAT, "", "Predicted noise-to-signal ratio of the update."),
    _column("noise_to_signal_error", _FLOAT, "", "Standard error of that prediction."),
    _column(
        *("relative_rounds", _FLOAT, ""),
        "Predicted rounds to a target over those of full participation at full rank.",
    ),
    _column("update_norm", _FLOAT, "", "Norm of the aggregated update, before the server's step."),
    _column("mean_rank", _FLOAT, "", "Mean rank that the participants trained."),
    _column("mean_staleness", _FLOAT, "", "Mean staleness of the updates that were aggregated."),
    _column("downlink_bits", _FLOAT, "bit", "Bits downloaded, unfinished transfers included."),
    _column("uplink_bits", _FLOAT, "bit", "Bits uploaded, unfinished transfers included."),
    _column("energy_j", _FLOAT, "J", "Energy of all devices; missing if any device's is."),
    _column("train_loss", _FLOAT, "", "Mean local training loss of the updates that arrived."),
    _column("server_version", _INT, "", "Version of the global model after the round."),
    _column("loss", _FLOAT, "", "Loss on the held-out set, where evaluated."),
    _column("accuracy", _FLOAT, "", "Accuracy on the held-out set, where evaluated."),
    _column("perplexity", _FLOAT, "", "Perplexity on the held-out set, where evaluated."),
)

CLIENTS = _schema(
    "clients",
    _column("round", _INT, "", "Number of the round."),
    _column("client", _INT, "", "Number of the client."),
    _column("profile", _TEXT, "", "Its kind of device."),
    _column("cell", _INT, "", "Cell that served it."),
    _column("distance_m", _FLOAT, "m", "Distance to its base station."),
    _column("probability", _FLOAT, "", "Probability q that it took part."),
    _column("rank", _INT, "", "Rank k that it trained."),
    _column("weight", _FLOAT, "", "Weight of its update in the aggregate, if it had one."),
    _column("staleness", _INT, "", "Versions of the model made since the one it started from."),
    _column("outcome", _TEXT, "", f"One of {', '.join(OUTCOMES)}."),
    _column("download_start_s", _FLOAT, "s", "When the server sent its download."),
    _column("download_end_s", _FLOAT, "s", "When it had the model."),
    _column("compute_start_s", _FLOAT, "s", "When its training began."),
    _column("compute_end_s", _FLOAT, "s", "When its training ended."),
    _column("upload_start_s", _FLOAT, "s", "When its upload began."),
    _column("upload_end_s", _FLOAT, "s", "When the server had its update."),
    _column("download_s", _FLOAT, "s", "Time it downloaded."),
    _column("queue_s", _FLOAT, "s", "Time it waited for its processor."),
    _column("compute_s", _FLOAT, "s", "Time it trained."),
    _column("upload_s", _FLOAT, "s", "Time it uploaded."),
    _column("downlink_bits", _FLOAT, "bit", "Bits it received."),
    _column("uplink_bits", _FLOAT, "bit", "Bits it sent."),
    _column("receive_j", _FLOAT, "J", "Energy it spent receiving, if its profile counts it."),
    _column("idle_j", _FLOAT, "J", "Energy it spent waiting, if its profile counts it."),
    _column("compute_j", _FLOAT, "J", "Energy it spent training."),
    _column("transmit_j", _FLOAT, "J", "Energy it spent sending."),
    _column("energy_j", _FLOAT, "J", "Sum of these four."),
    _column("train_loss", _FLOAT, "", "Its mean training loss."),
    _column("update_norm", _FLOAT, "", "Euclidean norm of its update."),
)

EVENT_LOG = _schema(
    "events",
    _column("time_s", _FLOAT, "s", "When it happened."),
    _column("round", _INT, "", "Number of the round."),
    _column("client", _INT, "", f"Number of the client; {SERVER} is the server."),
    _column("event", _TEXT, "", f"One of {', '.join(EVENTS)}."),
)

HOLDINGS = _schema(
    "holdings",
    _column("client", _INT, "", "Number of the client."),
    _column("class", _TEXT, "", "Class of the samples; their owner in language modelling."),
    _column("samples", _INT, "", "Training samples of that class that it holds, at least one."),
)

_VOCABULARY = {"phase": PHASES, "outcome": OUTCOMES, "event": EVENTS}


@dataclass(frozen=True, eq=False)
class Words:
    """A text column in which few words come again and again: row i holds `words[code[i]]`. [rows]

    Made into a column many times as fast as an array of text.
    """

    words: Sequence[str]
    code: NDArray[np.integer]


@cache
def coded(schema: pa.Schema) -> pa.Schema:
    """The schema with codes in place of text, which are smaller and quicker to make."""
    fields = [field.with_type(_CODED) if field.type == _TEXT else field for field in schema]
    return pa.schema(fields, schema.metadata)


def to_arrow(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Columns of equal length as an Arrow table of exactly the schema.

    A column is anything that NumPy makes an array of; one of text may be `Words`.

    Raises:
        ValueError: If names are missing or unknown, lengths differ, a value does not fit its type,
            a column that may not be missing is, or a word is not in its column's vocabulary.
    """
    missing, unknown = set(schema.names) - set(columns), set(columns) - set(schema.names)
    if missing or unknown:
        raise ValueError(
            f"table {schema.metadata[b'table'].decode()!r}: "
            f"missing columns {sorted(missing)}, unknown columns {sorted(unknown)}"
        )
    arrays = [_to_array(columns[field.name], field) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _to_array(values: Any, field: pa.Field) -> pa.Array:
    if field.type in (_TEXT, _CODED):
        array, words = _text(values)
        if strange := words.difference(_VOCABULARY.get(field.name, words)):
            raise ValueError(f"column {field.name!r} cannot hold {sorted(strange)}")
        array = array.cast(field.type)
    else:
        array = pa.array(np.asarray(values), from_pandas=True)
        if array.type != field.type:
            array = array.cast(field.type)
    if array.null_count and not field.nullable:
        raise ValueError(f"column {field.name!r} has missing values")
    return array


def _text(values: Any) -> tuple[pa.Array, set[str]]:
    """A column of text, and the words in it (or that may be in it)."""
    if isinstance(values, Words):
        words = pa.array(values.words, _TEXT)
        return pa.DictionaryArray.from_arrays(pa.array(values.code), words), set(values.words)
    array = pa.array(np.asarray(values).tolist(), _TEXT).dictionary_encode()
    return array, set(array.dictionary.to_pylist())


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table as pandas sees it; missing floats are NaN."""
    frame: pd.DataFrame = table.to_pandas()
    return frame
