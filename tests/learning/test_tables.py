"""Tasks from a user's own table: its columns, its classes, and what is held out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from wirelessfl.errors import InputError
from wirelessfl.learning.tables import table_corpus
from wirelessfl.scenario import loads
from wirelessfl.scenario.tasks import TableTask

ROWS = pd.DataFrame(
    {
        "text": [f"text {n}" for n in range(20)],
        "label": ["b", "a", "c", "a"] * 5,
        "who": [f"w{n % 3}" for n in range(20)],
    }
)


def written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_corpus(suffix: str, tmp_path: Path):
    path = written(ROWS, tmp_path / f"rows{suffix}")
    corpus = table_corpus(TableTask(file=str(path), label="label", owner="who"))
    assert corpus.classes == ("a", "b", "c")
    assert corpus.owners == ("w0", "w1", "w2")
    everything = sorted([*corpus.train, *corpus.test], key=lambda text: int(text.text.split()[1]))
    assert [text.text for text in everything] == ROWS["text"].tolist()
    assert [corpus.classes[text.label] for text in everything] == ROWS["label"].tolist()
    assert [f"w{text.owner}" for text in everything] == ROWS["who"].tolist()
    assert sorted(text.label for text in corpus.test) == [0, 0, 1, 2]  # a fifth of each class
    assert corpus.fingerprint == (
        table_corpus(TableTask(file=str(path), label="label", owner="who")).fingerprint
    )


def test_without_labels_the_text_itself_is_learnt(tmp_path: Path):
    path = written(ROWS, tmp_path / "rows.csv")
    corpus = table_corpus(TableTask(file=str(path)))
    assert corpus.classes == ()
    assert not corpus.owners
    assert (len(corpus.train), len(corpus.test)) == (16, 4)
    with_completion = table_corpus(TableTask(file=str(path), completion="label"))
    assert with_completion.train[0].completion in {"a", "b", "c"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "txt"}, "has no column 'txt'; it has: text, label, who"),
        ({"label": "mood"}, "has no column 'mood'"),
        ({"label": "same"}, "same has only one class, 'x'"),
        ({"text": "gaps"}, "gaps is empty in row 3"),
        ({"test_fraction": 0.001}, "20 samples cannot be split"),
        ({"sha256": "0" * 64}, "has changed"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(options, message: str, tmp_path: Path):
    gaps = ["x", "y", " ", *["z"] * 17]
    path = written(ROWS.assign(same="x", gaps=gaps), tmp_path / "rows.csv")
    frame_columns = message.replace("text, label, who", "text, label, who, same, gaps")
    with pytest.raises(InputError, match=frame_columns):
        table_corpus(TableTask(file=str(path), **options))


def test_rows_of_a_file_of_their_own_are_evaluated_on(tmp_path: Path):
    written(ROWS, tmp_path / "rows.csv")
    written(ROWS.iloc[:3].assign(text="new").drop(columns="who"), tmp_path / "test.jsonl")
    config = TableTask(
        file=str(tmp_path / "rows.csv"),
        label="label",
        owner="who",
        test={"file": str(tmp_path / "test.jsonl")},
    )
    corpus = table_corpus(config)
    assert [text.text for text in corpus.train] == ROWS["text"].tolist()
    assert [(text.text, corpus.classes[text.label]) for text in corpus.test] == [
        ("new", "b"),
        ("new", "a"),
        ("new", "c"),
    ]
    assert {corpus.owners[text.owner] for text in corpus.train} == {"w0", "w1", "w2"}
    written(ROWS.assign(label="z"), tmp_path / "test.jsonl")
    with pytest.raises(
        InputError, match=r"test\.jsonl: has label 'z', which no row to learn from has"
    ):
        table_corpus(config)


def test_hashes_of_both_files_are_noted_when_the_scenario_is_read(tmp_path: Path):
    written(ROWS, tmp_path / "rows.csv")
    written(ROWS.iloc[:5], tmp_path / "test.csv")
    task = loads(
        "name: a\nlearning:\n  model: {kind: tiny-lm}\n"
        "  task: {kind: table, file: rows.csv, label: label, test: {file: test.csv}}",
        str(tmp_path / "a.yaml"),
    ).learning.task
    for noted, name in ((task.sha256, "rows.csv"), (task.test.sha256, "test.csv")):
        assert noted == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_folder_of_datasets_is_the_same_as_the_file(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    config = {"label": "label", "owner": "who"}
    file = table_corpus(TableTask(file=str(written(ROWS, tmp_path / "rows.csv")), **config))
    plain = datasets.Dataset.from_pandas(ROWS, preserve_index=False)
    plain = plain.cast_column("label", datasets.ClassLabel(names=["c", "b", "a"]))
    plain.save_to_disk(tmp_path / "plain")
    folder = TableTask(folder=str(tmp_path / "plain"), **config)
    assert table_corpus(folder).fingerprint == file.fingerprint
    splits = datasets.DatasetDict({"train": plain, "test": plain.select(range(4))})
    splits.save_to_disk(tmp_path / "splits")
    corpus = table_corpus(folder.model_copy(update={"folder": str(tmp_path / "splits")}))
    assert (len(corpus.train), len(corpus.test)) == (20, 4)
    datasets.DatasetDict({"dev": plain}).save_to_disk(tmp_path / "odd")
    with pytest.raises(InputError, match="has no split 'train'; it has: dev"):
        table_corpus(folder.model_copy(update={"folder": str(tmp_path / "odd")}))


def test_a_table_is_a_file_or_a_folder(tmp_path: Path):
    for options in ({}, {"file": "a.csv", "folder": "b"}):
        with pytest.raises(ValidationError, match="exactly one of file and folder"):
            TableTask(**options)
