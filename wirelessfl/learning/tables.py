"""Tasks from files of the user's own: rows of a table, or plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.texts import Corpus, Text
from wirelessfl.scenario.datafile import check_hash
from wirelessfl.scenario.learning import TableTask, TextFilesTask

_SPLIT_SEED = 0  # the split does not depend on a scenario's seed


def table_corpus(config: TableTask) -> Corpus:
    """The texts of a table; a share of every class (or owner) is held out.

    Raises:
        InputError: If the file cannot be read or has changed, or a column is missing, empty in some
            row, or holds fewer than two classes.
    """
    path = Path(config.file)
    frame = _read(path, config.sha256)
    wanted = [config.text, config.label, config.completion, config.owner]
    for column in wanted:
        if column is not None and column not in frame:
            raise InputError(
                f"{path}: has no column {column!r}; it has: {', '.join(map(str, frame.columns))}"
            )
    columns = {name: frame[name].astype(str) for name in wanted if name is not None}
    for name in (config.text, config.label, config.completion):
        if name is not None and (empty := columns[name].str.strip() == "").any():
            raise InputError(f"{path}: {name} is empty in row {int(empty.to_numpy().argmax()) + 1}")
    classes, label = _numbered(columns[config.label]) if config.label is not None else ((), None)
    if config.label is not None and len(classes) < 2:
        raise InputError(f"{path}: {config.label} has only one class, {classes[0]!r}")
    owners, owner = _numbered(columns[config.owner]) if config.owner is not None else ((), None)
    rows = [
        Text(
            text=text,
            completion=None if config.completion is None else columns[config.completion][row],
            label=None if label is None else int(label[row]),
            owner=0 if owner is None else int(owner[row]),
        )
        for row, text in enumerate(columns[config.text])
    ]
    groups = label if label is not None else owner if owner is not None else np.zeros(len(rows))
    train, test = _split(rows, groups, config.test_fraction, str(path))
    return Corpus(train, test, classes=classes, owners=owners)


def text_files_corpus(config: TextFilesTask) -> Corpus:
    """The paragraphs of all files; a share of every file is held out.

    Raises:
        InputError: If no file matches, or one is not UTF-8 text.
    """
    folder = Path(config.folder)
    files = sorted(path for path in folder.glob(config.pattern) if path.is_file())
    rows, owners = [], []
    for owner, path in enumerate(files):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is not UTF-8 text: {error}") from None
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                rows.append(Text(paragraph.strip(), owner=owner))
                owners.append(owner)
    if not rows:
        raise InputError(f"{folder}: no text in files like {config.pattern!r}")
    train, test = _split(rows, np.array(owners), config.test_fraction, str(folder))
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    return Corpus(train, test, owners=names)


def _read(path: Path, sha256: str | None) -> pd.DataFrame:
    """The file as a table of texts, whatever its format."""
    try:
        data = path.read_bytes()
        check_hash(path, data, sha256)
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        if path.suffix in (".jsonl", ".json"):
            return pd.read_json(path, lines=True, dtype=False).fillna("")
        if path.suffix == ".parquet":
            return pd.read_parquet(path).fillna("")
    except InputError:
        raise
    except (OSError, ValueError) as error:  # what pandas and Arrow raise for bad content
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read: {reason}") from None
    raise InputError(f"{path}: is not a .csv, .jsonl or .parquet file")


def _numbered(values: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """The different values in order, and the number of each row's."""
    names, number = np.unique(values.to_numpy(dtype=str), return_inverse=True)
    return tuple(names.tolist()), number


def _split(
    rows: Sequence[Text], groups: np.ndarray, fraction: float, source: str
) -> tuple[list[Text], list[Text]]:
    """Rows to train on and to test with, each in its order: a share of every group is held out."""
    held_out = np.zeros(len(rows), bool)
    for number, group in enumerate(np.unique(groups)):
        rng = randomness.generator(_SPLIT_SEED, "table-split", number)
        mine = rng.permutation(np.flatnonzero(groups == group))
        held_out[mine[: round(fraction * len(mine))]] = True
    if held_out.all() or not held_out.any():
        raise InputError(
            f"{source}: {len(rows)} samples cannot be split with test_fraction {fraction:g}"
        )
    train = [row for row, out in zip(rows, held_out, strict=True) if not out]
    return train, [row for row, out in zip(rows, held_out, strict=True) if out]
