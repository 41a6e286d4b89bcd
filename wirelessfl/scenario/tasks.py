"""What is learnt: the data of a task, built in or from files of the user's own."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from wirelessfl.scenario.base import Config, FileHash, FileName, FolderName
from wirelessfl.scenario.custom import Custom

DIGITS_SAMPLES = 1203
"""Training samples of the digits task."""


class DigitsTask(Config):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: ten classes, nothing to download."""

    metrics: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    """What its evaluation measures."""

    kind: Literal["digits"] = "digits"


class NoTask(Config):
    """Nothing is learnt: the run only takes the time that learning would (no torch needed)."""

    kind: Literal["none"] = "none"
    samples: int = Field(
        DIGITS_SAMPLES, ge=1, description="Training samples of all clients together"
    )
    tokens: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Tokens in a sample; null is what an image gives the model, or 128 for text",
    )
    classes: int = Field(
        10, ge=2, description="Classes of the trained head (a causal language model has none)"
    )


class TextOptions(Config):
    """What all tasks of text have."""

    kind: str
    max_tokens: int = Field(
        128, ge=2, description="Tokens in a sample; what is longer is cut, or becomes several"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the samples held out for evaluation"
    )


class PydocTask(TextOptions):
    """The documentation of Python's own standard library: the next token, nothing to download.

    A string belongs to the package it is in, for partition: {kind: natural}.
    """

    kind: Literal["pydoc"] = "pydoc"
    max_tokens: int = Field(64, ge=2, description="Tokens in a sample; what is longer is several")

    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")


class EvaluationTable(Config):
    """Rows that are for evaluation only, with the same columns."""

    file: FileName = Field(
        min_length=1, description="File, relative to this one: .csv, .jsonl or .parquet"
    )
    sha256: FileHash = None


class TableTask(TextOptions):
    """Rows of a table; the columns say what is learnt.

    A text and its label: classification. A prompt and its completion, or a text alone: the next
    token, of the completion only if there is one.
    """

    kind: Literal["table"] = "table"
    file: FileName | None = Field(
        None, min_length=1, description="File, relative to this one: .csv, .jsonl or .parquet"
    )
    sha256: FileHash = None
    folder: FolderName | None = Field(
        None,
        min_length=1,
        description="Or a folder that save_to_disk of the package datasets wrote; of a dictionary "
        "the split train is learnt, and test evaluated on if there is one",
    )
    test: EvaluationTable | None = Field(
        None, description="Rows to evaluate on; null holds out test_fraction of the others"
    )
    text: str = Field("text", description="Column of the texts, or of the prompts")
    label: str | None = Field(None, description="Column of the labels")
    completion: str | None = Field(None, description="Column of what follows the prompts")
    owner: str | None = Field(
        None, description="Column that says whose a row is, for partition: {kind: natural}"
    )

    @model_validator(mode="after")
    def _one_thing_to_learn(self) -> Self:
        if self.label is not None and self.completion is not None:
            raise ValueError("give either label or completion")
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.folder is None):
            raise ValueError("give exactly one of file and folder")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """What evaluation measures."""
        return ("loss", "accuracy") if self.label is not None else ("loss", "perplexity")


class TextFilesTask(TextOptions):
    """A folder of plain text, cut into blocks of tokens: the next token is learnt.

    A file belongs to one owner, for partition: {kind: natural}.
    """

    kind: Literal["text_files"] = "text_files"
    folder: FolderName = Field(min_length=1, description="Folder, relative to this file")
    pattern: str = Field("*.txt", min_length=1, description="Which files in it, UTF-8 text")

    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")

    @field_validator("pattern")
    @classmethod
    def _stays_in_the_folder(cls, value: str) -> str:
        if PurePath(value).is_absolute() or ".." in PurePath(value).parts:
            raise ValueError("leads out of the folder; name another folder instead")
        return value


class CustomTask(Custom):
    """Your own data, a `DataSource` of texts or images; run only with --allow-custom."""

    metrics: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "perplexity")
    """Those that some data have; which these have is known once they are read."""

    max_tokens: int = Field(
        128, ge=2, description="Tokens in a sample of text; what is longer is cut, or several"
    )


Task = Annotated[
    DigitsTask | PydocTask | TableTask | TextFilesTask | NoTask | CustomTask,
    Field(discriminator="kind"),
]
