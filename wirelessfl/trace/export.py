"""Traces for other tools: CSV, TensorBoard and MLflow, where simulated time is the wall time.

TensorBoard and MLflow are optional extras, imported when used. What is written depends on the trace
alone, but for the identifiers that MLflow gives. Exporting a run again replaces its CSV and
TensorBoard files; MLflow keeps every export as a run of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wirelessfl.errors import InputError
from wirelessfl.trace.files import whole_file
from wirelessfl.trace.store import Trace

EVENT_FILE = "events.out.tfevents.0.wirelessfl"

_TIMES = ["round", "start_s", "end_s"]  # what the other columns are shown against
_MOST_METRICS, _MOST_PARAMETERS = 1000, 100  # in one request to MLflow
_LONGEST_VALUE = 500  # characters of a parameter that every MLflow store takes

Scalar = tuple[str, int, float, float]


def runs_below(folder: Path) -> dict[str, Path]:
    """Folders of finished runs by name: the folder itself, or those of a comparison in it.

    Raises:
        InputError: If there are none.
    """
    if (folder / "summary.json").is_file():
        return {folder.resolve().name: folder}
    found = {path.parent.relative_to(folder).as_posix(): path.parent for path in _summaries(folder)}
    if not found:
        raise InputError(f"{folder} holds no finished run (no summary.json in it or below)")
    return found


def _summaries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("summary.json"))


def write_csv(trace: Trace, folder: Path) -> None:
    """The tables as `rounds.csv`, `clients.csv`, ...; numbers in full, missing ones empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rounds", "clients", "events", "holdings"):
        with whole_file(folder / f"{name}.csv") as part:
            getattr(trace, name).to_csv(part, index=False, lineterminator="\n")


def write_tensorboard(trace: Trace, folder: Path) -> None:
    """Every number of the rounds table as a scalar of that round, in one event file.

    The wall time of a scalar is the simulated second at which its round ended; values are float32,
    as TensorBoard has them.

    Raises:
        InputError: If TensorBoard is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ModuleNotFoundError as error:
        raise _missing("tensorboard", error) from None
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / EVENT_FILE) as part, part.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
        for column, number, end_s, value in _scalars(trace):
            summary = Summary(value=[Summary.Value(tag=f"rounds/{column}", simple_value=value)])
            event = Event(wall_time=end_s, step=number, summary=summary)
            writer.write(event.SerializeToString())


def write_mlflow(trace: Trace, uri: str, name: str) -> str:
    """Log the trace as a run of the experiment that is called as its scenario.

    Metrics are the numbers of the rounds table; their timestamps, and the run's beginning and end,
    are simulated milliseconds. Parameters are the fields of the resolved scenario.

    Args:
        trace: What to log.
        uri: Where: a server, a database such as `sqlite:///mlflow.db`, or a folder.
        name: Name of the run.

    Returns:
        MLflow's identifier of the run.

    Raises:
        InputError: If MLflow is not installed, or does not take the run.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
    try:
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError as error:
        raise _missing("mlflow", error) from None
    if "://" not in uri and not uri.startswith("file:"):
        uri = Path(uri).resolve().as_uri()
    if uri.startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # it prefers a database
    metrics = [Metric(key, value, _ms(end_s), step) for key, step, end_s, value in _scalars(trace)]
    parameters = [Param(key, value) for key, value in _parameters(trace)]
    told = ("strategy", "seed", "fingerprint")
    tags = [RunTag(f"wirelessfl.{key}", str(trace.summary[key])) for key in told]
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(trace.summary["name"])
        identifier = (
            client.create_experiment(trace.summary["name"])
            if experiment is None
            else experiment.experiment_id
        )
        # At 1 ms, since MLflow takes a start of 0 for none.
        run: str = client.create_run(identifier, start_time=1, run_name=name).info.run_id
        client.log_batch(run, tags=tags)
        for first in range(0, len(metrics), _MOST_METRICS):
            client.log_batch(run, metrics=metrics[first : first + _MOST_METRICS])
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            client.log_batch(run, params=parameters[first : first + _MOST_PARAMETERS])
        end_s = float(trace.rounds["end_s"].max())
        client.set_terminated(run, "FINISHED", end_time=max(_ms(end_s), 1))
    except MlflowException as error:
        raise InputError(f"MLflow at {uri}: {error}") from None
    return run


def _missing(extra: str, error: ModuleNotFoundError) -> InputError:
    return InputError(
        f"this needs the extra {extra!r} ({error.name} is not installed): "
        f"pip install 'wirelessfl[{extra}]'"
    )


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _scalars(trace: Trace) -> Iterator[Scalar]:
    """Column, round, simulated second and value of all that is not missing, by round."""
    numbers = trace.rounds.select_dtypes("number").drop(columns=_TIMES)
    columns = list(numbers.columns)
    values = numbers.astype("float64").to_numpy().tolist()
    steps, ends_s = trace.rounds["round"].tolist(), trace.rounds["end_s"].tolist()
    for step, end_s, row in zip(steps, ends_s, values, strict=True):
        for column, value in zip(columns, row, strict=True):
            if value == value:  # not NaN
                yield column, step, end_s, value


def _parameters(trace: Trace) -> Iterator[tuple[str, str]]:
    """Fields of the resolved scenario by dotted name, with names and lengths MLflow allows."""
    for path, value in _leaves(YAML(typ="safe").load(trace.scenario_yaml), ()):
        text = value if isinstance(value, str) else json.dumps(value)
        yield re.sub(r"[^\w./ -]", "_", ".".join(path)), text[:_LONGEST_VALUE]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        items = (_leaves(child, (*path, str(key))) for key, child in value.items())
        yield from itertools.chain.from_iterable(items)
    else:
        yield path, value
