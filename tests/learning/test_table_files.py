"""Every kind of table gives the same texts, and what is wrong in one is told with its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

from wirelessfl.errors import InputError
from wirelessfl.learning.table_files import read_saved, read_table

ODD = pd.DataFrame(
    {
        "text": ["plain", 'a "quoted", one', "two\nlines", "1", "NA"],
        "label": [1, 2, 1, 2, 1],
        "date": ["2020-01-01", "", "x", "y", "z"],
    }
)


def written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".jsonl", ".parquet"])
def test_no_format_guesses_what_a_text_means(suffix: str, tmp_path: Path):
    table = read_table(written(ODD, tmp_path / f"rows{suffix}"))
    assert table.names == ("text", "label", "date")
    assert table.texts("text") == ODD["text"].tolist()
    assert table.texts("label") == ["1", "2", "1", "2", "1"]  # no 1.0
    assert table.texts("date") == ODD["date"].tolist()


def test_what_is_missing_is_empty_and_leaves_whole_numbers_whole(tmp_path: Path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"a": 1}\n\n{"a": null, "b": true}\n{"b": 2.5}\n', encoding="utf-8")
    table = read_table(lines)
    assert table.names == ("a", "b")
    assert (table.texts("a"), table.texts("b")) == (["1", "", ""], ["", "True", "2.5"])
    frame = pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [1.5, None]})
    table = read_table(written(frame, tmp_path / "rows.parquet"))
    assert (table.texts("a"), table.texts("b")) == (["1", ""], ["1.5", ""])


def test_a_line_break_of_unicode_ends_no_row(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one\u2028two"}\n', encoding="utf-8")
    assert read_table(path).texts("text") == ["one\u2028two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"", r"rows\.csv:1: is empty"),
        ("rows.csv", b'text\n"open', r"rows\.csv:2: is not CSV"),
        ("rows.csv", b"text\nok\n\xff\xfe", r"rows\.csv:3: is not UTF-8"),
        ("rows.csv", b"text,label\nhello, world,good\n", r"rows\.csv:2: has 3 values for 2 .*quot"),
        ("rows.csv", b"text,label\na,b\nhello\n", r"rows\.csv:3: has 1 values for 2 columns"),
        ("rows.csv", b"text,text\na,b\n", "has several columns 'text'"),
        ("rows.csv", b"body,label\na,b\n", "has no column 'text'; it has: body, label"),
        ("rows.jsonl", b"", "has no rows"),
        ("rows.jsonl", b'{"text": "a"}\n{broken\n', r"rows\.jsonl:2: is not JSON"),
        ("rows.jsonl", b'{"text": "a"}\n["b"]\n', r"rows\.jsonl:2: is a list, must be an object"),
        ("rows.jsonl", b'{"text": "\xff"}\n', r"rows\.jsonl:1: is not JSON"),
        ("rows.jsonl", b'{"text": "a"}\n{"text": ["b"]}\n', "text is a list in row 2"),
        ("rows.parquet", b"not parquet", "is not Parquet"),
        ("rows.xls", b"", r"is not a \.csv, \.jsonl or \.parquet file"),
    ],
)
def test_a_broken_table_is_one_error(name: str, content: bytes, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name).texts("text")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_that_has_changed_is_refused(suffix: str, tmp_path: Path):
    path = written(ODD, tmp_path / f"rows{suffix}")
    with pytest.raises(InputError, match="has changed since"):
        read_table(path, "0" * 64)


def test_saved_classes_have_names_and_unknown_ones_are_missing(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": labels})
    rows = {"text": ["a", "b", "c"], "label": [1, -1, 0]}
    saved = datasets.Dataset.from_dict(rows, features=features)
    saved.select([2, 1, 0]).save_to_disk(tmp_path / "saved")
    (table,) = read_saved(tmp_path / "saved").values()
    assert (table.texts("text"), table.texts("label")) == (["c", "b", "a"], ["no", "", "yes"])


def test_a_folder_that_nobody_saved_is_one_error(tmp_path: Path):
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match="is not a folder of save_to_disk"):
        read_saved(tmp_path)
    (tmp_path / "dataset_info.json").write_text("{")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InputError, match="is not a folder of save_to_disk"):
        read_saved(tmp_path)


def test_without_datasets_its_folders_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'wirelessfl\[datasets\]'"):
        read_saved(tmp_path)
