"""The documentation of a library as a corpus."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest

from wirelessfl.errors import InputError
from wirelessfl.learning.pydoc import SHORTEST, _strings_by_owner, pydoc_corpus

PACKAGES = 60
MODULE = '''"""{name} is a module that says at some length what it is for."""
raise SystemExit("nobody may import this")

if True:
    class Thing:
        """A thing of {name}, which has documentation like everything here."""

        async def method(self):
            """Return the method of {name}.

            It is indented, as documentation is.
            """

def short():
    """Too short."""

def said_everywhere():
    """Return what every other module of this library returns as well."""
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for number in range(PACKAGES):
        folder = tmp_path / f"package{number}"
        folder.mkdir()
        for name in ("__init__", "inner"):
            text = MODULE.format(name=f"package{number}.{name}")
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "single.py").write_text(MODULE.format(name="single"), encoding="utf-8")
    (tmp_path / "broken.py").write_text('"""Does not parse, however long it is: """ (', "utf-8")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "other.py").write_text(MODULE.format(name="other"), "utf-8")
    return tmp_path


def test_every_string_is_there_once_and_its_owner_is_the_package(library: Path):
    corpus = pydoc_corpus(folder=library)
    everything = [text.text for part in (corpus.train, corpus.test, corpus.source) for text in part]
    assert len(everything) == len(set(everything)) == 3 * (2 * PACKAGES + 1) + 1
    assert not any(
        "other" in text or "not parse" in text for text in everything if "every" not in text
    )
    assert min(map(len, everything)) >= SHORTEST
    for text in [*corpus.train, *corpus.test]:
        if "every other module" not in text.text:
            assert f"{corpus.owners[text.owner]}" in text.text
    indented = next(text.text for text in corpus.source if text.text.startswith("Return the m"))
    assert indented.endswith("\n\nIt is indented, as documentation is.")


def test_no_package_is_both_for_pre_training_and_for_clients(library: Path):
    corpus = pydoc_corpus(folder=library)
    for_source = {text.text for text in corpus.source}
    assert 10 < len(corpus.owners) < 50  # of 61
    for owner in corpus.owners:
        assert not any(f"{owner}." in text or f"of {owner}," in text for text in for_source)
    trained, tested = (Counter(text.owner for text in part) for part in (corpus.train, corpus.test))
    for owner in range(len(corpus.owners)):  # six or seven strings, a fifth rounded down
        assert tested[owner] == (trained[owner] + tested[owner]) // 5


def test_the_corpus_depends_on_the_files_alone(library: Path):
    first = pydoc_corpus(folder=library).fingerprint
    _strings_by_owner.cache_clear()
    assert first == pydoc_corpus(folder=library).fingerprint
    _strings_by_owner.cache_clear()
    (library / "single.py").write_text(MODULE.format(name="another"), encoding="utf-8")
    assert first != pydoc_corpus(folder=library).fingerprint
    assert gc.isenabled()


def test_a_python_without_its_source_is_an_error(tmp_path: Path):
    (tmp_path / "a.py").write_text(MODULE.format(name="a"), encoding="utf-8")
    with pytest.raises(InputError, match=r"has only \d packages with documentation"):
        pydoc_corpus(folder=tmp_path)


def test_a_fraction_that_holds_nothing_out_is_an_error(library: Path):
    with pytest.raises(InputError, match=r"test_fraction: 0\.1 holds .* largest has 7, .* 0\.15"):
        pydoc_corpus(0.1, library)
    assert len(pydoc_corpus(0.15, library).test) == 1  # of the only package with seven strings


@pytest.mark.slow
def test_this_pythons_own_library_is_large_enough():
    corpus = pydoc_corpus()
    assert len(corpus.owners) > 60
    assert len(corpus.train) > 2000
    assert 0.1 < len(corpus.test) / (len(corpus.test) + len(corpus.train)) <= 0.2
    assert len(corpus.source) > 1000
    assert {"email", "logging"} & set(corpus.owners)
