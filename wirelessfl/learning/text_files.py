"""A task from a folder of plain text of the user's own: a file is an owner, a paragraph a text."""

from __future__ import annotations

from pathlib import Path

from wirelessfl.errors import InputError, reason
from wirelessfl.learning.hold_out import hold_out
from wirelessfl.learning.texts import Corpus, Text
from wirelessfl.scenario.tasks import TextFilesTask


def text_files_corpus(config: TextFilesTask) -> Corpus:
    """The paragraphs of all files; a share of every file is held out.

    Raises:
        InputError: If no file matches, one is not UTF-8 text, or nothing can be held out.
    """
    folder = Path(config.folder)
    try:
        files = sorted(path for path in folder.glob(config.pattern) if path.is_file())
    except ValueError as error:
        raise InputError(
            f"learning.task.pattern: {config.pattern!r} cannot be used: {reason(error)}"
        ) from None
    rows = [
        Text(paragraph.strip(), owner=owner)
        for owner, path in enumerate(files)
        for paragraph in _text(path).split("\n\n")
        if paragraph.strip()
    ]
    if not rows:
        raise InputError(f"{folder}: no text in files like {config.pattern!r}")
    train, test = hold_out(rows, [row.owner for row in rows], config.test_fraction, str(folder))
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    return Corpus(train, test, owners=names)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from None
