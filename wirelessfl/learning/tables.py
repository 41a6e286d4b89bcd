"""A task from a table of the user's own: texts with classes, prompts with completions, or texts."""

from __future__ import annotations

from pathlib import Path

from wirelessfl.errors import InputError
from wirelessfl.learning.hold_out import hold_out
from wirelessfl.learning.table_files import Table, read_saved, read_table
from wirelessfl.learning.texts import Corpus, Text
from wirelessfl.scenario.tasks import TableTask

Columns = dict[str, list[str]]


def table_corpus(config: TableTask) -> Corpus:
    """The texts of a table; of every class (or owner) a share is held out, or there are test rows.

    Raises:
        InputError: If a file cannot be read or has changed, or a column is missing, empty in some
            row, or holds fewer than two classes; or if test rows have a class the others have not.
    """
    table, test_table = _tables(config)
    columns = _columns(table, config)
    classes = _names(columns, config.label)
    owners = _names(columns, config.owner)
    if config.label is not None and len(classes) < 2:
        raise InputError(f"{table.source}: {config.label} has only one class, {classes[0]!r}")
    rows = _rows(columns, config, classes, owners)
    if test_table is not None:
        unowned = config.model_copy(update={"owner": None})
        tested = _columns(test_table, unowned)
        if unknown := set(_names(tested, config.label)) - set(classes):
            raise InputError(
                f"{test_table.source}: has {config.label} {min(unknown)!r}, which no row to learn "
                "from has"
            )
        test = _rows(tested, unowned, classes, ())
        return Corpus(rows, test, classes=classes, owners=owners)
    groups = [row.owner if row.label is None else row.label for row in rows]
    train, test = hold_out(
        rows, groups, config.test_fraction, table.source, keep_some=bool(classes)
    )
    return Corpus(train, test, classes=classes, owners=owners)


def _tables(config: TableTask) -> tuple[Table, Table | None]:
    """The table to learn from, and that to evaluate on if it is given."""
    test = None
    if config.folder is not None:
        splits = read_saved(Path(config.folder))
        if "train" not in splits:
            raise InputError(
                f"{config.folder}: has no split 'train'; it has: {', '.join(map(str, splits))}"
            )
        table, test = splits["train"], splits.get("test")
    else:
        assert config.file is not None
        table = read_table(Path(config.file), config.sha256)
    if config.test is not None:
        test = read_table(Path(config.test.file), config.test.sha256)
    return table, test


def _columns(table: Table, config: TableTask) -> Columns:
    """The columns that the task names; each says something in every row."""
    columns = {}
    for name in (config.text, config.label, config.completion, config.owner):
        if name is None:
            continue
        columns[name] = values = table.texts(name)
        if not values:
            raise InputError(f"{table.source}: has no rows")
        row = next((row for row, value in enumerate(values, 1) if not value.strip()), None)
        if row is not None:
            raise InputError(f"{table.source}: {name} is empty in row {row}")
    return columns


def _names(columns: Columns, column: str | None) -> tuple[str, ...]:
    """The different values of a column in order; none without one."""
    return tuple(sorted(set(columns[column]))) if column is not None else ()


def _rows(
    columns: Columns, config: TableTask, classes: tuple[str, ...], owners: tuple[str, ...]
) -> list[Text]:
    """The rows, with classes and owners by number."""
    texts = columns[config.text]
    nothing = [None] * len(texts)
    completions = columns[config.completion] if config.completion is not None else nothing
    labels = columns[config.label] if config.label is not None else nothing
    holders = columns[config.owner] if config.owner is not None else nothing
    class_of = {name: number for number, name in enumerate(classes)}
    owner_of = {name: number for number, name in enumerate(owners)}
    return [
        Text(
            text,
            completion,
            None if label is None else class_of[label],
            0 if holder is None else owner_of[holder],
        )
        for text, completion, label, holder in zip(texts, completions, labels, holders, strict=True)
    ]
