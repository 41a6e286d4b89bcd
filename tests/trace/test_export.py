"""Other tools read a trace's numbers at the simulated times they belong to."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from wirelessfl.errors import InputError
from wirelessfl.trace import Trace
from wirelessfl.trace.export import (
    EVENT_FILE,
    runs_below,
    write_csv,
    write_mlflow,
    write_tensorboard,
)

NUMBERS = 20  # of the rounds table by hand that are not missing, without round, start_s, end_s


@pytest.fixture
def finished(trace: Trace) -> Trace:
    trace.summary |= {"name": "by-hand", "fingerprint": "f" * 64}
    trace.scenario_yaml = "name: by-hand\nstop: {rounds: 2}\ndevices: {profiles: {a b$: {n: 1}}}\n"
    return trace


def test_csv_holds_the_tables_in_full(finished: Trace, tmp_path: Path):
    finished.rounds.loc[1, "loss"] = 1 / 3
    write_csv(finished, tmp_path / "new")
    for name in ("rounds", "clients", "events"):
        again = pd.read_csv(tmp_path / "new" / f"{name}.csv")
        pd.testing.assert_frame_equal(
            again, getattr(finished, name), check_dtype=False, check_exact=True
        )
    assert (tmp_path / "new" / "holdings.csv").read_text() == "client,class,samples\n"


def test_tensorboard_reads_simulated_seconds_as_wall_time(finished: Trace, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_tensorboard(finished, tmp_path / "logs")
    reader = EventAccumulator(str(tmp_path / "logs"), size_guidance={"scalars": 0}).Reload()
    tags = reader.Tags()["scalars"]
    assert len(tags) == NUMBERS
    points = [(e.step, e.wall_time, e.value) for e in reader.Scalars("rounds/accuracy")]
    assert points == [
        (0, 0.0, pytest.approx(0.1)),
        (1, 10.0, pytest.approx(0.55)),
        (2, 20.0, pytest.approx(0.7)),
    ]
    assert not {"rounds/perplexity", "rounds/end_s", "rounds/phase"} & set(tags)


def test_an_event_file_is_the_same_every_time_and_the_only_one(finished: Trace, tmp_path: Path):
    write_tensorboard(finished, tmp_path)
    first = (tmp_path / EVENT_FILE).read_bytes()
    write_tensorboard(finished, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [EVENT_FILE]
    assert (tmp_path / EVENT_FILE).read_bytes() == first


@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # MLflow's use of SQLAlchemy
@pytest.mark.parametrize("store", ["folder", "database"])
@pytest.mark.slow
def test_mlflow_reads_simulated_milliseconds(
    finished: Trace, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    uri = str(tmp_path / "ml") if store == "folder" else "sqlite:///ml.db"
    run = write_mlflow(finished, uri, "uniform/seed-3")
    again = write_mlflow(finished, uri, "uniform/seed-3")
    assert again != run

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=Path(uri).as_uri() if store == "folder" else uri)
    loss = [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run, "loss")]
    assert sorted(loss) == [(0, 0, 4.0), (1, 10_000, 2.0), (2, 20_000, pytest.approx(4 / 3))]
    logged = client.get_run(run)
    assert len(logged.data.metrics) == NUMBERS
    assert (logged.info.start_time, logged.info.end_time) == (1, 20_000)
    assert (logged.info.run_name, logged.info.status) == ("uniform/seed-3", "FINISHED")
    assert logged.data.params == {
        "name": "by-hand",
        "stop.rounds": "2",
        "devices.profiles.a b_.n": "1",
    }
    assert logged.data.tags["wirelessfl.strategy"] == "uniform"
    assert client.get_experiment(logged.info.experiment_id).name == "by-hand"


def test_mlflow_that_cannot_be_reached_is_one_error(finished: Trace):
    with pytest.raises(InputError, match="MLflow at nowhere://x: "):
        write_mlflow(finished, "nowhere://x", "run")


@pytest.mark.parametrize(
    ("module", "extra"),
    [("tensorboard.compat.proto.event_pb2", "tensorboard"), ("mlflow", "mlflow")],
)
def test_a_missing_extra_is_named(
    finished: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
):
    for name in [name for name in sys.modules if name.split(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"pip install 'wirelessfl\[{extra}\]'"):
        if extra == "mlflow":
            write_mlflow(finished, str(tmp_path / "ml"), "run")
        else:
            write_tensorboard(finished, tmp_path / "logs")
    assert not list(tmp_path.iterdir())


def test_runs_of_a_comparison_are_found_by_their_place(finished: Trace, tmp_path: Path):
    with pytest.raises(InputError, match="no finished run"):
        runs_below(tmp_path)
    for name in ("uniform/seed-0", "full/seed-0"):
        finished.write(tmp_path / name)
    assert list(runs_below(tmp_path)) == ["full/seed-0", "uniform/seed-0"]
    assert runs_below(tmp_path / "full" / "seed-0") == {"seed-0": tmp_path / "full" / "seed-0"}
