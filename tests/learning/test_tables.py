"""Tasks from the user's own files, and what can be wrong with these."""

from __future__ import annotations

import hashlib
from pathlib import Path

import datasets
import pandas as pd
import pytest
from pydantic import ValidationError

from wirelessfl.errors import InputError
from wirelessfl.learning.tables import table_corpus, text_files_corpus
from wirelessfl.scenario import loads
from wirelessfl.scenario.tasks import TableTask, TextFilesTask

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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"", "cannot be read"),
        ("rows.csv", b'text\n"open', "cannot be read"),
        ("rows.csv", b"text\n\xff\xfe", "cannot be read"),
        ("rows.jsonl", b"{broken", "cannot be read"),
        ("rows.parquet", b"not parquet", "cannot be read"),
        ("rows.xls", b"", r"is not a \.csv, \.jsonl or \.parquet file"),
    ],
)
def test_a_broken_file_is_one_error(name: str, content: bytes, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {message}"):
        table_corpus(TableTask(file=str(tmp_path / name)))


def test_paragraphs_of_files_belong_to_their_file(tmp_path: Path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(
            "\n\n".join(f"{name} {n}" for n in range(10)), encoding="utf-8"
        )
    (tmp_path / "notes.md").write_text("not this", encoding="utf-8")
    corpus = text_files_corpus(TextFilesTask(folder=str(tmp_path)))
    assert {text.text[0]: text.owner for text in corpus.train} == {"a": 0, "b": 1}
    assert (len(corpus.train), len(corpus.test)) == (16, 4)


def test_no_text_and_no_utf8_are_errors(tmp_path: Path):
    with pytest.raises(InputError, match=r"no text in files like '\*\.txt'"):
        text_files_corpus(TextFilesTask(folder=str(tmp_path)))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"a\.txt: is not UTF-8 text"):
        text_files_corpus(TextFilesTask(folder=str(tmp_path)))


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
    with pytest.raises(InputError, match="no row to learn from has label 'z'"):
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
    file = table_corpus(
        TableTask(file=str(written(ROWS, tmp_path / "rows.csv")), label="label", owner="who")
    )
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["c", "b", "a"]),
            "who": datasets.Value("string"),
        }
    )
    plain = datasets.Dataset.from_pandas(ROWS, features=features, preserve_index=False)
    plain.save_to_disk(tmp_path / "plain")
    config = TableTask(folder=str(tmp_path / "plain"), label="label", owner="who")
    assert table_corpus(config).fingerprint == file.fingerprint
    splits = datasets.DatasetDict({"train": plain, "test": plain.select(range(4))})
    splits.save_to_disk(tmp_path / "splits")
    corpus = table_corpus(config.model_copy(update={"folder": str(tmp_path / "splits")}))
    assert (len(corpus.train), len(corpus.test)) == (20, 4)
    datasets.DatasetDict({"dev": plain}).save_to_disk(tmp_path / "odd")
    with pytest.raises(InputError, match="has no split 'train'; it has: dev"):
        table_corpus(config.model_copy(update={"folder": str(tmp_path / "odd")}))
    with pytest.raises(InputError, match="is not a folder of save_to_disk"):
        table_corpus(config.model_copy(update={"folder": str(tmp_path)}))


def test_a_table_is_a_file_or_a_folder(tmp_path: Path):
    for options in ({}, {"file": "a.csv", "folder": "b"}):
        with pytest.raises(ValidationError, match="exactly one of file and folder"):
            TableTask(**options)
