"""From the `learning` section to a base model and the task as it reads it."""

from __future__ import annotations

from wirelessfl.errors import InputError
from wirelessfl.learning.base import Base, Progress
from wirelessfl.learning.digits import digits_task
from wirelessfl.learning.huggingface import Form, check_reads, huggingface_base, tokenizer_of
from wirelessfl.learning.pydoc import pydoc_corpus
from wirelessfl.learning.source import DataSource
from wirelessfl.learning.tables import table_corpus
from wirelessfl.learning.task import Task
from wirelessfl.learning.text_files import text_files_corpus
from wirelessfl.learning.texts import Corpus, encode
from wirelessfl.learning.tiny_lm import tiny_lm
from wirelessfl.learning.tiny_vit import tiny_vit
from wirelessfl.scenario.base_model import HuggingFace, TinyLm, TinyVit
from wirelessfl.scenario.custom import build_custom
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.tasks import (
    CustomTask,
    PydocTask,
    TableTask,
    TextFilesTask,
    TextOptions,
)


def assemble(config: LearningConfig, progress: Progress | None = None) -> tuple[Base, Task]:
    """The base model, with a fresh head for the task if it needs one, and the task.

    Raises:
        InputError: If a file cannot be used, or the model does not go with the task.
    """
    if isinstance(config.task, TextOptions):
        return _of_text(config, _corpus(config.task), config.task.max_tokens, progress)
    task = digits_task()
    if isinstance(config.task, CustomTask):
        own = build_custom(config.task, DataSource, "learning.task").data()
        if isinstance(own, Corpus):
            return _of_text(config, own, config.task.max_tokens, progress)
        task = _checked(own, config.task)
    if isinstance(config.model, TinyVit):
        return tiny_vit(config.model, task, progress), task
    if not isinstance(config.model, HuggingFace):
        raise InputError(f"learning.model: {config.model.kind} reads text, not images")
    channels, side, _ = task.train.inputs["pixel_values"].shape[1:]
    classes = int(task.classes.max()) + 1
    return huggingface_base(config.model, "images", classes, image=(channels, side)), task


def _of_text(
    config: LearningConfig, corpus: Corpus, max_tokens: int, progress: Progress | None
) -> tuple[Base, Task]:
    classes = len(corpus.classes)
    if isinstance(config.model, TinyLm):
        base = tiny_lm(config.model, classes, progress)
        assert base.tokenizer is not None
        return base, encode(corpus, base.tokenizer, max_tokens)
    if not isinstance(config.model, HuggingFace):
        raise InputError(f"learning.model: {config.model.kind} reads images, not text")
    tokenizer = tokenizer_of(config.model)
    form: Form = "classes" if classes else "tokens"
    base = huggingface_base(config.model, form, classes, tokenizer)
    task = encode(corpus, tokenizer, max_tokens)
    for samples in (task.train, task.test):
        check_reads(config.model, base, samples)
    return base, task


def _corpus(options: TextOptions) -> Corpus:
    if isinstance(options, PydocTask):
        return pydoc_corpus(options.test_fraction)
    if isinstance(options, TableTask):
        return table_corpus(options)
    assert isinstance(options, TextFilesTask)
    return text_files_corpus(options)


def _checked(own: object, config: CustomTask) -> Task:
    """Images of the user's own, if that is what they are.

    Raises:
        InputError: If they are not.
    """
    if not isinstance(own, Task) or "pixel_values" not in own.train.inputs:
        raise InputError(
            f"learning.task: {config.target}: data gave {type(own).__name__}; must be a Corpus of "
            "texts, or a Task whose inputs are pixel_values"
        )
    return own
