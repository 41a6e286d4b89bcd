"""Tasks from a folder of text files: whose paragraphs are whose, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.learning.text_files import text_files_corpus
from wirelessfl.scenario import loads
from wirelessfl.scenario.tasks import TextFilesTask


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


def test_windows_files_have_paragraphs_too_and_no_mark_at_the_start(tmp_path: Path):
    data = "\ufeffone\r\n\r\ntwo\r\nlines\r\n\r\nthree".encode()
    (tmp_path / "a.txt").write_bytes(data)
    corpus = text_files_corpus(TextFilesTask(folder=str(tmp_path), test_fraction=0.4))
    assert {text.text for text in (*corpus.train, *corpus.test)} == {"one", "two\nlines", "three"}


def test_files_below_are_found_where_the_pattern_says_so(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("one\n\ntwo", encoding="utf-8")
    task = TextFilesTask(folder=str(tmp_path), pattern="**/*.txt", test_fraction=0.5)
    assert text_files_corpus(task).owners == ("a/b/c.txt",)


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "a/../../*.txt", "**/../.."])
def test_a_pattern_stays_in_its_folder(pattern: str, tmp_path: Path):
    task = f"{{kind: text_files, folder: ., pattern: '{pattern}'}}"
    with pytest.raises(InputError, match=r":2:\d+: learning\.task\.pattern: .*out of the folder"):
        loads(f"name: a\nlearning: {{task: {task}}}", str(tmp_path / "a.yaml"))


def test_a_pattern_that_is_none_is_one_error(tmp_path: Path):
    with pytest.raises(InputError, match=r"learning\.task\.pattern: 'a\*\*' cannot be used"):
        text_files_corpus(TextFilesTask(folder=str(tmp_path), pattern="a**"))
