"""Tasks from files of the user's own: rows of a table, or plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.texts import Corpus, Text
from wirelessfl.scenario.datafile import check_hash
from wirelessfl.scenario.tasks import TableTask, TextFilesTask

_SPLIT_SEED = 0  # the split does not depend on a scenario's seed


def table_corpus(config: TableTask) -> Corpus:
    """The texts of a table; of every class (or owner) a share is held out, or there are test rows.

    Raises:
        InputError: If a file cannot be read or has changed, or a column is missing, empty in some
            row, or holds fewer than two classes; or if test rows have a class the others have not.
    """
    source, frame, test = _frames(config)
    held_out = np.zeros(len(frame), bool)
    if test is not None:
        frame = pd.concat([frame, test], ignore_index=True)
        held_out = np.arange(len(frame)) >= len(held_out)
    classes, label = _numbered(frame, config.label)
    if config.label is not None and len(classes) < 2:
        raise InputError(f"{source}: {config.label} has only one class, {classes[0]!r}")
    if unknown := set(label[held_out]) - set(label[~held_out]):
        raise InputError(
            f"{source}: no row to learn from has {config.label} {classes[min(unknown)]!r}, which "
            "the test rows have"
        )
    owners, owner = _numbered(frame, config.owner)
    completions = frame[config.completion] if config.completion is not None else None
    rows = [
        Text(
            text=text,
            completion=None if completions is None else completions[row],
            label=int(label[row]) if classes else None,
            owner=int(owner[row]),
        )
        for row, text in enumerate(frame[config.text])
    ]
    if test is None:
        groups = label if classes else owner
        held_out = _held_out(groups, config.test_fraction, source)
    train, kept = _parted(rows, held_out)
    return Corpus(train, kept, classes=classes, owners=owners)


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
    held_out = _held_out(np.array(owners), config.test_fraction, str(folder))
    train, test = _parted(rows, held_out)
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


def _frames(config: TableTask) -> tuple[str, pd.DataFrame, pd.DataFrame | None]:
    """What errors call the table, its rows to learn from, and those to test with if given."""
    wanted = [config.text, config.label, config.completion, config.owner]
    test = None
    if config.folder is not None:
        source = config.folder
        frame, test = _read_folder(Path(config.folder))
    else:
        assert config.file is not None
        source = config.file
        frame = _read(Path(config.file), config.sha256)
    frame = _checked(frame, wanted, config.owner, source)
    if config.test is not None:
        test = _read(Path(config.test.file), config.test.sha256)
        return source, frame, _checked(test, wanted[:3], None, config.test.file)
    return source, frame, None if test is None else _checked(test, wanted[:3], None, source)


def _checked(
    frame: pd.DataFrame, wanted: Sequence[str | None], owner: str | None, source: str
) -> pd.DataFrame:
    """The columns wanted, as text, of which all but the owner's say something in every row."""
    if not len(frame):
        raise InputError(f"{source}: has no rows")
    columns = {}
    for name in wanted:
        if name is None:
            continue
        if name not in frame:
            raise InputError(
                f"{source}: has no column {name!r}; it has: {', '.join(map(str, frame.columns))}"
            )
        columns[name] = frame[name].astype(str)
        if name != owner and (empty := columns[name].str.strip() == "").any():
            row = int(empty.to_numpy().argmax()) + 1
            raise InputError(f"{source}: {name} is empty in row {row}")
    return pd.DataFrame(columns)


def _read_folder(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Rows, and test rows if there are, of what `datasets` saved; classes by their names."""
    try:
        import datasets
    except ImportError:
        raise InputError(
            "learning.task.folder: needs the package datasets: pip install 'wirelessfl[datasets]'"
        ) from None
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: is not a folder of save_to_disk: {reason}") from None
    splits = found if isinstance(found, datasets.DatasetDict) else {"train": found}
    if "train" not in splits:
        raise InputError(f"{folder}: has no split 'train'; it has: {', '.join(map(str, splits))}")
    return _named(splits["train"]), _named(splits["test"]) if "test" in splits else None


def _named(dataset: Any) -> pd.DataFrame:
    """A split as a table of texts."""
    frame: pd.DataFrame = dataset.to_pandas()
    for column, feature in dataset.features.items():
        if hasattr(feature, "int2str"):
            frame[column] = [feature.int2str(int(number)) for number in frame[column]]
    return frame.fillna("")


def _numbered(frame: pd.DataFrame, column: str | None) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The different values of a column in order, and the number of each row's; 0 without one."""
    if column is None:
        return (), np.zeros(len(frame), np.int64)
    values = frame[column].fillna("").to_numpy(dtype=str)
    names, number = np.unique(values, return_inverse=True)
    return tuple(names.tolist()), number


def _held_out(groups: NDArray[np.int64], fraction: float, source: str) -> NDArray[np.bool_]:
    """Which rows are for testing: a share of every group, the same every time."""
    held_out = np.zeros(len(groups), bool)
    for number, group in enumerate(np.unique(groups)):
        rng = randomness.generator(_SPLIT_SEED, "table-split", number)
        mine = rng.permutation(np.flatnonzero(groups == group))
        held_out[mine[: round(fraction * len(mine))]] = True
    if held_out.all() or not held_out.any():
        raise InputError(
            f"{source}: {len(groups)} samples cannot be split with test_fraction {fraction:g}"
        )
    return held_out


def _parted(rows: Sequence[Text], held_out: NDArray[np.bool_]) -> tuple[list[Text], list[Text]]:
    """Rows to train on and to test with, each in its order."""
    train = [row for row, out in zip(rows, held_out, strict=True) if not out]
    return train, [row for row, out in zip(rows, held_out, strict=True) if out]
